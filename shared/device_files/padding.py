"""NUL bytes behind the content of a file, as page blobs have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.device_files.rules import Rule
from shared.device_files.source import Sink
from shared.device_files.strictjson import Finding

__all__ = ["without_padding"]

_PIECE_BYTES = 64 * 1024
#: What may stand behind the NULs.
_BEHIND = b"\0\r\n\x1a"


def without_padding(chunks: Iterable[bytes], sink: Sink) -> Iterator[bytes]:
    """The same bytes without the NULs at the end of the file, which are reported.

    Line ends and SUB (U+001A) among them or behind them are left out too.
    """
    # The NULs that may be the end, and what followed them.
    nuls, behind = 0, b""
    for chunk in chunks:
        end = len(chunk.rstrip(_BEHIND))
        if (nuls and end) or len(behind) > _PIECE_BYTES:
            yield from _zeros(nuls)
            yield behind
            nuls, behind = 0, b""
        tail = chunk
        if not nuls:
            first = chunk.find(b"\0", end)
            content = chunk if first < 0 else chunk[:first]
            yield content
            tail = chunk[len(content) :]
        if not behind:
            rest = tail.lstrip(b"\0")
            nuls += len(tail) - len(rest)
            tail = rest
        behind += tail
    if nuls:
        count = nuls + behind.count(b"\0")
        sink.note(None, Finding("", Rule.FILE_PADDING, f"{count:,} byte{'s' * (count > 1)}"))


def _zeros(count: int) -> Iterator[bytes]:
    for start in range(0, count, _PIECE_BYTES):
        yield bytes(min(_PIECE_BYTES, count - start))
