"""The common good line, accepted fast.

Most lines of a file are alike. What was found good in full is turned into a regular expression for
lines of its shape: the same bytes between the values, in each value's place only what breaks no
rule there whatever the other values are, and for the sections of a twin any choice of what other
good lines had there. A line that matches is good without being read; one that does not is looked
at in full. So a shape decides nothing that the rules have not decided before: it may be narrower
than they are, never wider, and a property test holds the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from shared.devices.record import MAX_STATUS_REASON, Record
from shared.devices.rules import Rule, Severity
from shared.devices.sections import (
    BOOLEAN,
    ESCAPED_TEXT,
    NUMBER,
    Groups,
    Section,
    Style,
    is_learnable,
)
from shared.devices.strictjson import Finding
from shared.devices.twin import DESIRED_BYTES, TAGS_BYTES

__all__ = ["SURE_BYTES", "Shape", "Shapes"]

#: Findings that follow from a line's shape alone, whatever its values are.
_OF_THE_SHAPE = frozenset(
    {
        Rule.AUTHENTICATION_CONFLICT,
        Rule.AUTHENTICATION_MISSING,
        Rule.AUTHENTICATION_TYPE_INVALID,
        Rule.AUTHENTICATION_TYPE_NONE,
        Rule.ETAG_MISSING,
        Rule.IMPORT_MODE_INVALID,
        Rule.KEY_LENGTH,
        Rule.KEY_MISSING,
        Rule.MEMBER_OF_THE_HUB,
        Rule.MEMBER_UNKNOWN,
        Rule.MODULE_AUTHENTICATION_NONE,
        Rule.PARENT_SCOPES_COUNT,
        Rule.PARENT_SCOPES_IGNORED,
        Rule.STATUS_INVALID,
        Rule.STATUS_MISSING,
        Rule.THUMBPRINT_LENGTHS,
        Rule.THUMBPRINT_MISSING,
        Rule.THUMBPRINT_PRIMARY_MISSING,
        Rule.TWIN_ETAG_MISSING,
        Rule.TWIN_MISSING,
    }
)

#: The sections of a twin, with the bytes that they may take in a line. The hub counts 8 for a
#: number, which may be one character and a comma, so that is a quarter of what it allows.
_SECTIONS = {
    "tags": TAGS_BYTES // 4,
    "properties.desired": DESIRED_BYTES // 4,
    "properties.reported": None,
}
#: Begins the path of a section of a line that updates a twin.
_PATCH = "patch:"
#: No section of a line that is no longer than this can be too large.
SURE_BYTES = TAGS_BYTES // 4

#: Good lines that had to be read in full before the first pattern is made; the next one is made
#: when there are four times as many, if they brought anything new. Making one takes milliseconds.
_FIRST_PATTERN = 24
_GROWTH = 4
#: Bytes of a line that patterns are made for.
_LONGEST = DESIRED_BYTES
#: Good lines that brought nothing new before learning is given up.
_PATIENCE = 500
#: What a pattern may hold: each group takes time with each line.
_MAX_SHAPES = 64
_MAX_PARTS = 200
_MAX_GROUPS = 600
#: Shapes, names and kinds of values; a file that has more is not of the common sort.
_MAX_NEWS = 1000

_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|-?[0-9][0-9.eE+-]*|true|false|null|[ \t]+', re.DOTALL
)
_ID = rb"[A-Za-z0-9\-._%*?!(),=@$']{1,128}+"
_PLAIN = rb'[^"\\\x00-\x1f]'
_NEVER = re.compile(rb"(?!)")


@dataclass(slots=True, eq=False)
class Shape:
    """Lines that are alike but for their values and what their sections hold.

    People make mistakes in earnest: where one line lacks its status, a million do. So a shape may
    be that of lines which all break the same rules.
    """

    #: Regular expressions in turn, or paths of what is given a group: ids and sections.
    skeleton: tuple[bytes | str, ...]
    is_module: bool
    mode: str
    creates: bool
    authentication_type: str
    findings: Sequence[Finding]
    #: None of the findings is an error.
    is_good: bool
    #: There may be something to say of its good lines.
    has_remarks: bool
    #: Lines that matched since this was set to 0.
    lines: int = 0
    #: Lines that matched or were learned from.
    weight: int = 0
    #: Groups of the pattern, by path.
    groups: dict[str, int] = field(default_factory=dict)
    id_group: int = 0

    def fits(self, match: re.Match[bytes]) -> bool:
        """Whether no section of a matched line can be too large."""
        return all(
            match.end(group) - match.start(group) <= limit
            for path, group in self.groups.items()
            if (limit := _SECTIONS.get(path.removeprefix(_PATCH)))
        )


class Shapes:
    """The shapes of one file, made as its lines come."""

    def __init__(self) -> None:
        #: A line that matches in full and is UTF-8 is good, if its shape says that it fits.
        self.pattern = _NEVER
        #: By the last group of a match.
        self.by_group: dict[int, Shape] = {}
        self._shapes: dict[tuple[bytes | str, ...], Shape] = {}
        #: By path, and apart for lines that update twins, where null means something.
        self._sections = {
            _section(path, patches): Section() for path in _SECTIONS for patches in (False, True)
        }
        self._learned = 0
        self._next_pattern = _FIRST_PATTERN
        self._is_outdated = False
        self._news = 0
        self._patience = _PATIENCE

    def take_used(self) -> Iterator[tuple[Shape, int]]:
        """The shapes that lines have matched since this was asked last, with their number."""
        for shape in self._shapes.values():
            if shape.lines:
                yield shape, shape.lines
                shape.weight += shape.lines
                shape.lines = 0

    def learn(self, line: bytes, record: Record, findings: Sequence[Finding]) -> None:
        """Take a line as an example, if all that is to say of it follows from its shape."""
        if (
            self._patience <= 0
            or len(line) > _LONGEST
            or any(finding.rule not in _OF_THE_SHAPE for finding in findings)
        ):
            return
        news = self._learn_sections(line, record) + self._learn_shape(line, record, findings)
        self._learned += 1
        self._news += news
        self._patience = 0 if self._news > _MAX_NEWS else _PATIENCE if news else self._patience - 1
        self._is_outdated |= news > 0
        if self._is_outdated and self._learned >= self._next_pattern:
            self._make_pattern()
            self._next_pattern = _GROWTH * self._learned
            self._is_outdated = False

    def _learn_sections(self, line: bytes, record: Record) -> int:
        """How much was new."""
        properties = record.members.get("properties") or {}
        sections = {
            "tags": record.members.get("tags"),
            "properties.desired": properties.get("desired"),
            "properties.reported": properties.get("reported"),
        }
        style = Style.of(line)
        return sum(
            self._sections[_section(path, record.mode.updates_twin)].learn(members, style)
            for path, members in sections.items()
            if members is not None and is_learnable(members)
        )

    def _learn_shape(self, line: bytes, record: Record, findings: Sequence[Finding]) -> int:
        """1 if it was new, 0 if not or if it is too much for a pattern."""
        skeleton = tuple(_skeleton(line, record.mode.updates_twin))
        shape = self._shapes.get(skeleton)
        if shape is not None:
            shape.weight += 1
            return 0
        paths = [part for part in skeleton if isinstance(part, str)]
        # A member that is no section may have the path of one for its name.
        if len(skeleton) > _MAX_PARTS or len({*paths}) < len(paths):
            return 0
        if len(self._shapes) == _MAX_SHAPES:
            return 0
        self._shapes[skeleton] = Shape(
            skeleton,
            bool(record.module_id),
            record.mode.value,
            record.mode.creates,
            record.authentication_type,
            tuple(findings),
            is_good=not any(finding.rule.severity is Severity.ERROR for finding in findings),
            has_remarks=bool(findings or record.module_id),
        )
        return 1

    def _make_pattern(self) -> None:
        """One pattern of all shapes; of those that begin alike, the most frequent first."""
        self.by_group = {}
        shapes = sorted(self._shapes.values(), key=lambda shape: -shape.weight)
        groups = Groups()
        self.pattern = re.compile(self._pattern(shapes, 0, {}, groups))

    def _pattern(
        self, shapes: Sequence[Shape], part: int, taken: dict[str, int], groups: Groups
    ) -> bytes:
        """The pattern from a part of the skeletons on, which are alike before it."""
        branches: dict[bytes | str, list[Shape]] = {}
        for shape in shapes:
            branches.setdefault(shape.skeleton[part], []).append(shape)
        patterns = []
        for step, alike in branches.items():
            if groups.count > _MAX_GROUPS:
                break
            now = taken
            if isinstance(step, bytes):
                pattern = step
            else:
                now = {**taken, step: groups.next()}
                pattern = self._group(step, groups)
            ended = [shape for shape in alike if len(shape.skeleton) == part + 1]
            for shape in ended:
                shape.groups, shape.id_group = now, now["id"]
                self.by_group[groups.next()] = shape
                pattern += rb"()"
            if len(ended) < len(alike):
                pattern += self._pattern(alike, part + 1, now, groups)
            patterns.append(pattern)
        return patterns[0] if len(patterns) == 1 else rb"(?:%s)" % rb"|".join(patterns)

    def _group(self, path: str, groups: Groups) -> bytes:
        match path:
            case "id":
                return rb'"(%s)"' % _ID
            case "moduleId":
                return rb'"((?!\$)%s)"' % _ID
        return rb"(%s)" % self._sections[path].pattern(groups)


def _section(path: str, patches: bool) -> str:
    return f"{_PATCH}{path}" if patches else path


def _skeleton(line: bytes, patches: bool) -> Iterator[bytes | str]:
    """The parts of a line: values generalised by their paths, the rest as it is."""
    values = list(_values(line))
    keeps_edge = any(path.startswith("parentScopes") for path, *_ in values)
    end = 0
    for path, start, stop in values:
        yield re.escape(line[end:start])
        text = line[start:stop]
        if path in ("id", "moduleId") and text != b"null":
            yield path
        elif path in _SECTIONS and text != b"null":
            yield _section(path, patches)
        elif path == "capabilities.iotEdge" and keeps_edge:
            yield text
        else:
            yield _pattern_of(path, text)
        end = stop
    yield re.escape(line[end:])


def _pattern_of(path: str, text: bytes) -> bytes:
    if text in (b"true", b"false"):
        return BOOLEAN
    if text in (b"null", b'""'):
        return text
    if not text.startswith(b'"'):
        return NUMBER
    match path:
        case "status" if text in (b'"enabled"', b'"disabled"'):
            return rb'"(?:en|dis)abled"'
        case "status" | "importMode" | "authentication.type":
            return re.escape(text)
        case "statusReason":
            return rb'"%s{0,%d}+"' % (_PLAIN, MAX_STATUS_REASON)
        case "eTag" | "twinETag":
            return rb'"%s{1,1000}+"' % _PLAIN
        case "deviceScope":
            return rb'"ms-azure-iot-edge://[A-Za-z0-9\-._]{1,128}-[0-9]{1,20}"'
    if path.startswith("authentication.symmetricKey."):
        key = text.strip(b'"').rstrip(b"=")
        return rb'"[A-Za-z0-9+/]{%d}={%d}"' % (len(key), len(text) - 2 - len(key))
    if path.startswith("authentication.x509Thumbprint."):
        return rb'"[0-9A-Fa-f]{%d}"' % (len(text) - 2)
    if path.startswith("parentScopes"):
        return re.escape(text)
    return ESCAPED_TEXT


def _values(line: bytes) -> Iterator[tuple[str, int, int]]:
    """Path, start and end of each section and of each value that is no object nor array.

    The line is one JSON object.
    """
    path: list[str] = []
    #: What counts the items of each array that is open; None for an object.
    containers: list[Iterator[int] | None] = []
    name: str | None = None
    section: tuple[str, int, int] | None = None
    for token in _TOKEN.finditer(line):
        text = token[0]
        match text[:1]:
            case b"{" | b"[":
                if containers:
                    path.append(_step(containers, name))
                containers.append(None if text == b"{" else count())
                name = None
                where = ".".join(path)
                if section is None and where in _SECTIONS:
                    section = where, token.start(), len(containers)
            case b"}" | b"]":
                if section and section[2] == len(containers):
                    yield section[0], section[1], token.end()
                    section = None
                containers.pop()
                if path:
                    path.pop()
            case b":" | b"," | b" " | b"\t":
                if text == b",":
                    name = None
            case b'"' if name is None and containers[-1] is None:
                name = json.loads(text)
            case _:
                if section is None:
                    yield ".".join((*path, _step(containers, name))), *token.span()


def _step(containers: Sequence[Iterator[int] | None], name: str | None) -> str:
    indexes = containers[-1]
    if indexes is not None:
        return str(next(indexes))
    assert name is not None
    return name
