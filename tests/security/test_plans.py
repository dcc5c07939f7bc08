"""Plans contain no key, of the file or of the registry, and exports are deleted at once."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.plan.snapshot import Snapshot
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import tick
from tests.security.support import (
    PRIMARY,
    SECONDARY,
    Account,
    CapturedLog,
    signatures_sent,
    with_keys,
)
from tests.telemetry.support import CapturedTelemetry
from tests.web.support import Client

NAME = "pumps.ndjson"
#: Keys that only the registry has, and only devices that the file does not name.
REGISTERED = base64.b64encode(b"made-up key of the registry").decode()
OTHERS = base64.b64encode(b"made-up key of another file").decode()
THUMBPRINT = "AB" * 20
#: Secrets in twins, as operators put them there.
TOKEN = "c2lnbmF0dXJlIG9mIGEgdGFn"
SAS = f"https://a.blob.core.windows.net/c?sv=1&sig={TOKEN}"
TWIN_KEY = base64.b64encode(b"made-up key within a twin 1234567").decode()

SECRETS = {REGISTERED, OTHERS, PRIMARY, SECONDARY, TOKEN, TWIN_KEY}

#: Blobs that must contain lines of the file. The file for the hub has its own name.
WITH_LINES = re.compile(r"devices\.txt|planned-p[0-9a-f]{12}\.txt|retry-[0-9a-f]{12}\.ndjson")


@pytest.fixture
def planning(app: App) -> App:
    app.configure(APPLY="changes")
    return app


def connected(policy: str) -> Callable[[App], None]:
    def connect(app: App) -> None:
        app.configure(APPLY="changes", IOTHUB=app.hub.connection_string(policy))

    return connect


def fill(app: App) -> None:
    registry = app.hub.registry
    for number in range(28):
        # A file with such values is rejected, but the registry may have them.
        old = {"old": SAS, "key": TWIN_KEY, "account": f"AccountKey={TWIN_KEY}"}
        tags = {"site": "a", **(old if number else {})}
        registry.put(with_keys(f"pump-{number}", REGISTERED, REGISTERED, tags=tags))
    for number in range(10):
        registry.put(with_keys(f"other-{number}", OTHERS, OTHERS))
    self_signed = {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "CD" * 20}}
    registry.put(device("signed", authentication=self_signed))


def lines() -> Iterator[dict[str, object]]:
    """Lines of each kind."""
    yield with_keys("pump-0", REGISTERED, REGISTERED, tags={"site": "a"})
    yield with_keys("pump-1", tags={"site": "b"})
    yield device("pump-2", tags={"site": "a"})
    yield with_keys("new")
    yield with_keys("ghost", importMode="update")
    yield with_keys("pump-3", importMode="create")
    yield device("pump-4", importMode="delete")
    thumbprints = {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": THUMBPRINT}}
    yield device("signed", authentication=thumbprints)


@pytest.mark.parametrize(
    ("count", "source"), [(8, "lookups"), (30, "export")], ids=["lookups", "export"]
)
def test_a_plan_exposes_no_key(
    account: Account,
    app_with_receiver: App,
    client: Client,
    receiver: Receiver,
    captured_telemetry: CapturedTelemetry,
    captured_log: CapturedLog,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    source: str,
) -> None:
    app = app_with_receiver
    connected("iothubowner")(app)
    sent = signatures_sent(monkeypatch)
    fill(app)
    given = [*lines(), *(device(f"added-{number}") for number in range(count - 8))]
    app.upload(NAME, *given)
    app.deliver(NAME)
    pages = [client.get(f"dashboard/imports/{app.record(NAME).id}").text]
    app.finish()
    tick(app)
    record = app.record(NAME)
    assert (record.failed, record.unchanged) == (2, 1)
    path = f"imports/{record.id}"
    pages += [
        client.get(each).text
        for each in ("dashboard", f"dashboard/{path}", path, f"{path}/files/report.json")
    ]
    plan = client.json(f"{path}/files/plan.json")
    rows = client.get(f"{path}/files/plan.csv").text
    assert plan["source"] == source
    signatures = set(re.findall(r"sig=([^&\"]+)", json.dumps(list(app.hub.jobs))))
    blobs = [blob for blob in account.blobs() if blob.container != app.container]
    places = {
        "plan.json": json.dumps(plan),
        "plan.csv": rows,
        "results.csv": client.get(f"{path}/files/results.csv").text,
        "pages and API": "\n".join(pages),
        "log": "\n".join(captured_log.lines),
        "output": "".join(capfd.readouterr()),
        "spans": "".join(span.to_json() for span in captured_telemetry.spans()),
        "rows": json.dumps(account.rows(), default=str),
        "blobs": "\n".join(
            blob.content.decode("latin-1") for blob in blobs if not WITH_LINES.fullmatch(blob.name)
        ),
        "metadata": json.dumps([account.containers(), *(blob.metadata for blob in blobs)]),
        "events": "\n".join(post.body.decode() for post in receiver.posts),
    }
    for where, text in places.items():
        assert {secret for secret in SECRETS | signatures | sent if secret in text} == set(), where
        if where.startswith("plan."):
            assert THUMBPRINT not in text
    # What the registry has is in no file, not even where lines are.
    stored = b"".join(blob.content for blob in blobs)
    assert OTHERS.encode() not in stored
    # All places contained data.
    assert {row["action"] for row in csv.DictReader(io.StringIO(rows))} == {
        *("create", "update", "unchanged", "delete", "fail")
    }
    by_id = {line["id"]: line for line in plan["changes"]}
    assert by_id["pump-1"]["newKeys"] == "replaced"
    assert by_id["pump-2"]["newKeys"] == "madeByHub"
    assert by_id["signed"]["newKeys"] == "otherThumbprint"
    changed = {change["property"]: change for change in by_id["pump-1"]["changes"]}
    assert changed["authentication.symmetricKey"].keys() == {"property", "certain"}
    assert "REDACTED" in changed["tags.old"]["old"]
    assert (changed["tags.site"]["old"], changed["tags.site"]["new"]) == ("a", "b")
    assert any(WITH_LINES.fullmatch(blob.name) for blob in blobs)
    assert receiver.posts


def succeed(app: App) -> None:
    app.finish()
    assert app.record(NAME).unchanged is not None


def cancel(app: App) -> None:
    app.importer.actions.cancel(app.record(NAME))
    app.tick()
    app.finish()
    assert app.record(NAME).state == "cancelled"


def give_up(app: App) -> None:
    app.configure(MAX_ATTEMPTS="2")
    app.hub.wait_idle()
    for _ in range(4):
        app.tick()
        app.hub.wait_idle()
    app.finish()
    assert app.record(NAME).plan.missing


def damage(app: App) -> None:
    """Cut the export, so that another is made."""
    app.hub.wait_idle()
    [name] = exports(app)
    app.blobs.get_blob_client(name, "devices.txt").upload_blob(b'{"id": "pu', overwrite=True)
    app.tick()
    app.pass_minutes(5)
    app.tick()
    app.finish()
    assert app.record(NAME).unchanged is not None


def exports(app: App) -> list[str]:
    listed = app.blobs.list_containers(name_starts_with="import-", include_metadata=True)
    table = app.settings["IMPORTS_TABLE"]
    return [
        item.name
        for item in listed
        if "snapshot" in item.name and (item.metadata or {}).get("table") == table
    ]


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        ({}, succeed),
        ({}, damage),
        ({"kind": "hangJob"}, cancel),
        ({"kind": "failJob", "times": 2}, give_up),
    ],
    ids=["succeeded", "damaged", "cancelled", "failed"],
)
def test_the_container_of_an_export_is_deleted(
    planning: App, fault: dict[str, Any], end: Callable[[App], None]
) -> None:
    """However the comparison ends; retention deletes what a terminated process leaves."""
    fill(planning)
    if fault:
        planning.hub.faults.add(**fault)
    planning.upload(NAME, *lines(), *(device(f"added-{number}") for number in range(22)))
    planning.deliver(NAME)
    [name] = exports(planning)
    assert re.fullmatch(r"import-[0-9a-f]{24}-snapshot-[0-9a-f]{8}", name)
    end(planning)
    assert exports(planning) == []


@pytest.mark.parametrize("with_keys_", [True, False])
def test_keys_are_exported_only_if_the_file_has_keys(planning: App, with_keys_: bool) -> None:
    fill(planning)
    planning.hub.faults.add("hangJob")
    certificates = {"type": "certificateAuthority"}
    given = [device(f"added-{number}", authentication=certificates) for number in range(30)]
    planning.upload(NAME, *given, *([with_keys("pump-0")] if with_keys_ else []))
    planning.deliver(NAME)
    [job] = planning.hub.jobs
    assert job["type"] == "export"
    assert job["excludeKeysInExport"] is not with_keys_


def test_the_temporary_database_contains_no_key(
    planning: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests instead, and nothing about devices that the file does not name."""
    images = []
    close = Snapshot.close

    def keep(snapshot: Snapshot) -> None:
        images.append(snapshot._database.serialize())
        close(snapshot)

    monkeypatch.setattr(Snapshot, "close", keep)
    fill(planning)
    planning.upload(NAME, *lines(), *(device(f"added-{number}") for number in range(22)))
    planning.deliver(NAME)
    planning.finish()
    [image] = images
    # Of the only device that both have.
    assert b"sas" in image
    assert b"other-1" not in image
    for key in (REGISTERED, OTHERS, PRIMARY, SECONDARY):
        assert key.encode() not in image
        assert base64.b64decode(key) not in image


def test_plan_csv_is_safe_in_spreadsheets(planning: App, client: Client) -> None:
    planning.configure(IOTHUB=planning.hub.connection_string("iothubowner"))
    odd = ["=1+1", "+1", "-1", "@x", "a,b;c'd"]
    for device_id in odd:
        planning.hub.registry.put(device(device_id))
    tags = {"=1+1": 1, 'a"b,c': 2}
    planning.upload(NAME, *(device(device_id, tags=tags) for device_id in odd))
    planning.deliver(NAME)
    planning.finish()
    record = planning.record(NAME)
    text = client.get(f"imports/{record.id}/files/plan.csv").text
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 1 + len(odd)
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert [row[1].removeprefix("'") for row in rows[1:]] == odd
