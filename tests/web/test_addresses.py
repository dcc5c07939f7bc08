"""Addresses in answers come from the route prefix, whatever path was called."""

from __future__ import annotations

import pytest

from shared.web.http_types import Request
from shared.web.rendering import Links
from shared.web.routes import address
from tests.app import App
from tests.web.support import Client, complete, partly

OVERRIDE = "AzureFunctionsJobHost__extensions__http__routePrefix"


@pytest.mark.parametrize("called", ["dashboard", "Dashboard/", "DASHBOARD"])
def test_links_of_a_page(app: App, client: Client, called: str) -> None:
    complete(app)
    page = client.get(called).text
    import_id = app.record("good.ndjson").id
    for path in ("/api/dashboard", "/api/dashboard/api", f"/api/dashboard/imports/{import_id}"):
        assert f'"{path}' in page


def test_the_address_of_a_new_import(app: App, client: Client) -> None:
    partly(app)
    answer = client.post(f"Imports/{app.record('partly.ndjson').id}/RETRY/")
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/imports/{answer.json()['id']}"


def test_the_server_in_the_document(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.json("OpenAPI.json/")["servers"] == [{"url": "/api"}]
    monkeypatch.setenv(OVERRIDE, "devices/v1")
    assert client.json("openapi.json")["servers"] == [{"url": "/devices/v1"}]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("", "/dashboard"), ("/a/b/", "/a/b/dashboard"), ("api", "/api/dashboard")],
)
def test_other_prefixes(monkeypatch: pytest.MonkeyPatch, prefix: str, expected: str) -> None:
    monkeypatch.setenv(OVERRIDE, prefix)
    assert address("dashboard") == expected
    request = Request("GET", "https://example.org/elsewhere", {"code": "k&y"})
    assert Links(request).link("dashboard") == f"{expected}?code=k%26y"
