"""A JSON object around the array of devices, such as `{"devices": [...]}`.

It must contain nothing else: a link to the next page, or a property that applies to all devices,
would be lost.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from shared.device_files.formats.comments import COMMENTS, STRING, without_comments
from shared.device_files.formats.foreign import completed
from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.lines.damage import is_secret
from shared.device_files.lines.members import MEMBERS
from shared.device_files.lines.strict_json import StrictReader, read_sound
from shared.device_files.rules import Finding, Rule
from shared.redaction import redact

__all__ = ["Wrapper", "find_wrapper", "reject_other_wrappers"]

_BLANKS = rb"(?:\s++|%s)*+" % b"|".join(COMMENTS)
_SCALAR = rb'(?:%s|[^\s"{}\[\],/#]++)' % STRING
#: An object up to its first array, with only scalar values before it.
_TO_ARRAY = re.compile(
    _BLANKS.join(
        (
            rb"\{",
            rb"(?:%s)*+" % _BLANKS.join((STRING, rb":", _SCALAR, rb",", b"")),
            rb'"(?P<name>(?:[^"\\\n]++|\\.)++)"',
            rb":",
            rb"(?=\[%s(?P<first>[{\]]))" % _BLANKS,
        )
    ),
    re.DOTALL,
)
#: Names of arrays that are read as devices even if they are empty.
_USUAL = frozenset({"devices", "value", "items"})
_COUNTS = frozenset({"count", "total", "totalcount", "@odata.count"})
_HARMLESS = frozenset({*_COUNTS, "@odata.context", "$id", "$type"})
#: In lower case, without - and _.
_NEXT_PAGE = frozenset(
    {
        *("nextlink", "@odata.nextlink", "continuationtoken", "next", "hasmore", "more"),
        *("nextpagetoken", "nextmarker", "cursor", "odata.nextlink", "nextpage", "nexttoken"),
        *("nextcursor", "pagetoken", "skiptoken", "hasnext", "hasnextpage"),
    }
)
_IS_PAGE = "the file is one page of several; fetch all pages and join their arrays"
_KNOWN = frozenset(name.lower() for name in MEMBERS)
_IDS = frozenset({"id", "deviceid"})
#: Objects around the array.
_MAX_DEPTH = 4


class Wrapper(NamedTuple):
    """The beginning of such an object."""

    #: The text before the array.
    start: bytes
    #: The name of the array.
    name: str
    #: The line that the object begins on.
    line: int

    def comments(self) -> list[int]:
        """Return where comments begin in it."""
        return without_comments(self.start)[1]

    def check(self) -> None:
        """Check the part before the array, as `check_end` does."""
        self._others(b"}", self.line)

    def check_end(self, rest: bytes, line: int, count: int, sink: Sink) -> None:
        """Check that the object contains nothing but the array.

        Args:
            rest: what follows the array.
            line: the line that it begins on.
            count: elements of the array.

        Raises:
            UnusableFileError: it contains something else.
        """
        for name, value in self._others(rest, line).items():
            if name.lower() in _COUNTS and type(value) is int and value != count:
                place = self._line_of(name, rest, line)
                sink.note(place, Rule.FILE_WRAPPER_COUNT, f"{count:,} elements")

    def _others(self, rest: bytes, line: int) -> dict[str, Any]:
        """Return the properties besides the array that have a value."""
        text, _ = without_comments(self.start + b"[]" + rest)
        try:
            document, findings = StrictReader().read(text.decode())
        except UnicodeDecodeError:
            document, findings = None, [Finding("", Rule.LINE_ENCODING)]
        if findings or not isinstance(document, dict):
            rule = findings[0].rule if findings else Rule.JSON_INVALID
            raise UnusableFileError(rule, "in the object around the array of devices", line)
        others = {
            name: value
            for name, value in document.items()
            if name != self.name and value not in (None, "", False)
        }
        pages = [name for name in others if re.sub("[-_]", "", name.lower()) in _NEXT_PAGE]
        harmful = [
            name
            for name, value in others.items()
            if name.lower() not in _HARMLESS or isinstance(value, dict | list)
        ]
        for name in [*pages, *harmful]:
            detail = f"{name}: {_IS_PAGE}" if pages else f"such as {_shown(name)}"
            place = self._line_of(name, rest, line)
            raise UnusableFileError(Rule.FILE_WRAPPER_MEMBERS, detail, place)
        return others

    def _line_of(self, name: str, rest: bytes, line: int) -> int:
        """Return the line of a property; that of what follows the array if it is unknown."""
        quoted = f'"{name}"'.encode("utf-8", "replace")
        if (position := self.start.find(quoted)) >= 0:
            return self.line + self.start.count(b"\n", 0, position)
        return line + rest.count(b"\n", 0, max(rest.find(quoted), 0))


def find_wrapper(head: bytes, line: int) -> Wrapper | None:
    """Return the wrapper that a file begins with, unless that is a device with an array.

    Args:
        line: the line that it begins on.
    """
    match = _TO_ARRAY.match(head)
    if not match:
        return None
    try:
        name = json.loads(b'"%s"' % match["name"])
    except ValueError:
        return None
    is_usual = name.lower() in _USUAL
    document = completed(without_comments(head)[0])
    if document is None and ("device" in name.lower() or is_usual):
        # Something in it is not JSON, which is reported where it is.
        document = completed(without_comments(match[0] + b"[]}")[0])
    if name.lower() in _KNOWN or not isinstance(document, dict) or _has_id(document):
        return None
    return Wrapper(match[0], name, line) if match["first"] == b"{" or is_usual else None


def reject_other_wrappers(head: bytes, line: int) -> None:
    """Reject an object that contains the array of devices deeper, or after other objects.

    Raises:
        UnusableFileError: a file that begins so is one.
    """
    first, _, rest = head.partition(b"\n")
    if rest.strip() and isinstance(read_sound(first.strip()), dict):
        return  # NDJSON
    document = completed(without_comments(head)[0])
    path = _path_of_devices(document, ())
    if not path or path[0].lower() in _KNOWN or _has_id(document):
        return
    others = [name for name in document if name != path[0]]
    if len(path) > 1:
        detail = f"the array is in {'.'.join(map(_shown, path))}"
    elif others:
        detail = f"such as {_shown(others[0])}"
    else:
        return
    raise UnusableFileError(Rule.FILE_WRAPPER_MEMBERS, detail, line)


def _path_of_devices(value: Any, above: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that lead to an array of objects with ids; empty for none."""
    if not isinstance(value, dict) or len(above) >= _MAX_DEPTH:
        return ()
    for name, below in value.items():
        if isinstance(below, list) and below and isinstance(below[0], dict):
            if not _IDS.isdisjoint(map(str.lower, below[0])):
                return (*above, name)
        elif path := _path_of_devices(below, (*above, name)):
            return path
    return ()


def _has_id(document: dict[str, Any]) -> bool:
    return "id" in map(str.lower, document)


def _shown(name: str) -> str:
    return "a name that is not shown" if is_secret(name) else redact(name[:60])
