"""gzip for clients that accept it (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import replace

from shared.web.http_types import Request, Response

__all__ = ["accepts_gzip", "compress", "gzip"]

_QUALITY_0 = re.compile(r"q=0(\.0{0,3})?")
#: gzip with the fastest compression, and window bits that stand for its header.
_LEVEL, _GZIP = 1, 31

_COMPRESSED_TYPES = ("text/html", "application/json", "application/problem+json")
#: Bytes that fit into one packet: a smaller answer does not arrive earlier.
_MIN_SIZE = 1024


def accepts_gzip(request: Request) -> bool:
    for accepted in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, quality = accepted.replace(" ", "").partition(";")
        if coding == "gzip":
            return not _QUALITY_0.fullmatch(quality)
    return False


def gzip(chunks: Iterable[bytes]) -> bytes:
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return b"".join([*map(compressor.compress, chunks), compressor.flush()])


def compress(request: Request, response: Response) -> Response:
    """Return the response, compressed if it is a page or JSON and the client accepts gzip.

    A range and what is compressed already stay as they are.
    """
    is_compressible = response.content_type.partition(";")[0] in _COMPRESSED_TYPES
    if not is_compressible or response.status == 206 or "Content-Encoding" in response.headers:
        return response
    headers = {**response.headers, "Vary": "Accept-Encoding"}
    if len(response.body) < _MIN_SIZE or not accepts_gzip(request):
        return replace(response, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return replace(response, body=gzip([response.body]), headers=headers)
