"""Requests and answers, as far as the endpoints need them, and problem documents (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

__all__ = ["ProblemError", "Request", "Response", "json_response", "problem"]

#: Nothing that is served may stay in a cache: states change, and files hold device keys.
_ALWAYS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Request:
    """A request as the host hands it over."""

    method: str
    url: str
    #: Of a parameter that occurs twice, the host hands over one value only.
    query: Mapping[str, str] = field(default_factory=dict)
    #: What stands in the route for its parameters.
    path: Mapping[str, str] = field(default_factory=dict)
    #: Names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """An answer, complete."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> dict[str, str]:
        return {**_ALWAYS, "Content-Type": self.content_type, **self.headers}


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
        super().__init__(detail)
        self.status = status
        #: Stable name of the problem; docs/operations.md lists them.
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}
        #: Extension members of the document.
        self.members = members


def json_response(
    value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(status, _encoded(value), "application/json", headers or {})


def problem(error: ProblemError) -> Response:
    """The problem document of an error."""
    document = {
        "type": f"urn:device-importer:{error.kind}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        **error.members,
    }
    return Response(error.status, _encoded(document), "application/problem+json", error.headers)


def _encoded(value: Any) -> bytes:
    """JSON in UTF-8; what a request said may hold halves of surrogate pairs."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
