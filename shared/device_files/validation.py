"""Validates an uploaded file: a stream in, the lines to import and a report out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from shared.device_files.characters import (
    OBJECTS_BY_ODD_LINE_END,
    describe_character,
    visible_part,
)
from shared.device_files.duplicates import SeenDevices, fingerprint
from shared.device_files.formats.comments import COMMENT_STARTS, without_comments
from shared.device_files.formats.detection import open_file
from shared.device_files.formats.ndjson import PrettyPrinted
from shared.device_files.formats.reader import UnusableFileError
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.line_map import LineMap
from shared.device_files.lines.device_line import (
    FIXED,
    SYSTEM_MODULES,
    DeviceLine,
    check_line,
)
from shared.device_files.lines.fast_path import BLOCK_LINES, FastPath, GoodLine, kinds
from shared.device_files.lines.strict_json import StrictReader, read_sound
from shared.device_files.lines.values import ImportMode
from shared.device_files.mapping.file_mapping import (
    MAPPING_NAME,
    NO_MAPPING,
    FileMapping,
    is_mapping_name,
)
from shared.device_files.rules import Finding, Rule, Severity
from shared.device_files.validation_report import MAPPING_FORMAT, Problem, Report

__all__ = ["Validation"]

#: The id in a line that is not JSON, to help find it.
_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{1,128})"')
_BLANKS = b" \t\r"
_IDS = ("id", "moduleId")
#: Problems of a file's form, which have no limit otherwise, since they do not count as devices.
_MAX_NOTES = 1_000_000


class Validation:
    """Validates one file.

    `report` and `lines` are complete at the end of `run`. Takes about 75 bytes of memory per
    device, to find duplicates.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        name: str = "",
        defaults: CsvDefaults | None = None,
        mapping: FileMapping = NO_MAPPING,
        refusal: Finding | None = None,
        confirmed_deletes: int = 0,
    ) -> None:
        """Prepare for one file.

        Args:
            name: of the file, a hint to its format.
            mapping: what its columns stand for, and what its lines lack.
            refusal: why no line may be imported, whatever the file contains.
            confirmed_deletes: how many devices the file may delete in any case.
        """
        self._limits = limits or Limits()
        self._name = name
        self._defaults = defaults or CsvDefaults()
        self._mapping = mapping
        self._refusal = refusal
        self._confirmed_deletes = confirmed_deletes
        self.report = Report(self._limits.max_problems)
        self.lines = LineMap()
        #: Whether the file was read to its end, so that its lines are counted.
        self.is_complete = False
        self._reader = StrictReader()
        self._fast_path = FastPath()
        self._seen = SeenDevices()
        self._pretty_printed = PrettyPrinted()
        self._blank_lines = self._notes = 0
        #: Whether lines may lack what the mapping adds; the reader of CSV adds it to rows.
        self._adds_defaults = False
        #: Fingerprints of duplicates whose first line will be added to the message.
        self._duplicates: dict[Problem, int] = {}

    def run(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Return batches of whole lines in the hub's format: NDJSON, UTF-8, LF, no blank line.

        A batch without good lines is empty, so that the caller can act after each batch. A file
        with the name of mappings is checked as one, and has no lines.
        """
        report = self.report
        if self._refusal:
            report.refuse(None, self._refusal)
            return
        if is_mapping_name(self._name):
            self._check_mapping(chunks)
            return
        if is_mapping_name(self._name.lower()):
            detail = f"its name must be {MAPPING_NAME}, in lower case"
            report.refuse(None, Finding("", Rule.MAPPING_INVALID, detail))
            return
        try:
            file = open_file(chunks, self._name, self._limits, self._defaults, self, self._mapping)
            report.format = file.format
            is_csv = file.format.startswith("csv")
            self._adds_defaults = bool(self._mapping.defaults) and not is_csv
            for numbers, lines in file.batches:
                yield self._check_batch(numbers, lines)
                if report.lines > self._limits.max_devices:
                    detail = f"over {self._limits.max_devices:,}"
                    raise UnusableFileError(Rule.FILE_TOO_MANY_DEVICES, detail)
            self.is_complete = True
        except UnusableFileError as error:
            report.refuse(error.line, Finding("", error.rule, error.detail))
        self._finish()

    def _check_mapping(self, chunks: Iterable[bytes]) -> None:
        # Most files are none, and the check imports pydantic.
        from shared.device_files.mapping.document import (
            MAX_MAPPING_BYTES,
            InvalidMappingError,
            read_mapping,
        )

        self.report.format = MAPPING_FORMAT
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > MAX_MAPPING_BYTES:
                break
        try:
            read_mapping(bytes(data))
        except InvalidMappingError as error:
            for line, finding in error.problems:
                self.report.add(line, "", finding)
        self.is_complete = True

    def note(self, line: int | None, rule: Rule, detail: str = "", field: str = "") -> None:
        """Report a problem of the file's form.

        Raises:
            UnusableFileError: there are too many, such as lines with only comments.
        """
        self._notes += 1
        if self._notes > _MAX_NOTES:
            detail = f"over {_MAX_NOTES:,} comments and similar"
            raise UnusableFileError(Rule.FILE_TOO_MANY_DEVICES, detail)
        self.report.add(line, "", Finding(field, rule, detail))

    def drop(
        self, line: int, findings: Sequence[Finding], members: dict[str, Any] | None = None
    ) -> None:
        """Report a device that the reader of its format could not pass on."""
        findings = list(findings)
        device_id = check_line(members, findings).id if members else ""
        self._reject(line, device_id, findings)

    def name_sources(self, sources: Mapping[str, str]) -> None:
        """Let problems say where the properties are from, by path."""
        self.report.sources = sources

    def _check_batch(self, numbers: Sequence[int], lines: Sequence[bytes]) -> bytes:
        good: list[bytes] = []
        if (blank := lines.count(b"")) > len(lines) // 2:
            # A file may contain millions of them.
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
        if self._adds_defaults:
            lines = [*map(self._with_defaults, lines)]
        decoded = self._fast_path.read(lines)
        accepted: list[GoodLine] = []
        start = 0
        for end in [*(index for index, line in enumerate(decoded) if not line), len(lines)]:
            while start < end:
                fitting = cast(list[GoodLine], decoded[start:end])
                # Up to a device that was seen before.
                count = self._seen.add_new(line.id for line in fitting)
                new = slice(start, start + count)
                accepted += fitting[:count]
                good += lines[new]
                self.lines.extend(numbers[new])
                start += count
                if start < end:
                    self._check_in_full(numbers[start], lines[start], good)
                    start += 1
            if end < len(lines):
                self._check_in_full(numbers[end], lines[end], good)
            start = end + 1
        for mode, kind, count in kinds(accepted):
            self._count_good(mode, kind, count)

    def _count_good(self, mode: ImportMode, authentication_type: str, count: int) -> None:
        report = self.report
        report.lines += count
        report.valid += count
        report.modes[mode.value] += count
        report.authentication_types[authentication_type or "notGiven"] += count

    def _with_defaults(self, line: bytes) -> bytes:
        """Add what a sound line lacks; the fast path accepts no others."""
        members, findings = self._read(line.strip(_BLANKS))
        if not members or findings or not self._mapping.add_defaults(members):
            return line
        return _encoded(members)

    def _check_in_full(self, number: int, line: bytes, good: list[bytes]) -> None:
        """Check a line by all rules and add it to the good ones."""
        text = rest = line.strip(_BLANKS)
        members = read_sound(text)
        if not isinstance(members, dict):
            rest = self._visible_json(number, text)
        rest = rest and self._pretty_printed.rest(len(self._seen.good), rest)
        if not rest:
            return
        if rest is not text:
            line, text, members = rest, rest, None
        findings: list[Finding] = []
        if not isinstance(members, dict):
            members, findings = self._read(text)
        if members is None:
            is_invalid = findings[0].rule is Rule.JSON_INVALID
            if is_invalid and self._pretty_printed.begins(len(self._seen.good), text):
                findings = [Finding("", Rule.JSON_PRETTY_PRINTED)]
            self._reject(number, _id_in(text), findings)
            return
        is_completed = self._adds_defaults and self._mapping.add_defaults(members)
        if checked := self._check_members(number, members, findings):
            self.lines.append(number)
            if is_completed or any(finding.rule in FIXED for finding in findings):
                good.append(_encoded(checked.members))
            else:
                # JSON allows a CR between tokens, but readers of .NET end a line there.
                good.append(text.replace(b"\r", b" ") if b"\r" in line else line)

    def _check_members(
        self, number: int, members: dict[str, Any], findings: list[Finding]
    ) -> DeviceLine | None:
        """Check and count a line whose JSON was read; None if it is not imported."""
        line = check_line(members, findings)
        if line.module_id in SYSTEM_MODULES and not line.mode.deletes:
            self.report.left_out += 1
            return None
        errors = [finding for finding in findings if finding.rule.severity is Severity.ERROR]
        print_ = fingerprint(line.id, line.module_id)
        # With invalid ids it is unknown which device a line is for.
        is_identified = bool(line.id) and not any(error.field in _IDS for error in errors)
        is_duplicate = is_identified and print_ in self._seen.fingerprints
        if errors or is_duplicate:
            self._reject(number, line.id, findings)
            if is_duplicate:
                field = "moduleId" if line.module_id else "id"
                if problem := self.report.add(number, line.id, Finding(field, Rule.ID_DUPLICATE)):
                    self._duplicates[problem] = print_
            elif is_identified:
                self._seen.add_bad(print_, number)
            return None
        creates_module = bool(line.module_id) and line.mode.creates
        if creates_module and fingerprint(line.id) not in self._seen.fingerprints:
            findings.append(Finding("moduleId", Rule.MODULE_WITHOUT_DEVICE))
        for finding in findings:
            self.report.add(number, line.id, finding)
        self._seen.add_good(print_)
        self._count_good(line.mode, line.authentication_type, 1)
        self._fast_path.learn(line.members)
        return line

    def _reject(self, number: int, device_id: str, findings: Iterable[Finding]) -> None:
        self.report.lines += 1
        for finding in findings:
            self.report.add(number, device_id, finding)

    def _visible_json(self, number: int, text: bytes) -> bytes:
        """Return a line without invisible characters and comments, which are reported."""
        text, invisible = visible_part(text)
        if invisible:
            self.note(number, Rule.LINE_INVISIBLE, invisible)
        if not text:
            self._blank_lines += 1
            return b""
        # A line that is a comment does not count as a line of the file's devices.
        is_comment = text.startswith(COMMENT_STARTS)
        text, comments = (b"", [0]) if is_comment else without_comments(text)
        if comments:
            self.note(number, Rule.JSON_COMMENT)
        return text

    def _read(self, line: bytes) -> tuple[dict[str, Any] | None, list[Finding]]:
        """Return the object in a line, or None, and what is wrong with its JSON."""
        if isinstance(value := read_sound(line), dict):
            return value, []
        if b"\0" in line:
            return None, [Finding("", Rule.LINE_NUL)]
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            return None, [Finding("", Rule.LINE_ENCODING, f"from byte {error.start + 1:,}")]
        value, findings = self._reader.read(text)
        has_more = bool(findings) and findings[0].rule is Rule.JSON_TRAILING_DATA
        if has_more and (match := OBJECTS_BY_ODD_LINE_END.search(line)):
            findings[0] = Finding("", Rule.LINE_END, describe_character(match["end"].decode()))
        if isinstance(value, dict):
            return value, findings
        if value is not None or not findings:
            findings = [Finding("", Rule.JSON_NOT_AN_OBJECT)]
        return None, findings

    def _finish(self) -> None:
        report, limits = self.report, self._limits
        if self._duplicates:
            first = self._seen.first_lines(frozenset(self._duplicates.values()), self.lines)
            report.explain(
                {
                    problem: f"first on line {first[print_]:,}"
                    for problem, print_ in self._duplicates.items()
                }
            )
        for count, rule in (
            (self._blank_lines, Rule.BLANK_LINES),
            (report.left_out, Rule.SYSTEM_MODULES),
        ):
            if count:
                report.add(None, "", Finding("", rule, f"{count:,}"))
        if report.is_unusable:
            return
        if not report.lines:
            report.refuse(None, Finding("", Rule.FILE_EMPTY))
        deletes = sum(count for mode, count in report.modes.items() if ImportMode(mode).deletes)
        allowed = min(limits.max_deletes, int(limits.max_delete_share * report.lines))
        detail = f"{deletes:,} of {report.lines:,} lines are deletes, {allowed:,} are allowed"
        if deletes > allowed and limits.approves_deletes:
            report.add(None, "", Finding("", Rule.DELETES_TO_APPROVE, detail))
        elif deletes > max(allowed, self._confirmed_deletes):
            detail += f"; to confirm, use confirmDeletes={deletes}"
            report.refuse(None, Finding("", Rule.TOO_MANY_DELETES, detail))


def _encoded(members: dict[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def _id_in(line: bytes) -> str:
    match = _ID.search(line)
    return match[1].decode("utf-8", "replace") if match else ""
