"""Downloads of files about imports: whole, compressed or, if they are stored, a range.

The Functions worker passes a response to the host in one message, so the whole response is held in
memory. A large file is therefore compressed while it is read, or downloaded in ranges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared.imports.operate.api_models import FileName
from shared.storage.blobs import StoredFile
from shared.web.compression import accepts_gzip, gzip
from shared.web.http_types import ProblemError, Request, Response

__all__ = ["MAX_BODY", "MAX_PART", "MEDIA_TYPES", "download", "download_made"]

#: Bytes of the largest file that is sent whole and uncompressed.
MAX_BODY = 32 * 1024 * 1024
#: Bytes of the largest range. A longer one is shortened, as RFC 9110, 14.2 allows.
MAX_PART = 8 * 1024 * 1024

MEDIA_TYPES: dict[FileName, str] = {
    "report.json": "application/json",
    "problems.csv": "text/csv; charset=utf-8",
    "retry.ndjson": "application/x-ndjson",
    "plan.json": "application/json",
    "plan.csv": "text/csv; charset=utf-8",
    "results.csv": "text/csv; charset=utf-8",
    "mapping.json": "application/json",
}
#: A single range. For several ranges, or other units, the whole file is sent (RFC 9110, 14.2).
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def download(request: Request, file: StoredFile, name: FileName, saved_as: str) -> Response:
    """Return the file, or the requested range of it.

    Raises:
        ProblemError: 406 if the file is too large to be sent whole and uncompressed, 409 if it was
            overwritten or deleted meanwhile, 416 if it has no such range.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{saved_as}"',
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
    }
    media_type = MEDIA_TYPES[name]
    try:
        if wanted := _requested_range(request, file):
            start, end = wanted
            headers["Content-Range"] = f"bytes {start}-{end}/{file.size}"
            return Response(206, file.read(start, end - start + 1), media_type, headers)
        if accepts_gzip(request):
            headers["Content-Encoding"] = "gzip"
            # Different bytes need a different ETag: clients must not combine them with ranges.
            headers["ETag"] = f'{file.etag[:-1]}-gzip"'
            return Response(200, gzip(file.chunks()), media_type, headers)
        if file.size > MAX_BODY:
            raise ProblemError(
                406,
                "too-large",
                f"The file has {file.size} bytes. Request it compressed (Accept-Encoding: gzip) or "
                "in ranges (Range: bytes=0-).",
            )
        return Response(200, b"".join(file.chunks()), media_type, headers)
    except (ResourceModifiedError, ResourceNotFoundError) as error:
        detail = "The file was overwritten or deleted during the download. Retry."
        raise ProblemError(409, "changed", detail) from error


def download_made(
    request: Request, chunks: Iterable[bytes], name: FileName, saved_as: str
) -> Response:
    """Return a file that is made while it is read. It has no ranges.

    Raises:
        ProblemError: 406 if it is too large to be sent uncompressed.
    """
    headers = {
        "Accept-Ranges": "none",
        "Content-Disposition": f'attachment; filename="{saved_as}"',
        "Vary": "Accept-Encoding",
    }
    if accepts_gzip(request):
        headers["Content-Encoding"] = "gzip"
        return Response(200, gzip(chunks), MEDIA_TYPES[name], headers)
    return Response(200, b"".join(_limited(chunks)), MEDIA_TYPES[name], headers)


def _limited(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_BODY:
            raise ProblemError(
                406,
                "too-large",
                f"The file has more than {MAX_BODY} bytes. Request it compressed "
                "(Accept-Encoding: gzip).",
            )
        yield chunk


def _requested_range(request: Request, file: StoredFile) -> tuple[int, int] | None:
    """Return the first and last byte of the requested range; None for the whole file."""
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
            f"The range starts after the end of the file, which has {file.size} bytes.",
            headers={"Content-Range": f"bytes */{file.size}"},
        )
    return start, min(end, start + MAX_PART - 1)
