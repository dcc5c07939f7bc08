"""A bar for work on many bytes, where stderr is a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cli.output import Output, clean

__all__ = ["bar"]


@contextlib.contextmanager
def bar(output: Output, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for so many bytes; it is gone at the end. Yields what is to be told of each step."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(30),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    is_off = not output.notes.is_terminal
    with Progress(*columns, console=output.notes, transient=True, disable=is_off) as progress:
        task = progress.add_task(clean(title), total=total)
        yield lambda count: progress.advance(task, count)
