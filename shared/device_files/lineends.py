"""Line ends that are neither LF nor CRLF."""

from __future__ import annotations

import re

__all__ = ["OBJECTS_BY_ODD_LINE_END", "ODD_LINE_END"]

#: CR alone, NEXT LINE, LINE SEPARATOR and PARAGRAPH SEPARATOR.
_END = rb"(?P<end>\r|\xc2\x85|\xe2\x80[\xa8\xa9])"
ODD_LINE_END = re.compile(_END)
OBJECTS_BY_ODD_LINE_END = re.compile(rb"\}[ \t]*%s\s*\{" % _END)
