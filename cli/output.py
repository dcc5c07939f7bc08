"""What a command says: its result on stdout, everything else on stderr.

A terminal gets colour and lines that fit it. Whatever else reads gets plain text, each line whole.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, TextIO

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from shared.redaction import redact

__all__ = ["PROGRAM", "Output", "clean", "drop_stdout"]

#: How the commands are called.
PROGRAM = "device-importer"

#: Control characters that JSON allows in texts as they are; some terminals heed them.
_C1 = re.compile("[\x7f-\x9f]")

#: Columns of what is no terminal: no line is ever broken.
_ENDLESS = 100_000


class Output:
    """Writes what a command has to say, as text or as JSON."""

    def __init__(self, form: str) -> None:
        self.is_json = form == "json"
        #: The result.
        self.console = _console(sys.stdout)
        #: Hints, progress and errors.
        self.notes = _console(sys.stderr)

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads the result as it comes."""
        return self.console.is_terminal

    @property
    def is_live(self) -> bool:
        """Whether what was shown can be drawn anew."""
        return not self.is_json and self.is_terminal and not self.console.is_dumb_terminal

    def show(self, text: RenderableType) -> None:
        """Show a part of the result."""
        if self.is_terminal:
            self.console.print(text)
            return
        # Without the blanks that fill up columns.
        for line in self.console.render_lines(text, pad=False):
            self._write("".join(segment.text for segment in line).rstrip())

    def lines_of(self, table: Table) -> list[list[Segment]]:
        """A table's lines one by one, for a terminal."""
        return self.console.render_lines(table, pad=False)

    def json(self, value: BaseModel | dict[str, Any]) -> None:
        """Write an object on a line of its own."""
        if isinstance(value, BaseModel):
            text = value.model_dump_json(by_alias=True)
        else:
            text = json.dumps(value, ensure_ascii=False)
        self._write(_C1.sub(lambda match: f"\\u{ord(match[0]):04x}", text))

    def note(self, text: str, style: str = "") -> None:
        """Tell a person something that is not part of the result."""
        # What was said before comes first, also where both go to one file.
        sys.stdout.flush()
        # Commands and tokens can be copied whole.
        self.notes.print(Text(_clean_lines(text), style), soft_wrap=True)

    def error(self, text: str) -> None:
        """Tell why something was not done."""
        sys.stdout.flush()
        message = Text.assemble(("error: ", "bold red"), _clean_lines(redact(text)))
        self.notes.print(message)

    def _write(self, line: str) -> None:
        # At once: who follows a command reads each line when it comes.
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _console(stream: TextIO) -> Console:
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(
            file=stream, highlight=False, markup=False, emoji=False, width=_ENDLESS, no_color=True
        )
    return console


def clean(text: str) -> str:
    """Text of a file or a hub that must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _clean_lines(text: str) -> str:
    """As `clean`, for what we say ourselves, which may have several lines."""
    return "\n".join(map(clean, text.split("\n")))


def drop_stdout() -> None:
    """The reader, such as head, has seen enough; what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
