"""Queries over HTTP and paging; test_query.py tests the language."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from iothub_emulator import HubEmulator
from iothub_emulator.api import search
from iothub_emulator.api.documents import twin_document
from iothub_emulator.registry.entries import Entry
from tests.emulator.support import HubClient, error_code, stored

ALL = "SELECT * FROM devices"
IDS = "SELECT deviceId FROM devices"
MODULE_IDS = "SELECT moduleId FROM devices.modules"


@pytest.fixture(autouse=True)
def fleet(hub: HubEmulator) -> None:
    """Five pumps, the third with three modules; every second one has the site north."""
    for number in range(5):
        site = "south" if number % 2 else "north"
        hub.registry.put({"id": f"pump-{number}", "tags": {"site": site}})
    for module_id in ("a", "b", "c"):
        hub.registry.put({"id": "pump-2", "moduleId": module_id})


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the twins for which the hub builds documents."""
    ids: list[str] = []

    def build(entry: Entry, *arguments: Any, **options: Any) -> dict[str, Any]:
        ids.append(str(entry.identity.key))
        return twin_document(entry, *arguments, **options)

    monkeypatch.setattr(search, "twin_document", build)
    return ids


def query(
    client: HubClient, text: str, size: int | str | None = None, token: str | None = None
) -> requests.Response:
    headers = {"x-ms-max-item-count": size, "x-ms-continuation": token}
    given = {name: str(value) for name, value in headers.items() if value is not None}
    return client.send("POST", "/devices/query", {"query": text}, headers=given)


def pages(client: HubClient, text: str, size: int) -> Iterator[list[Any]]:
    token: str | None = None
    while True:
        response = query(client, text, size, token)
        assert response.status_code == 200, response.text
        yield response.json()
        token = response.headers.get("x-ms-continuation")
        if token is None:
            return


def names(page: list[dict[str, str]]) -> str:
    """The last character of each id of a page."""
    return "".join(next(iter(row.values()))[-1] for row in page)


def test_select_all_returns_twins(client: HubClient) -> None:
    response = query(client, f"{ALL} WHERE deviceId = 'pump-3'")

    assert response.headers["x-ms-item-type"] == "Twin"
    assert "ETag" not in response.headers
    assert response.json() == [client.send("GET", "/twins/pump-3").json()]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            "SELECT deviceId, tags.site AS area FROM devices WHERE deviceId = 'pump-1'",
            [{"deviceId": "pump-1", "area": "south"}],
        ),
        ("SELECT COUNT() AS n FROM devices WHERE tags.site = 'north'", [{"n": 3}]),
        ("SELECT COUNT() AS n FROM devices.modules", [{"n": 3}]),
        (
            "SELECT tags.site, COUNT() AS n FROM devices GROUP BY tags.site",
            [{"site": "north", "n": 3}, {"site": "south", "n": 2}],
        ),
    ],
    ids=["projection", "count", "count of modules", "groups"],
)
def test_other_selections_return_raw_rows(
    client: HubClient, text: str, rows: list[dict[str, Any]]
) -> None:
    token = None
    for row in rows:
        response = query(client, text, size=1, token=token)
        assert response.headers["x-ms-item-type"] == "Raw"
        assert response.json() == [row]
        token = response.headers.get("x-ms-continuation")
    assert token is None


def test_children_of_an_edge_device(hub: HubEmulator, client: HubClient) -> None:
    """As the az CLI asks for them, which reads the scope first."""
    hub.registry.put({"id": "gate-1", "capabilities": {"iotEdge": True}})
    scope = stored(hub.registry, "gate-1")["deviceScope"]
    hub.registry.put({"id": "leaf-1", "deviceScope": scope})
    hub.registry.put({"id": "gate-2", "capabilities": {"iotEdge": True}, "parentScopes": [scope]})
    condition = f"array_contains(parentScopes, '{scope}')"
    children = query(client, f"select deviceId from devices where {condition}")

    assert children.json() == [{"deviceId": "gate-2"}, {"deviceId": "leaf-1"}]


def test_there_are_no_scheduled_jobs(client: HubClient) -> None:
    response = query(client, "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'a'")

    assert response.headers["x-ms-item-type"] == "DeviceJob"
    assert response.json() == []


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        (IDS, 2, "01 23 4"),
        (IDS, 5, "01234"),
        (IDS, 10**30, "01234"),
        (f"{IDS} WHERE tags.site = 'north'", 1, "0 2 4"),
        (f"{IDS} WHERE tags.site = 'south'", 2, "13"),
        (f"{IDS} WHERE tags.site = 'west'", 2, ""),
        ("SELECT TOP 3 deviceId FROM devices", 2, "01 2"),
        ("SELECT TOP 4 deviceId FROM devices", 2, "01 23"),
        ("SELECT TOP 9 deviceId FROM devices", 3, "012 34"),
        ("SELECT TOP 1 deviceId FROM devices", 2, "0"),
        ("SELECT TOP 0 deviceId FROM devices", 2, ""),
        ("SELECT TOP 1e300 deviceId FROM devices", 3, "012 34"),
        ("SELECT TOP 2 deviceId FROM devices WHERE tags.site = 'north'", 1, "0 2"),
        (MODULE_IDS, 2, "ab c"),
        (f"{MODULE_IDS} WHERE deviceId = 'pump-2'", 2, "ab c"),
        (f"{MODULE_IDS} WHERE deviceId = 'pump-2' AND moduleId != 'b'", 1, "a c"),
        (f"{MODULE_IDS} WHERE deviceId = 'pump-1'", 2, ""),
        ("SELECT TOP 2 moduleId FROM devices.modules WHERE deviceId = 'pump-2'", 1, "a b"),
    ],
)
def test_pages(client: HubClient, text: str, size: int, expected: str) -> None:
    assert " ".join(map(names, pages(client, text, size))) == expected


