"""Gzipped files: unpacked as a stream, and never to more than is allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.rules import Finding, Rule

__all__ = ["MAGIC", "bounded", "unzipped", "without_padding"]

MAGIC = b"\x1f\x8b"

_CHUNK_BYTES = 1024 * 1024
#: What is unpacked at once: zlib copies the rest of it at the end of each member.
_SLICE_BYTES = 16 * 1024
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
    # Members may be many and tiny; who reads on wants large chunks.
    held: list[bytes] = []
    size = 0
    try:
        for rest in _slices(chunks):
            taken += len(rest)
            while rest:
                if member.eof:
                    if not rest.strip(b"\0"):
                        break  # padding, as tape archives have it
                    member = zlib.decompressobj(_GZIP)
                data = member.decompress(rest, _CHUNK_BYTES - size)
                rest = member.unused_data if member.eof else member.unconsumed_tail
                given += len(data)
                if given > max((taken - len(rest)) * max_expansion, _CHUNK_BYTES):
                    raise UnusableFileError(Rule.FILE_EXPANSION, f"over {max_expansion:,} times")
                held.append(data)
                size += len(data)
                if size == _CHUNK_BYTES:
                    yield b"".join(held)
                    held.clear()
                    size = 0
    except zlib.error:
        raise UnusableFileError(Rule.FILE_COMPRESSION) from None
    if not member.eof:
        raise UnusableFileError(Rule.FILE_COMPRESSION, "it ends in the middle")
    if size:
        yield b"".join(held)


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE_BYTES):
            yield chunk[start : start + _SLICE_BYTES]


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
