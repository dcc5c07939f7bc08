"""HTTP requests, responses and problem documents (RFC 9457) as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["ProblemError", "Request", "Response", "invalid_request"]

#: No cache may keep an answer: states change, and files contain device keys.
_COMMON_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

#: Fields of a form; those of the pages have fewer.
_MAX_FIELDS = 20


@dataclass(frozen=True)
class Request:
    """A request as received from the Functions host."""

    method: str
    url: str
    #: The host drops a parameter without a value, and joins several values with commas.
    query: Mapping[str, str] = field(default_factory=dict)
    #: Values of the parameters in the route.
    path: Mapping[str, str] = field(default_factory=dict)
    #: Names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def form(self) -> Mapping[str, str]:
        """What a form on a page sent; empty if it was none.

        Raises:
            ProblemError: 400 if it has too many fields.
        """
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/x-www-form-urlencoded":
            return {}
        try:
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS))
        except ValueError:
            messages = {"form": f"must have at most {_MAX_FIELDS} fields"}
            raise invalid_request(messages) from None


@dataclass(frozen=True)
class Response:
    """A complete response."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> dict[str, str]:
        return {**_COMMON_HEADERS, "Content-Type": self.content_type, **self.headers}


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Create the error.

        Args:
            kind: stable name of the type of problem, as listed in docs/operations.md.
            members: extension members of the document.
        """
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.document = {
            "type": f"urn:device-importer:{kind}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            **members,
        }

    def response(self) -> Response:
        # Values of the request can contain lone surrogates, which UTF-8 cannot encode.
        body = json.dumps(self.document, ensure_ascii=False).encode("utf-8", "replace")
        return Response(self.status, body, "application/problem+json", self.headers)


def invalid_request(messages: Mapping[str, str]) -> ProblemError:
    """Return the problem of a request with invalid parameters, given a message for each."""
    name, message = next(iter(messages.items()))
    errors = [{"parameter": name, "message": text} for name, text in messages.items()]
    detail = f"Invalid parameter {name!r}: {message.removesuffix('.')}."
    return ProblemError(400, "invalid-request", detail, errors=errors)
