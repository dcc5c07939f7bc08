"""A stream of an uploaded file in; out comes what may be given to the hub, and a report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from shared.device_files.characters import OBJECTS_BY_ODD_LINE_END, describe_character, visible_part
from shared.device_files.duplicates import SeenDevices, fingerprint
from shared.device_files.formats.comments import COMMENT_STARTS, without_comments
from shared.device_files.formats.detection import open_source
from shared.device_files.formats.ndjson import PrettyPrinted
from shared.device_files.formats.reader import UnusableFileError
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.line_map import LineMap
from shared.device_files.lines.device_line import FIXED, SYSTEM_MODULES, check_line
from shared.device_files.lines.fast_path import BLOCK_LINES, FastPath, GoodLine, kinds
from shared.device_files.lines.strict_json import StrictReader, read_sound
from shared.device_files.lines.values import ImportMode
from shared.device_files.rules import Finding, Rule, Severity
from shared.device_files.validation_report import Problem, Report

__all__ = ["Validation"]

#: The id of a line that is not JSON, for the person who looks for it.
_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{1,128})"')
_BLANKS = b" \t\r"
_IDS = ("id", "moduleId")
#: Problems of a file's form. They do not count as devices, so a file may hold any number of them.
_MAX_NOTES = 1_000_000


class Validation:
    """Validates one file.

    Iterate over `run` to its end; then `report` and `lines` are complete. Memory grows with the
    number of devices by some 75 bytes each, for finding those that occur twice, and by nothing
    else.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        name: str = "",
        defaults: CsvDefaults | None = None,
        confirmed_deletes: int = 0,
    ) -> None:
        """Prepare for one file.

        Args:
            name: the file's name, a hint to its format.
            defaults: for members that a CSV file has no cells for.
            confirmed_deletes: how many devices the file may delete, as somebody confirmed.
        """
        self._limits = limits or Limits()
        self._name = name
        self._defaults = defaults or CsvDefaults()
        self._confirmed_deletes = confirmed_deletes
        self.report = Report(self._limits.max_problems)
        self.lines = LineMap()
        #: Whether the file was read to its end, so that its lines are counted.
        self.is_complete = False
        self._reader = StrictReader()
        self._fast_path = FastPath()
        self._seen = SeenDevices()
        self._blank_lines = self._notes = 0
        self._pretty_printed = PrettyPrinted()
        #: Duplicates whose first line is still to be told, by fingerprint.
        self._duplicates: dict[Problem, int] = {}

    def run(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Batches of whole lines in the hub's own format: NDJSON, UTF-8, LF, no blank line.

        A batch in which no line is good is empty, so that the caller gets a turn for each of them.
        """
        report = self.report
        try:
            source = open_source(chunks, self._name, self._limits, self._defaults, self)
            report.format = source.format
            for numbers, lines in source.batches:
                yield self._check_batch(numbers, lines)
                if report.lines > self._limits.max_devices:
                    detail = f"over {self._limits.max_devices:,}"
                    raise UnusableFileError(Rule.FILE_TOO_MANY_DEVICES, detail)
            self.is_complete = True
        except UnusableFileError as error:
            report.refuse(error.line, error.rule, error.detail)
        self._finish()

    def note(self, line: int | None, finding: Finding) -> None:
        """A problem of the file's form, told by the reader of its format.

        Raises:
            UnusableFileError: there are too many, such as lines with comments alone.
        """
        self._notes += 1
        if self._notes > _MAX_NOTES:
            detail = f"over {_MAX_NOTES:,} comments and the like"
            raise UnusableFileError(Rule.FILE_TOO_MANY_DEVICES, detail)
        self._add(line, "", finding)

    def drop(
        self, line: int, findings: Sequence[Finding], members: dict[str, Any] | None = None
    ) -> None:
        """A device that the reader of its format could not hand on."""
        findings = list(findings)
        device_id = check_line(members, findings).id if members else ""
        self.report.lines += 1
        for finding in findings:
            self._add(line, device_id, finding)

    def _check_batch(self, numbers: Sequence[int], lines: Sequence[bytes]) -> bytes:
        """The good ones among some lines, as the hub is to read them."""
        good: list[bytes] = []
        if (blank := lines.count(b"")) > len(lines) // 2:
            # A file may hold millions of them.
            pairs = [pair for pair in zip(numbers, lines, strict=True) if pair[1]]
            numbers, lines = [number for number, _ in pairs], [line for _, line in pairs]
            self._blank_lines += blank
        for start in range(0, len(lines), BLOCK_LINES):
            block = slice(start, start + BLOCK_LINES)
            self._check_block(numbers[block], lines[block], good)
        return b"\n".join([*good, b""])

    def _check_block(
        self, numbers: Sequence[int], lines: Sequence[bytes], good: list[bytes]
    ) -> None:
        fits = self._fast_path.read(lines)
        accepted: list[GoodLine] = []
        start = 0
        for end in [*(index for index, fit in enumerate(fits) if not fit), len(lines)]:
            while start < end:
                fitting = cast(list[GoodLine], fits[start:end])
                # As far as no device was met before.
                count = self._seen.add_new(fit.id for fit in fitting)
                new = slice(start, start + count)
                accepted += fitting[:count]
                good += lines[new]
                self.lines.extend(numbers[new])
                start += count
                if start < end:
                    self._take(numbers[start], lines[start], good)
                    start += 1
            if end < len(lines):
                self._take(numbers[end], lines[end], good)
            start = end + 1
        for mode, kind, count in kinds(accepted):
            self._count_good(mode, kind, count)

    def _take(self, number: int, line: bytes, good: list[bytes]) -> None:
        """Check a line in full, and add it if it is good."""
        if (text := self._check_in_full(number, line)) is not None:
            good.append(text)
            self.lines.append(number)

    def _count_good(self, mode: ImportMode, authentication_type: str, count: int) -> None:
        report = self.report
        report.lines += count
        report.valid += count
        report.modes[mode.value] += count
        report.authentication_types[authentication_type or "notGiven"] += count

    def _check_in_full(self, number: int, line: bytes) -> bytes | None:
        """What is to be staged of a line; None if nothing is."""
        text = line.strip(_BLANKS)
        if not isinstance(value := read_sound(text), dict):
            cleaned = self._cleaned(number, text)
            if not cleaned:
                return None
            if cleaned is not text:
                line = text = cleaned
        rest = self._pretty_printed.rest(len(self._seen.good), text)
        if not rest:
            return None
        if rest is not text:
            line, text, value = rest, rest, None
        members, findings = (value, []) if isinstance(value, dict) else self._read(text)
        if members is None:
            is_invalid = findings[0].rule is Rule.JSON_INVALID
            if is_invalid and self._pretty_printed.begins(len(self._seen.good), text):
                findings = [Finding("", Rule.JSON_PRETTY_PRINTED)]
            self.report.lines += 1
            for finding in findings:
                self._add(number, _id_in(text), finding)
            return None
        record = check_line(members, findings)
        if record.module_id in SYSTEM_MODULES and not record.mode.deletes:
            self.report.left_out += 1
            return None
        for finding in findings:
            self._add(number, record.id, finding)
        errors = [finding for finding in findings if finding.rule.severity is Severity.ERROR]
        print_ = fingerprint(record.id, record.module_id)
        # It cannot be told which device a line is about whose ids are not right.
        is_named = bool(record.id) and not any(error.field in _IDS for error in errors)
        if is_named and print_ in self._seen.fingerprints:
            self._refuse_duplicate(number, record.id, bool(record.module_id), print_)
            return None
        if errors:
            self.report.lines += 1
            if is_named:
                self._seen.add_bad(print_, number)
            return None
        self._seen.add_good(print_)
        self._count_good(record.mode, record.authentication_type, 1)
        if record.module_id and record.mode.creates:
            self._expect_device(number, record.id)
        self._fast_path.learn(record.members)
        if any(finding.rule in FIXED for finding in findings):
            return json.dumps(record.members, ensure_ascii=False, separators=(",", ":")).encode()
        # Between tokens JSON allows a CR, but readers of .NET end a line there.
        return text.replace(b"\r", b" ") if b"\r" in line else line

    def _cleaned(self, number: int, text: bytes) -> bytes:
        """A line without invisible characters and comments, which are reported; b"" for no line."""
        text, invisible = visible_part(text)
        if invisible:
            self.note(number, Finding("", Rule.LINE_INVISIBLE, invisible))
        if not text:
            self._blank_lines += 1
            return b""
        if text.startswith(COMMENT_STARTS):
            # No device, so it is not counted as a line of the file's devices.
            self.note(number, Finding("", Rule.JSON_COMMENT))
            return b""
        text, comments = without_comments(text)
        if comments:
            self.note(number, Finding("", Rule.JSON_COMMENT))
        return text

    def _read(self, line: bytes) -> tuple[dict[str, Any] | None, list[Finding]]:
        """The object that a line holds, if it does, and what is wrong with its JSON."""
        if isinstance(value := read_sound(line), dict):
            return value, []
        if b"\0" in line:
            return None, [Finding("", Rule.LINE_NUL)]
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            return None, [Finding("", Rule.LINE_ENCODING, f"from byte {error.start + 1:,} on")]
        value, findings = self._reader.read(text)
        if findings and findings[0].rule is Rule.JSON_TRAILING_DATA:
            findings[:1] = [_trailing_data(line, findings[0])]
        if isinstance(value, dict):
            return value, findings
        if value is not None or not findings:
            findings = [Finding("", Rule.JSON_NOT_AN_OBJECT)]
        return None, findings

    def _expect_device(self, number: int, device_id: str) -> None:
        if fingerprint(device_id) not in self._seen.fingerprints:
            self._add(number, device_id, Finding("moduleId", Rule.MODULE_WITHOUT_DEVICE))

    def _add(self, line: int | None, device_id: str, finding: Finding) -> None:
        self.report.add(line, device_id, finding.field, finding.rule, finding.detail)

    def _refuse_duplicate(self, number: int, device_id: str, is_module: bool, print_: int) -> None:
        self.report.lines += 1
        field = "moduleId" if is_module else "id"
        problem = self.report.add(number, device_id, field, Rule.ID_DUPLICATE)
        if problem:
            self._duplicates[problem] = print_

    def _finish(self) -> None:
        report = self.report
        if self._duplicates:
            self._name_first_lines()
        if self._blank_lines:
            self._add(None, "", Finding("", Rule.BLANK_LINES, f"{self._blank_lines:,}"))
        if report.left_out:
            self._add(None, "", Finding("", Rule.SYSTEM_MODULES, f"{report.left_out:,}"))
        if report.is_unusable:
            return
        if not report.lines:
            report.refuse(None, Rule.FILE_EMPTY, "")
        deletes = sum(count for mode, count in report.modes.items() if ImportMode(mode).deletes)
        limits = self._limits
        allowed = min(limits.max_deletes, int(limits.max_delete_share * report.lines))
        if deletes > max(allowed, self._confirmed_deletes):
            detail = (
                f"{deletes:,} of {report.lines:,} lines delete, {allowed:,} may; "
                f"here it would be confirmDeletes={deletes}"
            )
            report.refuse(None, Rule.TOO_MANY_DELETES, detail)

    def _name_first_lines(self) -> None:
        first = self._seen.first_lines(frozenset(self._duplicates.values()), self.lines)
        self.report.explain(
            {
                problem: f"first on line {first[print_]:,}"
                for problem, print_ in self._duplicates.items()
            }
        )


def _trailing_data(line: bytes, finding: Finding) -> Finding:
    """What follows an object, which may be another one behind another line end."""
    match = OBJECTS_BY_ODD_LINE_END.search(line)
    if not match:
        return finding
    return Finding("", Rule.LINE_END, describe_character(match["end"].decode()))


def _id_in(line: bytes) -> str:
    match = _ID.search(line)
    return match[1].decode("utf-8", "replace") if match else ""
