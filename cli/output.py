"""Output of a command: the result on stdout; hints, progress and errors on stderr.

A terminal gets colours and lines that fit its width; a pipe or a file gets plain, unwrapped lines.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from shared.redaction import redact

__all__ = ["PROGRAM", "Output", "discard_stdout", "printable"]

PROGRAM = "device-importer"

#: Control characters that JSON does not escape but some terminals interpret.
_C1_CONTROLS = re.compile("[\x7f-\x9f]")

#: Width of a console that is not a terminal: wide enough to never wrap.
_UNWRAPPED = 100_000


class Output:
    """Writes the output of one command."""

    def __init__(self, format: str, settings_file: str | None = None) -> None:
        """Write text or JSON, by the value of `--format`.

        Args:
            settings_file: the value of `--settings`, which commands to paste need as well.
        """
        self.is_json = format == "json"
        self._settings_file = settings_file
        self.console = _console(sys.stdout)
        self._stderr = _console(sys.stderr)

    @property
    def is_terminal(self) -> bool:
        return self.console.is_terminal

    @property
    def is_live(self) -> bool:
        """Whether output can be redrawn in place."""
        return not self.is_json and self.is_terminal and not self.console.is_dumb_terminal

    def command(self, *arguments: str, uses_settings: bool = True) -> str:
        """A command of this program to paste into a shell, with the settings of this one."""
        file = self._settings_file if uses_settings else None
        settings = () if file is None else ("--settings", file)
        return shlex.join((_program(), *arguments, *settings))

    def show(self, text: RenderableType) -> None:
        """Write a part of the result as text."""
        if self.is_terminal:
            self.console.print(text)
            return
        for line in self.console.render_lines(text, pad=False):
            # Without the blanks that pad table columns.
            self._write("".join(segment.text for segment in line).rstrip())

    def show_unwrapped(self, text: Text) -> None:
        """Write a line that the terminal may break, but that is copied as one."""
        self.console.print(text, soft_wrap=True)

    def item(self, text: Text, prefix: Text | str = "") -> None:
        """Write a text whose further lines on a terminal begin below the end of the prefix."""
        start = Text.assemble(prefix)
        if not self.is_terminal:
            self._write(f"{start.plain}{text.plain}".rstrip())
            return
        width = max(1, self.console.width - start.cell_len)
        for line in text.wrap(self.console, width) or [Text("")]:
            line.rstrip()
            self.console.print(start + line, no_wrap=True, overflow="ignore", crop=False)
            start = Text(" " * start.cell_len)

    def json(
        self, value: Mapping[str, Any], arrays: Mapping[str, Iterable[Any]] | None = None
    ) -> None:
        """Write an object on one line.

        Args:
            arrays: further properties, of which one item at a time is in memory.
        """
        text = _json(value)
        if arrays:
            sys.stdout.write(text.removesuffix("}"))
            for name, items in arrays.items():
                sys.stdout.write(f", {_json(name)}: [")
                for index, item in enumerate(items):
                    sys.stdout.write(f"{', ' if index else ''}{_json(item)}")
                sys.stdout.write("]")
            text = "}"
        self._write(text)

    def note(self, text: str) -> None:
        """Write a hint to stderr."""
        self._write_to_stderr(Text(_printable_lines(text)))

    def error(self, text: str) -> None:
        """Write an error to stderr, without secrets."""
        message = _printable_lines(redact(text))
        self._write_to_stderr(Text.assemble(("error: ", "bold red"), message))

    @contextmanager
    def progress(self, title: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
        """Show a progress bar on stderr, if that is a terminal, until the end of the block.

        Yields:
            A function that adds a number of bytes to those done.
        """
        if not self._stderr.is_terminal:
            yield lambda _: None
            return
        from rich import progress

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(30),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=self._stderr, transient=True) as bar:
            task = bar.add_task(printable(title), total=total_bytes)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def activity(self, title: str, detail: str = "") -> Iterator[Callable[[str, str], None]]:
        """Show on stderr what takes time, until the end of the block.

        A terminal shows it in place, with details; elsewhere each new text is a line, the first
        with its detail.

        Yields:
            A function that shows another text and its detail.
        """
        if not self._stderr.is_terminal:
            self.note(_with_detail(title, detail))
            shown = title

            def write(text: str, _: str) -> None:
                nonlocal shown
                if text != shown:
                    shown = text
                    self.note(text)

            yield write
            return
        with self._stderr.status(Text(printable(_with_detail(title, detail)))) as status:

            def update(text: str, detail: str) -> None:
                status.update(Text(printable(_with_detail(text, detail))))

            yield update

    def _write(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        # Readers of a pipe see each line as soon as it is written.
        sys.stdout.flush()

    def _write_to_stderr(self, text: Text) -> None:
        # Keeps the order where both streams go to one file.
        sys.stdout.flush()
        # Not wrapped, so that commands and tokens can be copied.
        self._stderr.print(text, soft_wrap=True)


def _program() -> str:
    """This program as a shell finds it: by its name, or by its path as it was typed."""
    typed = sys.argv[0]
    is_path = Path(typed).name == PROGRAM and shutil.which(PROGRAM) is None
    return typed if is_path else PROGRAM


def _with_detail(text: str, detail: str) -> str:
    return f"{text} ({detail})" if detail else text


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _C1_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _console(stream: TextIO) -> Console:
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width, console.no_color = _UNWRAPPED, True
    return console


def printable(text: str) -> str:
    """Replace characters of a file or a hub that could control the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def discard_stdout() -> None:
    """Drop buffered output after the reader of the pipe, such as `head`, has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
