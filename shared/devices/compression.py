"""Gzipped files: unpacked as a stream, and never to more than is allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from shared.devices.rules import Rule
from shared.devices.source import UnusableFileError

__all__ = ["MAGIC", "bounded", "unzipped"]

MAGIC = b"\x1f\x8b"

_CHUNK_BYTES = 1024 * 1024
#: zlib's sign for gzip headers and trailers.
_GZIP = 31


def unzipped(chunks: Iterable[bytes], max_expansion: int) -> Iterator[bytes]:
    """The content of a gzip file of one or more members, in chunks of 1 MiB at most.

    Raises:
        UnusableFileError: it is damaged, cut off, or expands to more than `max_expansion` times
            its size; the first MiB is free.
    """
    taken = given = 0
    member = zlib.decompressobj(_GZIP)
    try:
        for chunk in chunks:
            taken += len(chunk)
            while chunk:
                if member.eof:
                    if not chunk.strip(b"\0"):
                        break  # padding, as tape archives have it
                    member = zlib.decompressobj(_GZIP)
                data = member.decompress(chunk, _CHUNK_BYTES)
                chunk = member.unused_data if member.eof else member.unconsumed_tail
                given += len(data)
                if given > max((taken - len(chunk)) * max_expansion, _CHUNK_BYTES):
                    raise UnusableFileError(Rule.FILE_EXPANSION, f"over {max_expansion:,} times")
                if data:
                    yield data
    except zlib.error:
        raise UnusableFileError(Rule.FILE_COMPRESSION) from None
    if not member.eof:
        raise UnusableFileError(Rule.FILE_COMPRESSION, "it ends in the middle")


def bounded(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """The same chunks, as long as they are not too many.

    Raises:
        UnusableFileError: there are more than `max_bytes`.
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise UnusableFileError(Rule.FILE_TOO_LARGE, f"over {max_bytes:,} bytes")
        yield chunk
