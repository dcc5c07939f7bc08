"""The bytes of a file as a stream: decompressed, within its limits, without NUL padding."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.rules import Rule

__all__ = ["GZIP_MAGIC", "bounded", "pieces", "unzipped", "without_padding", "without_start"]

GZIP_MAGIC = b"\x1f\x8b"

_CHUNK_BYTES = 1024 * 1024
#: What is decompressed at once: zlib copies the rest of it at the end of each member.
_SLICE_BYTES = 16 * 1024
#: Makes zlib read gzip headers and trailers.
_GZIP_WBITS = 31
_PADDING_BYTES = 64 * 1024
#: What may follow NUL padding.
_AFTER_PADDING = b"\0\r\n\x1a"


def pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cut chunks into pieces of at most `size` bytes."""
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def bounded(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Pass chunks on.

    Raises:
        UnusableFileError: there are more than `max_bytes`.
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise UnusableFileError(Rule.FILE_TOO_LARGE, f"over {max_bytes:,} bytes")
        yield chunk


def without_start(count: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Skip the first `count` bytes."""
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
            break
        count -= len(chunk)
    yield from chunks


def unzipped(chunks: Iterable[bytes], max_expansion: int) -> Iterator[bytes]:
    """Decompress a gzip file of one or more members, in chunks of 1 MiB at most.

    Raises:
        UnusableFileError: it is corrupt, truncated, or expands to more than `max_expansion` times
            its size and more than 1 MiB.
    """
    size_in = size_out = 0
    member = zlib.decompressobj(_GZIP_WBITS)
    # There may be many tiny members, but readers need large chunks.
    parts: list[bytes] = []
    size = 0
    try:
        for rest in pieces(chunks, _SLICE_BYTES):
            size_in += len(rest)
            while rest:
                if member.eof:
                    if not rest.strip(b"\0"):
                        break  # padding, as in tape archives
                    member = zlib.decompressobj(_GZIP_WBITS)
                data = member.decompress(rest, _CHUNK_BYTES - size)
                rest = member.unused_data if member.eof else member.unconsumed_tail
                size_out += len(data)
                if size_out > max((size_in - len(rest)) * max_expansion, _CHUNK_BYTES):
                    raise UnusableFileError(Rule.FILE_EXPANSION, f"over {max_expansion:,} times")
                parts.append(data)
                size += len(data)
                if size == _CHUNK_BYTES:
                    yield b"".join(parts)
                    parts.clear()
                    size = 0
    except zlib.error:
        raise UnusableFileError(Rule.FILE_COMPRESSION) from None
    if not member.eof:
        raise UnusableFileError(Rule.FILE_COMPRESSION, "it is truncated")
    if size:
        yield b"".join(parts)


def without_padding(chunks: Iterable[bytes], sink: Sink) -> Iterator[bytes]:
    """Remove and report NUL bytes at the end of the file, as in page blobs.

    Line ends and SUB (U+001A) among them or after them are removed too.
    """
    nuls, after = 0, b""
    for chunk in chunks:
        end = len(chunk.rstrip(_AFTER_PADDING))
        if (nuls and end) or len(after) > _PADDING_BYTES:
            # Content follows, so this was no padding.
            for start in range(0, nuls, _PADDING_BYTES):
                yield bytes(min(_PADDING_BYTES, nuls - start))
            yield after
            nuls, after = 0, b""
        tail = chunk
        if not nuls:
            first = chunk.find(b"\0", end)
            content = chunk if first < 0 else chunk[:first]
            yield content
            tail = chunk[len(content) :]
        if not after:
            rest = tail.lstrip(b"\0")
            nuls += len(tail) - len(rest)
            tail = rest
        after += tail
    if nuls:
        count = nuls + after.count(b"\0")
        sink.note(None, Rule.FILE_PADDING, f"{count:,} byte{'s' * (count > 1)}")
