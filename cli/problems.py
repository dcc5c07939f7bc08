"""Validate a device file, and show what is wrong with its lines, grouped by code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.device_file import STANDARD_INPUT, shown_name
from cli.output import Output, printable
from shared.device_files.rules import Rule, Severity
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy, Report

__all__ = ["hub_failures", "note_problems", "show_report", "validate", "validation_problems"]

#: The most severe first.
_SEVERITY_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}

_CHUNK_BYTES = 1024 * 1024
#: Lines that are shown of each code.
_MAX_LINES = 5


def validate(
    validation: Validation,
    stream: BinaryIO,
    title: str,
    size: int | None,
    output: Output,
    use: Callable[[bytes], object] = lambda _: None,
) -> Report:
    """Validate a file, with a progress bar.

    Args:
        size: in bytes; None if it is not known, as for a pipe.
        use: is called with each batch of good lines.
    """
    with output.progress(title, size) as advance:

        def chunks() -> Iterator[bytes]:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk
                advance(len(chunk))

        for batch in validation.run(chunks()):
            use(batch)
    return validation.report


def show_report(file: str, report: Report, policy: Policy, output: Output) -> None:
    """Show the problems of a file, and whether it would be imported."""
    name = (printable(shown_name(file)), "bold")
    if report.problems:
        output.show(Text.assemble(name))
        problems = [_with_options(problem) for problem in report.problems_json(file)]
        output.show(validation_problems(problems, report.codes))
    if report.is_mapping:
        output.show(Text.assemble(name, ": ", *_mapping_summary(report)))
        return
    summary = Text.assemble(name, f": {report.valid:,} of {_count(report.lines, 'line')} valid")
    for severity in (Severity.ERROR, Severity.WARNING):
        if count := report.severities[severity]:
            summary.append(", ").append(_count(count, severity), _SEVERITY_STYLES[severity])
    summary.append("; ")
    if not report.may_be_imported(policy):
        summary.append("would be rejected", "red")
    elif report.errors:
        summary.append("the valid lines would be imported", "yellow")
    else:
        summary.append("would be imported", "green")
    output.show(summary.append(f" ({report.format})" if report.format else ""))


def _mapping_summary(report: Report) -> Sequence[tuple[str, str]]:
    if not report.errors:
        return [("a valid mapping", "green")]
    errors = (_count(report.errors, Severity.ERROR), _SEVERITY_STYLES[Severity.ERROR])
    return [errors, ("; ", ""), ("would be rejected", "red"), (" (mapping)", "")]


def note_problems(file: str, report: Report, output: Output) -> None:
    """Say how many problems a file has that would be imported."""
    for count, noun, consequence in (
        (report.lines - report.valid, "invalid line", " to be skipped (VALIDATION_POLICY)"),
        (report.warnings, "warning", ""),
    ):
        if count:
            text = f"{_count(count, noun)}{consequence}"
            # A name that begins with a hyphen is no option.
            name = f"./{file}" if file[0] == "-" and file != STANDARD_INPUT else file
            command = output.command("check", name, uses_settings=False)
            output.note(f"{shown_name(file)}: {text}. For details: {command}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def validation_problems(
    problems: Sequence[Mapping[str, Any]], counts: Mapping[str, int]
) -> RenderableType:
    """The first problems of each code, the most severe first.

    Args:
        problems: as in `Report.problems_json`.
        counts: problems by code, including those that are not listed.
    """
    groups: list[RenderableType] = []
    for severity, style in _SEVERITY_STYLES.items():
        by_code: dict[str, list[Mapping[str, Any]]] = {}
        for problem in problems:
            if problem["severity"] == severity:
                by_code.setdefault(problem["code"], []).append(problem)
        for code, listed in by_code.items():
            title = Text.assemble((severity, style), " ", (code, "bold"))
            lines = [_line(problem, "id", "field") for problem in listed[:_MAX_LINES]]
            count = counts.get(code, len(listed))
            groups.append(_group(title, count, listed[0]["remedy"], lines))
    return Group(*groups)


def hub_failures(failures: Mapping[str, Any]) -> RenderableType:
    """Devices that the hub rejected, as in report.json."""
    groups: list[RenderableType] = []
    for entry in failures["codes"]:
        code = entry["code"]
        devices = [device for device in failures["devices"] if device["code"] == code]
        title = Text.assemble(("rejected", "red"), " ", (printable(code), "bold"))
        lines = [_line(device, "id", "moduleId") for device in devices[:_MAX_LINES]]
        groups.append(_group(title, entry["count"], entry.get("remedy", ""), lines))
    return Group(*groups)


def _group(title: Text, count: int, remedy: str, lines: Sequence[str]) -> RenderableType:
    if count > 1:
        title.append(f" x {count:,}")
    more = f"and {count - len(lines):,} more" if lines and count > len(lines) else ""
    return Group(
        Padding(title, (0, 0, 0, 2)),
        *(Padding(Text(line), (0, 0, 0, 4)) for line in (remedy, *lines, more) if line),
    )


def _line(problem: Mapping[str, Any], *names: str) -> str:
    line = problem["line"]
    # Messages about the whole file say so.
    place = "" if line is None else f"line {line:,}"
    if values := ", ".join(printable(problem[name]) for name in names if problem.get(name)):
        place = f"{place} ({values})".lstrip()
    return f"{place}{place and ': '}{printable(problem['message'])}"


def _with_options(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """A problem with the option of the command instead of the metadata that it sets."""
    if problem["code"] != Rule.TOO_MANY_DELETES.code:
        return problem
    message = problem["message"].replace("confirmDeletes=", "--confirm-deletes ")
    return {**problem, "message": message, "remedy": "to confirm, use --confirm-deletes N"}