def test_the_default_page_size_is_100(hub: HubEmulator, client: HubClient) -> None:
    for number in range(96):
        hub.registry.put({"id": f"valve-{number}"})
    first = query(client, IDS)

    assert len(first.json()) == 100
    assert len(query(client, IDS, token=first.headers["x-ms-continuation"]).json()) == 1


def test_paging_continues_after_the_last_device_of_a_page_is_deleted(
    hub: HubEmulator, client: HubClient
) -> None:
    rest = pages(client, IDS, 2)
    assert names(next(rest)) == "01"
    client.send("DELETE", "/devices/pump-1", headers={"If-Match": "*"})
    hub.registry.put({"id": "pump-0", "tags": {}})

    assert list(map(names, rest)) == ["23", "4"]


def test_a_page_reads_only_the_required_documents(client: HubClient, built: list[str]) -> None:
    """One more document means that there is another page."""
    query(client, ALL, size=2)
    assert built == ["pump-0", "pump-1", "pump-2"]
    built.clear()
    query(client, "SELECT TOP 2 * FROM devices", size=2)
    assert built == ["pump-0", "pump-1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{ALL} WHERE deviceId = 'pump-3' AND tags.site = 'south'", ["pump-3"]),
        (f"{ALL} WHERE deviceId = 'pump-3' AND tags.site = 'north'", ["pump-3"]),
        (
            "SELECT * FROM devices.modules WHERE 'pump-2' = deviceId",
            ["pump-2/a", "pump-2/b", "pump-2/c"],
        ),
        (f"{ALL} WHERE deviceId = 'nobody'", []),
        (f"{ALL} WHERE deviceId = 'PUMP-3'", []),
        (f"{ALL} WHERE deviceId = 'pümp'", []),
        (rf"{ALL} WHERE deviceId = '\ud800'", []),
        ("SELECT COUNT() FROM devices WHERE deviceId = 'pump-3'", ["pump-3"]),
    ],
    ids=["match", "mismatch", "modules", "nobody", "case", "no id", "surrogate", "aggregate"],
)
def test_a_query_by_id_reads_only_that_device(
    client: HubClient, built: list[str], text: str, expected: list[str]
) -> None:
    assert query(client, text).status_code == 200
    assert built == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "SELECT FROM devices"}, "ArgumentInvalid"),
        ({"query": "SELECT * FROM devices.routes"}, "ArgumentInvalid"),
        ({"query": ""}, "ArgumentInvalid"),
        ({}, "GenericBadRequest"),
        ([], "GenericBadRequest"),
        ("SELECT * FROM devices", "GenericBadRequest"),
    ],
    ids=["syntax", "source", "empty", "no query", "array", "no JSON"],
)
def test_invalid_queries(client: HubClient, body: Any, code: str) -> None:
    assert error_code(client.send("POST", "/devices/query", body)) == (400, code)


def test_a_continuation_token_is_of_one_query(client: HubClient) -> None:
    token = query(client, ALL, size=1).headers["x-ms-continuation"]

    assert query(client, ALL, token=token).ok
    other = query(client, f"{ALL} WHERE tags.site = 'north'", token=token)
    assert error_code(other) == (400, "ArgumentInvalid")


def test_queries_of_samples(client: HubClient) -> None:
    by_id = query(client, f"{ALL} WHERE STARTSWITH(id, 'pump-')")
    assert by_id.json() == query(client, ALL).json() != []
    commented = query(client, f"{ALL} /* of the\n hub */ WHERE deviceId = 'pump-1' /**/")
    assert names(commented.json()) == "1"


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode()


@pytest.mark.parametrize(
    "token",
    ["x", "Zm9v", encoded(b"\xff"), encoded(b"0/a/"), encoded(b"-1/a/"), encoded(b"1/a/b/c")],
    ids=["no base64", "no token", "no text", "nothing left", "less than nothing", "too much"],
)
def test_invalid_continuation_tokens(client: HubClient, token: str) -> None:
    assert error_code(query(client, ALL, token=token)) == (400, "ArgumentInvalid")


@pytest.mark.parametrize("size", ["0", "-1", "x", "1.5"])
def test_invalid_page_sizes(client: HubClient, size: str) -> None:
    assert error_code(query(client, ALL, size=size)) == (400, "ArgumentInvalid")


@pytest.mark.parametrize(
    ("policy", "is_allowed"),
    [("service", True), ("registryReadWrite", False), ("device", False)],
)
def test_rights(hub: HubEmulator, policy: str, is_allowed: bool) -> None:
    response = query(HubClient(hub.connection_string(policy)), ALL)

    assert response.status_code == (200 if is_allowed else 401)
