"""Files of imports as answers: whole, compressed, or in parts.

The Functions worker hands an answer to the host in one message, so what is sent whole is in memory
whole. A large file is read in chunks and compressed on the way, or asked for in parts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared.imports.operate.api_models import FileName
from shared.storage.blobs import StoredFile
from shared.web.messages import ProblemError, Request, Response

__all__ = ["MAX_BODY", "MAX_PART", "download"]

#: Bytes of the longest file that is sent whole and uncompressed.
MAX_BODY = 32 * 1024 * 1024
#: Bytes of the longest part; who asks for more gets so many (RFC 9110, 14.2: as the server likes).
MAX_PART = 8 * 1024 * 1024

_TYPES: dict[FileName, str] = {
    "report.json": "application/json",
    "problems.csv": "text/csv; charset=utf-8",
    "retry.ndjson": "application/x-ndjson",
}
#: One part; of several, and of other units, the whole file is sent (RFC 9110, 14.2).
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_QUALITY_0 = re.compile(r"q=0(\.0{0,3})?")
#: gzip, with the fastest compression: the files are large and are sent once.
_GZIP, _LEVEL = 31, 1


def download(request: Request, file: StoredFile, name: FileName, saved_as: str) -> Response:
    """The file, or the part of it that the request asks for.

    Raises:
        ProblemError: there is no such part, or the file is too large to be sent in one piece.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{saved_as}"',
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
    }
    try:
        if wanted := _wanted(request, file):
            start, end = wanted
            headers["Content-Range"] = f"bytes {start}-{end}/{file.size}"
            return Response(206, file.read(start, end - start + 1), _TYPES[name], headers)
        if _takes_gzip(request):
            headers["Content-Encoding"] = "gzip"
            # Other bytes, so another tag: nobody may put them together with parts of the file.
            headers["ETag"] = f'{file.etag[:-1]}-gzip"'
            return Response(200, _compressed(file.chunks()), _TYPES[name], headers)
        if file.size > MAX_BODY:
            raise ProblemError(
                406,
                "too-large",
                f"The file has {file.size} bytes and is sent compressed (Accept-Encoding: gzip) "
                "or in parts (Range: bytes=0-).",
            )
        return Response(200, b"".join(file.chunks()), _TYPES[name], headers)
    except (ResourceModifiedError, ResourceNotFoundError) as error:
        detail = "The file was written anew or deleted meanwhile; ask again."
        raise ProblemError(409, "changed", detail) from error


def _wanted(request: Request, file: StoredFile) -> tuple[int, int] | None:
    """First and last byte of the part that is asked for; None if it is the whole file."""
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or request.headers.get("if-range") not in (None, file.etag):
        return None
    first, last = match[1], match[2]
    if not first and not last:
        return None
    start = int(first) if first else max(0, file.size - int(last))
    end = min(int(last), file.size - 1) if first and last else file.size - 1
    if first and last and int(last) < start:
        return None
    if start > end:
        raise ProblemError(
            416,
            "no-such-range",
            f"The file has {file.size} bytes.",
            headers={"Content-Range": f"bytes */{file.size}"},
        )
    return start, min(end, start + MAX_PART - 1)


def _takes_gzip(request: Request) -> bool:
    for accepted in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, quality = accepted.replace(" ", "").partition(";")
        if coding == "gzip":
            return not _QUALITY_0.fullmatch(quality)
    return False


def _compressed(chunks: Iterable[bytes]) -> bytes:
    press = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return b"".join([*map(press.compress, chunks), press.flush()])
