"""Lists over HTTP: imports with filters and pages, queues, days."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app import App, device
from tests.web.support import Client, TwoHubs, partly, reject


@pytest.fixture
def many_imports(app: App, two_hubs: TwoHubs) -> TwoHubs:
    """Imports in four states in two hubs, and one without a hub."""
    two_hubs.complete_east("east/good.ndjson")
    partly(app, "west/partly.ndjson")
    reject(app, "east/broken.ndjson")
    app.upload("north/lost.ndjson", device("pump-1"))
    app.deliver("north/lost.ndjson")
    app.hub.occupy_slot()
    app.upload("west/waits.ndjson", device("pump-1"))
    app.deliver("west/waits.ndjson")
    return two_hubs


def files(client: Client, **query: Any) -> set[str]:
    return {item["file"] for item in client.json("imports", **query)["imports"]}


def test_imports_of_all_hubs_are_listed_newest_first(many_imports: TwoHubs, client: Client) -> None:
    east, west = many_imports.east, many_imports.west
    answer = client.json("imports")
    assert (answer["continuation"], answer["searchedBackTo"]) == ("", None)
    assert {(item["file"], item["hub"], item["state"]) for item in answer["imports"]} == {
        ("east/good.ndjson", east, "completed"),
        ("west/partly.ndjson", west, "completedWithErrors"),
        ("east/broken.ndjson", east, "rejected"),
        ("north/lost.ndjson", "(none)", "rejected"),
        ("west/waits.ndjson", west, "queued"),
    }
    times = [item["uploadedAt"] for item in answer["imports"]]
    assert times == sorted(times, reverse=True)
    assert client.json(f"imports/{answer['imports'][0]['id']}").items() >= (
        answer["imports"][0].items()
    )


def test_filters_can_be_combined(many_imports: TwoHubs, client: Client) -> None:
    east, west = many_imports.east, many_imports.west
    assert files(client, hub=east) == {"east/good.ndjson", "east/broken.ndjson"}
    # Operators may know the folder only.
    assert files(client, hub="east") == files(client, hub=east)
    assert len(files(client, hub=f"east,{west}")) == 4
    assert files(client, hub="(none)") == {"north/lost.ndjson"}
    assert len(files(client, hub=f"{east},{west},(none)")) == 5
    assert files(client, state="rejected") == {"east/broken.ndjson", "north/lost.ndjson"}
    assert files(client, state="rejected,queued", hub=f"{west},(none)") == {
        "north/lost.ndjson",
        "west/waits.ndjson",
    }
    assert files(client, state="cancelled") == set()
    assert files(client, state="open") == files(client, state="waiting") == {"west/waits.ndjson"}
    assert files(client, state="attention,completed") == {
        *("east/good.ndjson", "west/partly.ndjson", "east/broken.ndjson", "north/lost.ndjson"),
    }
    assert files(client, file="GOOD") == {"east/good.ndjson"}
    assert files(client, file="*t/*s.ndjson") == {"west/waits.ndjson"}
    assert files(client, file="ndjson", hub=east, state="completed") == {"east/good.ndjson"}
    [waits] = client.json("imports", state="queued")["imports"]
    client.post(f"imports/{waits['id']}/cancel")
    assert files(client, who="Function") == {"west/waits.ndjson"}
    assert files(client, who="anna") == set()
    before = "2020-01-01T00:00:00Z"
    assert len(files(client, uploadedAfter=before)) == 5
    assert len(files(client, uploadedAfter="2020-01-01t00:00:00.123456789z")) == 5
    assert files(client, uploadedBefore=before) == set()
    assert files(client, uploadedAfter="9999-12-31T23:59:59.999-23:59") == set()
    assert len(files(client, uploadedAfter="0001-01-01T00:00:00+23:59")) == 5
    [good] = client.json("imports", hub=east, state="completed")["imports"]
    at = good["uploadedAt"]
    assert "east/good.ndjson" in files(client, uploadedAfter=at, hub=east)
    assert "east/good.ndjson" not in files(client, uploadedBefore=at)
    assert files(client, uploadedAfter=at, uploadedBefore=at) == set()


def test_pages_list_each_import_once_despite_new_uploads(
    app: App, two_hubs: TwoHubs, client: Client
) -> None:
    app.hub.occupy_slot()
    two_hubs.east_hub.occupy_slot()
    for number in range(7):
        name = f"{('east', 'west', 'north')[number % 3]}/{number}.ndjson"
        app.upload(name, device(f"pump-{number}"))
        app.deliver(name)
    whole = client.ids()
    assert len(whole) == 7
    # Later uploads must be newer; storage times have a resolution of one second.
    pages: list[list[str]] = []
    continuation = ""
    for number in range(10):
        answer = client.json("imports", limit=2, continuation=continuation)
        pages.append([item["id"] for item in answer["imports"]])
        continuation = answer["continuation"]
        if not continuation:
            break
        cancelled = client.post(f"imports/{whole[number]}/cancel")
        retried = client.post(f"imports/{whole[number]}/retry")
        assert retried.status_code == (201 if cancelled.status_code == 200 else 409)
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert [item for page in pages for item in page] == whole
    assert len(client.ids()) > 7


def test_a_search_that_ends_early(
    many_imports: TwoHubs, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says so, and with its continuation nothing is missed."""
    monkeypatch.setattr("shared.imports.operate.import_search.MAX_READ", 1)
    answer = client.json("imports", file="good", limit=1)
    found = answer["imports"]
    while answer["continuation"]:
        assert bool(answer["searchedBackTo"]) is (not answer["imports"])
        answer = client.json("imports", file="good", limit=1, continuation=answer["continuation"])
        found += answer["imports"]
    assert [item["file"] for item in found] == ["east/good.ndjson"]


