"""A JSON object around the array of devices, such as `{"devices": [...]}`.

It is only a wrapper if it says nothing else: a link to the next page or a property that is meant
for all devices would be lost.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.devices.comments import COMMENTS, STRING, without_comments
from shared.devices.foreign import completed
from shared.devices.members import MEMBERS
from shared.devices.rules import Rule
from shared.devices.source import UnusableFileError
from shared.devices.strictjson import StrictReader
from shared.redaction import redact

__all__ = ["Wrapper", "find_wrapper"]

_BLANKS = rb"(?:\s++|%s)*+" % b"|".join(COMMENTS)
_SCALAR = rb'(?:%s|[^\s"{}\[\],/#]++)' % STRING
#: An object up to its first array, with scalar values alone in front of it.
_TO_ARRAY = re.compile(
    _BLANKS.join(
        (
            rb"\{",
            rb"(?:%s)*+" % _BLANKS.join((STRING, rb":", _SCALAR, rb",", b"")),
            rb'"(?P<name>[\w $.-]++)"',
            rb":",
            rb"(?=\[%s(?P<first>[{\]]))" % _BLANKS,
        )
    ),
    re.DOTALL,
)
#: Names of arrays that are taken for devices even where they are empty.
_USUAL = frozenset({"devices", "value", "items"})
#: What wrappers say that is of no account.
_HARMLESS = frozenset({"count", "total", "totalcount", "@odata.context", "@odata.count"})
_NEXT_PAGE = frozenset(
    {
        *("nextlink", "@odata.nextlink", "continuationtoken", "next", "hasmore", "more"),
        *("nextpagetoken", "nextmarker", "cursor"),
    }
)


class Wrapper(NamedTuple):
    """The beginning of such an object."""

    #: Up to the array.
    start: bytes
    #: Of the array.
    name: str

    def comments(self) -> list[int]:
        """Where comments begin in it."""
        return without_comments(self.start)[1]

    def check(self, rest: bytes = b"}") -> None:
        """Check that nothing is lost with the object around the array.

        Args:
            rest: what follows the array.

        Raises:
            UnusableFileError: something is.
        """
        text, _ = without_comments(self.start + b"[]" + rest)
        value, findings = StrictReader().read(text.decode("utf-8", "replace"))
        if findings or not isinstance(value, dict):
            rule = findings[0].rule if findings else Rule.JSON_INVALID
            raise UnusableFileError(rule, "in the object around the array of devices")
        others = {
            name.lower(): isinstance(other, dict | list)
            for name, other in value.items()
            if name != self.name and other not in (None, "", False)
        }
        if others.keys() & _NEXT_PAGE:
            detail = "the file is one page of several; fetch all pages and join their arrays"
            raise UnusableFileError(Rule.FILE_WRAPPER_MEMBERS, detail)
        if names := sorted(others.keys() - _HARMLESS) + [n for n, nests in others.items() if nests]:
            raise UnusableFileError(Rule.FILE_WRAPPER_MEMBERS, f"such as {redact(names[0][:60])}")


def find_wrapper(head: bytes) -> Wrapper | None:
    """The wrapper that a file begins with, if that is no device with an array."""
    match = _TO_ARRAY.match(head)
    if not match:
        return None
    name = match["name"].decode("utf-8", "replace")
    is_known = name.lower() in {known.lower() for known in MEMBERS}
    document = completed(without_comments(head)[0])
    if is_known or not isinstance(document, dict) or "id" in map(str.lower, document):
        return None
    is_usual = match["first"] == b"{" or name.lower() in _USUAL
    return Wrapper(match[0], name) if is_usual else None
