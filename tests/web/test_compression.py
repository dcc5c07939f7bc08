"""Pages and JSON are compressed for clients that accept it."""

from __future__ import annotations

import pytest

from shared.web.compression import compress
from shared.web.http_types import Request, Response
from tests.app import App
from tests.web.support import Client, complete

GZIP = {"Accept-Encoding": "br, gzip;q=0.8"}


def test_a_page_and_json(app: App, client: Client) -> None:
    complete(app)
    for path in ("dashboard", "openapi.json"):
        plain = client.get(path)
        assert "Content-Encoding" not in plain.headers
        assert plain.headers["Vary"] == "Accept-Encoding"
        small = client.get(path, headers=GZIP)
        assert small.headers["Content-Encoding"] == "gzip"
        assert small.headers["Vary"] == "Accept-Encoding"
        assert len(small.text) == len(plain.text)


def test_a_problem_page(client: Client) -> None:
    answer = client.get("dashboard/imports/nothing", headers=GZIP)
    assert answer.status_code == 404
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "<html" in answer.text


BODY = b"x" * 2000


@pytest.mark.parametrize(
    ("response", "is_compressed"),
    [
        (Response(200, BODY, "text/html; charset=utf-8"), True),
        (Response(200, BODY, "application/json"), True),
        (Response(503, BODY, "application/problem+json"), True),
        (Response(200, BODY[:1000], "application/json"), False),
        (Response(206, BODY, "application/json"), False),
        (Response(200, BODY, "application/x-ndjson"), False),
        (Response(200, BODY, "application/json", {"Content-Encoding": "gzip"}), False),
        (Response(303), False),
    ],
)
def test_what_is_compressed(response: Response, is_compressed: bool) -> None:
    request = Request("GET", "", headers={"accept-encoding": "gzip"})
    compressed = compress(request, response)
    assert (len(compressed.body) < len(response.body)) is is_compressed
    assert compressed.status == response.status
    refused = Request("GET", "", headers={"accept-encoding": "gzip;q=0, identity"})
    assert compress(refused, response).body == response.body