#: Invalid query, name of the invalid parameter, and part of the message.
WRONG: list[tuple[dict[str, str], str, str]] = [
    ({"limit": "0"}, "limit", "greater than or equal to 1"),
    ({"limit": "1001"}, "limit", "less than or equal to 1000"),
    ({"limit": "ten"}, "limit", "must be a non-negative integer"),
    ({"limit": "٣"}, "limit", "must be a non-negative integer"),
    ({"hub": "south"}, "hub", "'south'"),
    ({"hub": "east,,west"}, "hub", "pattern"),
    ({"state": "done"}, "state", "must be one of 'open', 'waiting', 'attention', 'validating'"),
    ({"file": "a" * 257}, "file", "at most 256"),
    ({"who": "a" * 129}, "who", "at most 128"),
    ({"state": "completed,"}, "state", "'completed'"),
    ({"uploadedAfter": "yesterday"}, "uploadedAfter", "must be a time such as"),
    ({"uploadedAfter": "2026-02-30T00:00:00Z"}, "uploadedAfter", "must be a time such as"),
    ({"uploadedAfter": "2026-11-23T09:30:00"}, "uploadedAfter", "must be a time such as"),
    ({"uploadedBefore": "2026-11-23"}, "uploadedBefore", "must be a time such as"),
    ({"continuation": "x" * 56}, "continuation", "continuation"),
    ({"continuation": "ä" * 56}, "continuation", "pattern"),
    ({"continuation": "aW1wb3J0"}, "continuation", "pattern"),
    ({"states": "completed"}, "states", "unknown parameter"),
    ({"uploaded_after": "2026-11-23T09:30:00Z"}, "uploaded_after", "unknown parameter"),
]


def test_invalid_parameters(two_hubs: TwoHubs, client: Client) -> None:
    [error] = client.problem(400, "imports", hub="south")["errors"]
    assert all(name in error["message"] for name in (*two_hubs.names, "(none)"))
    assert f"{two_hubs.east} (folder east)" in error["message"]
    for query, parameter, part in WRONG:
        problem = client.problem(400, "imports", **query)
        assert problem["type"] == "urn:device-importer:invalid-request"
        [error] = problem["errors"]
        assert error["parameter"] == parameter
        assert part in error["message"]
        assert part in problem["detail"]


def test_all_invalid_parameters_are_reported_except_the_key(app: App, client: Client) -> None:
    problem = client.problem(400, "imports", limit="x", state="y", code="a-key", clientId="me")
    assert {error["parameter"] for error in problem["errors"]} == {"limit", "state"}
    assert client.ids(code="a-key", clientId="me") == []
    for path in ("queues", "health", "openapi.json", f"imports/{'0' * 24}"):
        [error] = client.problem(400, path, verbose="1")["errors"]
        assert error == {"parameter": "verbose", "message": "unknown parameter"}


def test_queues(app: App, two_hubs: TwoHubs, client: Client) -> None:
    nothing = {"length": 0, "waiting": 0, "head": None, "expectedEnd": None, "paceJobs": 0}
    assert client.json("queues") == {"queues": [{"hub": hub, **nothing} for hub in two_hubs.names]}
    app.hub.occupy_slot()
    for number in range(3):
        app.upload(f"west/{number}.ndjson", device("pump-1"))
        app.deliver(f"west/{number}.ndjson")

    def queue(hub: str) -> Any:
        return next(item for item in client.json("queues")["queues"] if item["hub"] == hub)

    assert queue(two_hubs.east) == {"hub": two_hubs.east, **nothing}
    west = queue(two_hubs.west)
    assert (west["length"], west["head"]["file"]) == (3, "west/0.ndjson")
    assert west["head"]["actions"] == ["cancel"]
    client.post(f"imports/{west['head']['id']}/cancel")
    west = queue(two_hubs.west)
    assert (west["length"], west["head"]["file"]) == (2, "west/1.ndjson")


def test_days(app: App, many_imports: TwoHubs, client: Client) -> None:
    days = client.json("days")["days"]
    assert len(days) == 30
    today = app.clock().date()
    assert days[-1] == {
        "date": today.isoformat(),
        "imports": {"completed": 1, "completedWithErrors": 1, "rejected": 2},
        "imported": 2,
        "failed": 1,
        "invalid": 1,
        "unknown": 0,
    }
    assert all(day["imports"] == {} for day in days[:-1])
    assert [day["date"] for day in days] == sorted({day["date"] for day in days})
    assert client.json("days", days=1)["days"] == days[-1:]
    app.clock.ahead_hours(48)
    assert client.json("days", days=3)["days"][0] == days[-1]
    assert client.json("days", days=2)["days"][0]["imports"] == {}
    assert len(client.json("days", days=366)["days"]) == 366


def test_invalid_days(client: Client) -> None:
    for days in ("0", "367", "-1", "many", "1.5"):
        [error] = client.problem(400, "days", days=days)["errors"]
        assert error["parameter"] == "days"
