"""The common good line, accepted fast.

Most lines of a file differ in their values alone. A line that was found good in full is turned
into a regular expression for lines of its shape: the same bytes between the values, and in each
value's place only what breaks no rule there, whatever the other values are. A line that matches is
good without being read; one that does not is looked at in full. So a shape decides nothing that
the rules have not decided before: it may be narrower than they are, never wider, and a property
test holds the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from shared.devices.record import MAX_STATUS_REASON, Record
from shared.devices.rules import Rule
from shared.devices.strictjson import Finding
from shared.devices.twin import DESIRED_BYTES, TAGS_BYTES, VALUE_BYTES

__all__ = ["Shape", "Shapes"]

#: Findings that follow from a line's shape alone, whatever its values are.
_OF_THE_SHAPE = frozenset(
    {
        Rule.AUTHENTICATION_MISSING,
        Rule.MEMBER_OF_THE_HUB,
        Rule.MEMBER_UNKNOWN,
        Rule.MODULE_AUTHENTICATION_NONE,
        Rule.PARENT_SCOPES_IGNORED,
        Rule.THUMBPRINT_MISSING,
        Rule.TWIN_NULL,
    }
)

#: How many lines of one form are seen when a shape is made of it. Making one takes some
#: milliseconds, and the first line may have been unlike the others.
_WORTH_IT = frozenset({3, 30, 300, 3000})
_MAX_SHAPES = 128
_MAX_FORMS = 1024

_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|-?[0-9][0-9.eE+-]*|true|false|null|[ \t]+', re.DOTALL
)
#: What a form leaves out: the values of texts and numbers.
_VALUE = re.compile(rb':[ \t]*(?:"[^"]*"|-?[0-9][0-9.eE+-]*|true|false)')

_ID = rb"[A-Za-z0-9\-._%*?!(),=@$']"
_BOOLEAN = rb"(?:true|false)"
#: At most 15 digits before the point: within the twin's range of integers, and finite.
_NUMBER = rb"-?(?:0|[1-9][0-9]{0,14}+)(?:\.[0-9]{1,15}+)?+"
_PLAIN = rb'[^"\\\x00-\x1f]'
_ESCAPE = rb"\\(?:[\\/bfnrt]|u(?![dD])[0-9A-Fa-f]{4})"
#: Bytes of a text that no section bounds.
_MAX_TEXT = 1024


@dataclass(slots=True)
class Shape:
    """The lines that match `pattern` in full and are UTF-8 are good, and alike in all else."""

    #: The group `id` is the only one but for `module`, the moduleId of a module.
    pattern: re.Pattern[bytes]
    is_module: bool
    mode: str
    creates: bool
    authentication_type: str
    findings: Sequence[Finding]

    #: There may be something to say of its lines.
    has_remarks: bool
    #: Lines that matched since this was set to 0.
    lines: int = 0


_NO_SHAPE = Shape(re.compile(rb"(?!)"), False, "", False, "", (), False)


class Shapes:
    """The shapes of one file, made as its lines come."""

    def __init__(self) -> None:
        self._seen: dict[tuple[bytes, str, str], int] = {}
        #: By the number of quotes in a line, which the texts of a shape cannot change.
        self._by_quotes: dict[int, list[Shape]] = {}
        self._all: list[Shape] = []
        #: That of the last line that had one.
        self.last = _NO_SHAPE

    def find(self, line: bytes) -> tuple[Shape, re.Match[bytes]] | None:
        """The shape of a line that is good beyond doubt; its UTF-8 is still to be checked."""
        candidates = self._by_quotes.get(line.count(b'"'), ())
        for shape in candidates:
            if match := shape.pattern.fullmatch(line):
                return shape, match
        return None

    def take_used(self) -> list[Shape]:
        """Those that lines have matched."""
        return [shape for shape in self._all if shape.lines]

    def learn(self, line: bytes, record: Record, findings: Sequence[Finding]) -> None:
        """Make a shape of a line without errors, if there are enough lines like it."""
        if len(self._all) == _MAX_SHAPES or any(
            finding.rule not in _OF_THE_SHAPE for finding in findings
        ):
            return
        form = _VALUE.sub(b":", line), record.mode.value, record.authentication_type
        if form not in self._seen and len(self._seen) == _MAX_FORMS:
            return
        self._seen[form] = seen = self._seen.get(form, 0) + 1
        if seen not in _WORTH_IT:
            return
        pattern = re.compile(b"".join(_patterns(line)))
        if pattern.fullmatch(line):
            shape = Shape(
                pattern,
                bool(record.module_id),
                record.mode.value,
                record.mode.creates,
                record.authentication_type,
                tuple(findings),
                has_remarks=bool(findings or record.module_id),
            )
            self._all.append(shape)
            self._by_quotes.setdefault(line.count(b'"'), []).append(shape)


def _patterns(line: bytes) -> Iterator[bytes]:
    """The parts of the regular expression: values generalised by their path, the rest as it is."""
    values = list(_values(line))
    budget = _Budget(line, [path for path, *_ in values])
    keep_edge = any(path.startswith("parentScopes") for path, *_ in values)
    end = 0
    for path, start, stop in values:
        yield re.escape(line[end:start])
        text = line[start:stop]
        if path == "capabilities.iotEdge" and keep_edge:
            yield text
        else:
            yield _pattern(path, text, budget)
        end = stop
    yield re.escape(line[end:])


def _pattern(path: str, text: bytes, budget: _Budget) -> bytes:
    if text in (b"true", b"false"):
        return _BOOLEAN
    if text == b"null" or (text == b'""' and not path.startswith(_TWIN_SECTIONS)):
        return text
    if not text.startswith(b'"'):
        return _NUMBER
    match path:
        case "id":
            return rb'"(?P<id>' + _ID + rb'{1,128}+)"'
        case "moduleId":
            return rb'"(?!\$)(?P<module>' + _ID + rb'{1,128}+)"'
        case "status":
            return rb'"(?:en|dis)abled"'
        case "importMode" | "authentication.type":
            return text
        case "statusReason":
            return rb'"%s{0,%d}+"' % (_PLAIN, MAX_STATUS_REASON)
        case "eTag" | "twinETag":
            return rb'"%s{1,%d}+"' % (_PLAIN, _MAX_TEXT)
        case "deviceScope":
            return rb'"ms-azure-iot-edge://[A-Za-z0-9\-._]{1,128}-[0-9]{1,20}"'
    if path.startswith("authentication.symmetricKey."):
        key = text.strip(b'"').rstrip(b"=")
        return rb'"[A-Za-z0-9+/]{%d}={%d}"' % (len(key), len(text) - 2 - len(key))
    if path.startswith("authentication.x509Thumbprint."):
        return rb'"[0-9A-Fa-f]{%d}"' % (len(text) - 2)
    if path.startswith("parentScopes"):
        return re.escape(text)
    longest = budget.text_bytes(path)
    if longest <= 0:
        return rb"(?!)"
    return rb'"%s{0,%d}+(?:%s%s{0,%d}+){0,3}+"' % (_PLAIN, longest, _ESCAPE, _PLAIN, longest)


_TWIN_SECTIONS = ("tags", "properties")


class _Budget:
    """How long texts may be so that the section they stand in cannot get too large."""

    def __init__(self, line: bytes, paths: Sequence[str]) -> None:
        self._bytes = {
            "tags": _share("tags.", TAGS_BYTES - len(line), paths),
            "properties": _share("properties.", DESIRED_BYTES - len(line), paths),
        }

    def text_bytes(self, path: str) -> int:
        """The longest of the four runs of plain characters in a text; 0 or less if none may be."""
        return self._bytes.get(path.partition(".")[0], _MAX_TEXT)


def _share(prefix: str, left: int, paths: Sequence[str]) -> int:
    """The names of a section are shorter than the whole line, and its other values count 8."""
    count = max(1, sum(path.startswith(prefix) for path in paths))
    # A text is four runs of plain characters and three escapes of six characters at most.
    return min(VALUE_BYTES, left // count - 8) // 4 - 6


def _values(line: bytes) -> Iterator[tuple[str, int, int]]:
    """Path, start and end of each value that is neither an object nor an array.

    The line is one JSON object.
    """
    path: list[str] = []
    containers: list[Iterator[int] | None] = []
    name: str | None = None
    for token in _TOKEN.finditer(line):
        text = token[0]
        match text[:1]:
            case b"{" | b"[":
                if containers:
                    path.append(_step(containers, name))
                containers.append(None if text == b"{" else count())
                name = None
            case b"}" | b"]":
                containers.pop()
                if path:
                    path.pop()
            case b":" | b"," | b" " | b"\t":
                if text == b",":
                    name = None
            case b'"' if name is None and containers[-1] is None:
                name = json.loads(text)
            case _:
                yield ".".join((*path, _step(containers, name))), *token.span()


def _step(containers: Sequence[Iterator[int] | None], name: str | None) -> str:
    indexes = containers[-1]
    if indexes is not None:
        return str(next(indexes))
    assert name is not None
    return name
