"""The check of device files before they are uploaded, as the app's settings have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from rich.console import Group
from rich.text import Text

from cli.output import PROGRAM, Output, clean
from cli.problems import validation_problems
from cli.progress import bar
from shared.device_files.report import Report
from shared.imports.workflow.intake import configured_validation
from shared.settings import Settings
from shared.texts import well_formed

__all__ = ["is_importable"]

_CHUNK_BYTES = 1024 * 1024


def is_importable(
    path: Path, name: str, confirmed_deletes: int, settings: Settings, output: Output
) -> bool:
    """Whether the app would import the file under that name; if not, tells what is wrong.

    Raises:
        OSError: it cannot be read.
    """
    validation = configured_validation(settings, name, confirmed_deletes)
    with (
        path.open("rb") as stream,
        bar(output, f"checking {path.name}", path.stat().st_size) as advance,
    ):
        for _ in validation.run(_chunks(stream, advance)):
            pass
    report = validation.report
    if not report.may_be_imported(settings.validation_policy):
        _tell_problems(path, report, output)
        return False
    left_out = report.lines - report.valid
    for count, what in (
        (left_out, "of its lines break rules and will be left out (VALIDATION_POLICY)"),
        (report.warnings, "warnings"),
    ):
        if count:
            output.note(f"{path}: {count:,} {what}; {PROGRAM} check {path} shows them.")
    return True


def _tell_problems(path: Path, report: Report, output: Output) -> None:
    problems = report.problems_json(str(path))
    if output.is_json:
        counts = report.counts_json()
        output.json(
            {"file": well_formed(str(path)), "importable": False, **counts, "problems": problems}
        )
        return
    good = f": {report.valid:,} of {report.lines:,} lines good; "
    verdict = Text.assemble((clean(str(path)), "bold"), good, ("would be rejected", "red"))
    output.show(Group(verdict, validation_problems(problems, report.codes)))


def _chunks(stream: BinaryIO, advance: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
        advance(len(chunk))
