"""A stream of an uploaded file in; out comes what may be given to the hub, and a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from shared.devices.formats import ndjson_lines
from shared.devices.linemap import LineMap
from shared.devices.record import DeviceLine, problems_of
from shared.devices.report import Problem, Report, Severity

__all__ = ["Limits", "Validation"]

#: Bytes of normalised lines that are handed on at once.
BATCH_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of a file and of its report."""

    max_line_bytes: int = 1024 * 1024
    max_problems: int = 1000


class Validation:
    """Validates one file.

    Iterate over `run` to its end; then `report` and `lines` are complete. Memory grows with the
    number of devices by some 160 bytes each, for finding those that occur twice, and by nothing
    else.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.report = Report(self._limits.max_problems)
        self.lines = LineMap()
        #: The line of each device, by a hash of 64 bits: among a million devices a false alarm
        #: comes once in 30 million files.
        self._seen: dict[int, int] = {}

    def run(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Batches of whole lines in the hub's own format: NDJSON, UTF-8, LF, no blank line."""
        report = self.report
        batch = bytearray()
        for number, line in ndjson_lines(chunks, self._limits.max_line_bytes):
            report.lines += 1
            problems = list(self._check(number, line))
            for problem in problems:
                report.add(problem)
            if line is None or problems:
                continue
            report.valid += 1
            self.lines.append(number)
            batch += line
            batch += b"\n"
            if len(batch) >= BATCH_BYTES:
                yield bytes(batch)
                batch.clear()
        if report.lines == 0:
            message = "the file has no line; each line has to be a JSON object, one a device"
            report.add(Problem(None, "", "", Severity.ERROR, "file-empty", message))
        if batch:
            yield bytes(batch)

    def _check(self, number: int, line: bytes | None) -> Iterator[Problem]:
        if line is None:
            limit = self._limits.max_line_bytes
            message = (
                f"the line is longer than {limit:,} bytes; each device needs a line of its own, "
                "and MAX_LINE_BYTES sets the bound"
            )
            yield Problem(number, "", "", Severity.ERROR, "line-too-long", message)
            return
        try:
            device = DeviceLine.model_validate_json(line)
        except ValidationError as error:
            yield from problems_of(error, number, line)
            return
        first = self._seen.setdefault(hash((device.id, device.module_id)), number)
        if first == number:
            self.report.modes[device.import_mode] += 1
        else:
            kind = "device" if device.module_id is None else "module"
            message = (
                f"the {kind} is on line {first:,} already: "
                "the hub would take the two in any order; keep one"
            )
            yield Problem(number, device.id, "id", Severity.ERROR, "id-duplicate", message)
