"""NUL bytes behind the content of a file, as page blobs have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.devices.rules import Rule
from shared.devices.source import Sink
from shared.devices.strictjson import Finding

__all__ = ["without_padding"]

_PIECE_BYTES = 64 * 1024


def without_padding(chunks: Iterable[bytes], sink: Sink) -> Iterator[bytes]:
    """The same bytes without the NULs at the end of the file, which are reported."""
    held = 0
    for chunk in chunks:
        content = chunk.rstrip(b"\0")
        if content:
            for start in range(0, held, _PIECE_BYTES):
                yield bytes(min(_PIECE_BYTES, held - start))
            yield content
            held = 0
        held += len(chunk) - len(content)
    if held:
        sink.note(None, Finding("", Rule.FILE_PADDING, f"{held:,} bytes"))
