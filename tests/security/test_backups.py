"""Backups: where they are, who reaches them, and where their keys never are."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from shared.errors import NotPossibleError, SettingsError
from shared.imports.model.record import ImportRecord
from shared.settings import load_settings
from shared.storage.client import Storage
from tests.app import App, device
from tests.cli.conftest import Shell
from tests.events.receiver import Receiver
from tests.events.support import tick
from tests.imports.plans import use_lookups
from tests.security.support import PRIMARY, Account, CapturedLog, with_keys
from tests.telemetry.support import CapturedTelemetry
from tests.web.support import Client

NAME = "pumps.ndjson"
#: Keys that only the registry has.
OLD = base64.b64encode(b"made-up key that is replaced").decode()
GONE = base64.b64encode(b"made-up key that is deleted!").decode()
OF_MODULE = base64.b64encode(b"made-up key of some module..").decode()


def run(app: App) -> tuple[ImportRecord, ImportRecord]:
    """Import with a backup, undo, and undo the undo; the import and its undo."""
    registry = app.hub.registry
    registry.put(with_keys("pump-0", GONE, GONE))
    registry.put({**with_keys("pump-0", OF_MODULE, OF_MODULE), "moduleId": "m"})
    registry.put(with_keys("pump-1", OLD, OLD))
    app.upload(NAME, device("pump-0", importMode="delete"), with_keys("pump-1"), device("new"))
    app.deliver(NAME)
    app.finish()
    app.pass_minutes(40)
    done = [app.record(NAME)]
    for _ in range(2):
        made = app.importer.actions.undo(done[-1], done[-1].creates or 0)
        app.finish()
        done.append(app.importer.services.store.get(made.hub, made.row_key))
        assert done[-1].state == "completed", done[-1].failure_reason
    assert registry.get("pump-0") is None
    return done[0], done[1]


@pytest.mark.parametrize("source", ["lookups", "export"])
def test_no_sas_of_a_backup_is_made(
    app: App, account: Account, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Neither for a job of any kind, nor for a health check; and the hub is told no such name."""
    signed: list[str] = []
    sign = Storage.container_uri_with_sas

    def keep(self: Storage, name: str, *arguments: Any) -> str:
        signed.append(name)
        return sign(self, name, *arguments)

    monkeypatch.setattr(Storage, "container_uri_with_sas", keep)
    sent: list[tuple[str, str]] = []
    app.alter_request = lambda request: sent.append(
        (urlsplit(request.url).netloc, f"{request.url} {request.data} {request.headers}")
    )
    app.configure(BACKUP="always")
    if source == "lookups":
        use_lookups(app)
    run(app)
    app.importer.health.examine()
    backups = [name for name in account.containers() if name.startswith("backup-")]
    assert len(backups) == 3
    assert {name for name in signed if not name.startswith("import-")} == {"health"}
    to_hub = [text for host, text in sent if host == app.hub.address]
    assert to_hub
    assert [text for text in to_hub if "backup-" in text] == []
    assert "backup-" not in json.dumps(list(app.hub.jobs))
    assert len([job for job in app.hub.jobs if job["type"] == "import"]) >= 3


def test_backups_are_in_containers_that_the_hub_cannot_reach(app: App, account: Account) -> None:
    """The hub's role admits containers that start with import-; each is private."""
    app.configure(BACKUP="always")
    use_lookups(app)
    record, undo = run(app)
    holders = {blob.container for blob in account.blobs() if GONE.encode() in blob.content}
    assert record.backup.container in holders
    assert record.backup.container.startswith("backup-")
    for name in account.containers():
        assert app.blobs.get_container_client(name).get_container_properties().public_access is None
    # The lines of an undo, which the hub reads, are the only other place.
    assert {name for name in holders if not name.startswith("backup-")} == {undo.staged.container}


def test_a_sas_of_an_import_grants_no_access_to_its_backup(app: App) -> None:
    app.configure(BACKUP="always")
    use_lookups(app)
    record, _ = run(app)
    uris = {job["inputBlobContainerUri"] for job in app.hub.jobs if job["type"] == "import"}
    for uri in uris:
        address = uri.replace(urlsplit(uri).path, f"/devstoreaccount1/{record.backup.container}")
        with ContainerClient.from_container_url(address) as container:
            with pytest.raises(HttpResponseError) as raised:
                list(container.list_blobs())
            assert raised.value.status_code in (401, 403)


def test_no_container_of_uploads_is_one_of_backups(
    monkeypatch: pytest.MonkeyPatch, app: App
) -> None:
    for name in ("UPLOAD_CONTAINER", "UPLOAD_ARCHIVE_CONTAINER"):
        for value in ("backup-", "backup-uploads", "import-a"):
            monkeypatch.setenv(name, value)
            with pytest.raises(SettingsError) as raised:
                load_settings()
            assert name in str(raised.value)
            monkeypatch.setenv(name, app.container + name.lower().replace("_", "-")[:5])


@pytest.mark.parametrize("source", ["lookups", "export"])
def test_a_backup_exposes_no_key(
    account: Account,
    app_with_receiver: App,
    client: Client,
    shell: Shell,
    receiver: Receiver,
    captured_telemetry: CapturedTelemetry,
    captured_log: CapturedLog,
    source: str,
) -> None:
    app = app_with_receiver
    app.configure(BACKUP="always", APPROVAL="never")
    if source == "lookups":
        use_lookups(app)
    run(app)
    tick(app)
    texts = []
    for record in app.records():
        path = f"imports/{record.id}"
        paths = ["dashboard", f"dashboard/{path}", path]
        paths += [
            f"{path}/files/{name}"
            for name in ("report.json", "plan.json", "plan.csv", "results.csv")
        ]
        texts += [client.get(each).text for each in paths]
        texts += [
            f"{shell(*call)}" for call in (("show", record.id), ("undo", record.id, "--plan"))
        ]
    blobs = [blob for blob in account.blobs() if blob.container != app.container]
    # Uploads, lines that the hub reads, and the backups themselves.
    readable = (".json", ".csv")
    places = {
        "pages, API and command line": "\n".join(texts),
        "log": "\n".join(captured_log.lines),
        "spans": "".join(span.to_json() for span in captured_telemetry.spans()),
        "rows": json.dumps(account.rows(), default=str),
        "reports": "\n".join(
            blob.content.decode() for blob in blobs if blob.name.endswith(readable)
        ),
        "metadata": json.dumps([account.containers(), *(blob.metadata for blob in blobs)]),
        "events": "\n".join(post.body.decode() for post in receiver.posts),
    }
    for where, text in places.items():
        assert text
        assert {key for key in (OLD, GONE, OF_MODULE, PRIMARY) if key in text} == set(), where
    stored = b"".join(blob.content for blob in blobs)
    assert all(key.encode() in stored for key in (OLD, GONE, OF_MODULE))


def test_a_replaced_backup_is_not_restored(app: App) -> None:
    app.configure(BACKUP="always")
    use_lookups(app)
    app.hub.registry.put(with_keys("pump-0", GONE, GONE))
    app.upload(NAME, device("pump-0", importMode="delete"))
    app.deliver(NAME)
    app.finish()
    record = app.record(NAME)
    container = app.blobs.get_container_client(record.backup.container)
    [blob] = container.list_blobs()
    content = container.download_blob(blob.name).readall().replace(b"pump-0", b"pump-9")
    container.upload_blob(blob.name, content, overwrite=True)
    with pytest.raises(NotPossibleError, match=r"deleted .* or edited"):
        app.importer.actions.undo(record, 0)
    assert [new for new in app.records() if new.undo_of] == []
