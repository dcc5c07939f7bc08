"""Colour and progress for people at a terminal, and neither for programs."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Progress", "Style"]

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36}
_BAR_WIDTH = 30
#: Seconds before a bar is worth showing, and between two of its states.
_PATIENCE, _PERIOD = 0.5, 0.1


class Style:
    """Colours text for a stream that is a terminal; https://no-color.org is heeded."""

    def __init__(self, stream: TextIO) -> None:
        self._on = stream.isatty() and not os.environ.get("NO_COLOR")

    def bold(self, text: str) -> str:
        return self._with(1, text)

    def coloured(self, text: str, colour: str) -> str:
        return self._with(_COLOURS[colour], text)

    def _with(self, code: int, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text


class Progress:
    """A bar on a terminal for work that takes longer than a moment."""

    def __init__(self, title: str, total: int | None, stream: TextIO) -> None:
        """Prepare the bar; `total` is None where it is not known."""
        self._title = title
        self._total = total
        self._stream = stream
        self._on = stream.isatty()
        self._done = 0
        self._show_at = time.monotonic() + _PATIENCE
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self, count: int) -> None:
        """So many bytes more are done."""
        self._done += count
        now = time.monotonic()
        if self._on and now >= self._show_at:
            self._show_at = now + _PERIOD
            self._shown = True
            self._stream.write(f"\r\x1b[K{self._bar()}")
            self._stream.flush()

    def _bar(self) -> str:
        done = f"{self._title}  {self._done / 1e6:,.0f} MB"
        if self._total is None:
            return done
        share = min(1.0, self._done / self._total)
        filled = round(share * _BAR_WIDTH)
        return f"{done}  [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {share:4.0%}"
