"""The SAS of a job grants access only to the container of its import, for a limited time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobClient, BlobServiceClient
from azure.storage.queue import QueueServiceClient

from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import UNKNOWN
from shared.imports.operate.uploads import UploadAddress
from shared.storage.client import Storage
from tests.app import App, device
from tests.security.support import CapturedLog
from tests.web.support import Client, send

BY_KEY, BY_ENTRA_ID = "by the account key", "by Entra ID"


@pytest.fixture(params=[BY_KEY, BY_ENTRA_ID])
def signing(request: pytest.FixtureRequest) -> App:
    """The app, signing with an account key or a user delegation key."""
    name = "app" if request.param == BY_KEY else "entra_app"
    signing: App = request.getfixturevalue(name)
    signing.configure(SAS_LIFETIME_HOURS="7", JOB_DEADLINE_HOURS="7")
    return signing


def complete(app: App, name: str) -> tuple[ImportRecord, str]:
    """An import and the container URI of its job."""
    app.upload(name, device("pump-1"))
    app.deliver(name)
    started = app.record(name)
    app.finish()
    [uri] = {
        uri
        for job in app.hub.jobs
        if job["jobId"] == started.job.id
        for uri in (job["inputBlobContainerUri"], job["outputBlobContainerUri"])
    }
    return started, uri


def granted(uri: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(uri).query).items()}


def test_the_sas_states_container_permissions_and_expiry(signing: App) -> None:
    record, uri = complete(signing, "pumps.ndjson")
    assert urlsplit(uri).path == f"/devstoreaccount1/{record.staged.container}"
    sas = granted(uri)
    assert (sas["sr"], sas["sp"]) == ("c", "rwdl")
    assert not sas.keys() & {"ss", "srt", "si", "sip"}
    end = datetime.fromisoformat(sas["se"])
    assert record.last_start_at is not None
    lifetime = timedelta(hours=7)
    # Expiry has a resolution of one second.
    assert record.last_start_at + lifetime - timedelta(seconds=1) < end
    assert end <= record.updated_at + lifetime
    assert (sas.get("spr") == "https") == ("skoid" in sas)


def test_each_import_has_its_own_sas(signing: App) -> None:
    (record, first), (other, second) = (
        complete(signing, name) for name in ("a.ndjson", "b.ndjson")
    )
    assert record.staged.container != other.staged.container
    assert granted(first)["sig"] != granted(second)["sig"]


def is_denied(call: Callable[[], object]) -> bool:
    with pytest.raises(HttpResponseError) as raised:
        call()
    return raised.value.status_code in (401, 403)


def test_the_sas_grants_no_other_access(signing: App) -> None:
    record, uri = complete(signing, "a.ndjson")
    other, _ = complete(signing, "b.ndjson")
    sas = AzureSasCredential(urlsplit(uri).query)
    account = signing.blobs.url
    with BlobServiceClient(account, credential=sas) as blobs:
        mine = blobs.get_container_client(record.staged.container)
        assert "devices.txt" in {blob.name for blob in mine.list_blobs()}
        assert is_denied(mine.delete_container)
        assert is_denied(lambda: mine.set_container_metadata({"table": "other"}))
        assert is_denied(mine.get_container_access_policy)
        for name in (other.staged.container, signing.container):
            closed = blobs.get_container_client(name)
            assert is_denied(lambda closed=closed: list(closed.list_blobs()))  # type: ignore[misc]
            for blob in ("devices.txt", "a.ndjson"):
                assert is_denied(closed.get_blob_client(blob).download_blob)
                assert is_denied(lambda closed=closed, blob=blob: closed.upload_blob(blob, b""))  # type: ignore[misc]
                assert is_denied(closed.get_blob_client(blob).delete_blob)
        assert is_denied(lambda: list(blobs.list_containers()))
        assert is_denied(lambda: blobs.create_container("import-mine"))
        assert is_denied(blobs.get_service_properties)


def test_the_sas_grants_no_other_service(app: App) -> None:
    _, uri = complete(app, "a.ndjson")
    sas = AzureSasCredential(urlsplit(uri).query)
    places = dict(part.split("=", 1) for part in app.settings["ImporterStorage"].split(";") if part)
    with TableServiceClient(places["TableEndpoint"], credential=sas) as tables:
        table = tables.get_table_client(app.settings["IMPORTS_TABLE"])
        assert is_denied(lambda: list(table.list_entities()))
        assert is_denied(lambda: table.upsert_entity({"PartitionKey": "a", "RowKey": "b"}))
        assert is_denied(lambda: list(tables.list_tables()))
    with QueueServiceClient(places["QueueEndpoint"], credential=sas) as queues:
        assert is_denied(lambda: list(queues.list_queues()))


def test_the_sas_expires(signing: App) -> None:
    record, _ = complete(signing, "a.ndjson")
    services = signing.importer.services
    lifetime = services.settings.jobs.sas_lifetime

    def names(now: datetime) -> list[str]:
        uri = services.storage.container_uri_with_sas(record.staged.container, lifetime, now)
        sas = AzureSasCredential(urlsplit(uri).query)
        with BlobServiceClient(signing.blobs.url, credential=sas) as blobs:
            return [
                blob.name
                for blob in blobs.get_container_client(record.staged.container).list_blobs()
            ]

    now = services.clock()
    assert names(now - lifetime + timedelta(minutes=5))
    assert is_denied(lambda: names(now - lifetime - timedelta(seconds=1)))


def address_of(app: App, name: str) -> UploadAddress:
    return app.importer.uploads.address(name, UNKNOWN)


def test_the_sas_of_an_upload_states_blob_permissions_and_expiry(signing: App) -> None:
    name = "east/süd #1 %2F?.ndjson"
    address = address_of(signing, name)
    sas = granted(address.url)
    assert (sas["sr"], sas["sp"]) == ("b", "cw")
    assert not sas.keys() & {"ss", "srt", "si", "sip"}
    end = datetime.fromisoformat(sas["se"])
    assert timedelta(minutes=14) < end - signing.clock() <= timedelta(minutes=15)
    assert (sas.get("spr") == "https") == ("skoid" in sas)
    with blob_of(signing, address) as blob:
        assert blob.blob_name == name
        blob.upload_blob(b"x")
    assert [*signing.blobs.get_container_client(signing.container).list_blob_names()] == [name]


def blob_of(app: App, address: UploadAddress, name: str = "") -> BlobClient:
    """A blob of the upload container, with the SAS of an upload."""
    if not name:
        return BlobClient.from_blob_url(address.url)
    sas = AzureSasCredential(urlsplit(address.url).query)
    return BlobClient(app.blobs.url.rstrip("/"), app.container, name, credential=sas)


def test_the_sas_of_an_upload_grants_no_other_access(signing: App) -> None:
    for name in ("a.ndjson", "b.ndjson"):
        signing.upload(name, device("pump-1"))
    address = signing.importer.uploads.address("a.ndjson", UNKNOWN, overwrite=True)
    with blob_of(signing, address) as blob, blob_of(signing, address, "b.ndjson") as other:
        blob.upload_blob(b"x", overwrite=True)
        assert is_denied(blob.download_blob)
        assert is_denied(blob.delete_blob)
        assert is_denied(other.download_blob)
        assert is_denied(other.delete_blob)
        assert is_denied(lambda: other.upload_blob(b"x", overwrite=True))
    sas = AzureSasCredential(urlsplit(address.url).query)
    with BlobServiceClient(signing.blobs.url, credential=sas) as blobs:
        container = blobs.get_container_client(signing.container)
        assert is_denied(lambda: list(container.list_blobs()))
        assert is_denied(container.delete_container)
        assert is_denied(lambda: list(blobs.list_containers()))


def test_the_address_of_an_upload_is_only_in_the_answer(
    app: App, client: Client, captured_log: CapturedLog
) -> None:
    """Not in logs, rows and pages, however the upload goes on."""
    answer = client.post("uploads", name="a.ndjson")
    assert answer.headers["Cache-Control"] == "no-store"
    target = answer.json()
    signature = granted(target["url"])["sig"]
    assert send(target, b"x").status_code == 201
    app.deliver("a.ndjson")
    client.post("uploads", name="a.ndjson")
    client.json(f"uploads/{target['ticket']}")
    client.get("dashboard")
    rows = [str(dict(row)) for row in app.table.list_entities()]
    app.configure(IOTHUB="{")
    client.post("uploads", name="a.ndjson")
    texts = [*captured_log.lines, *(other.text for other in client.answers[1:]), *rows]
    assert len(texts) > 10
    for text in texts:
        assert signature not in text
        assert quote(signature, safe="") not in text


def test_no_sas_for_a_hub_with_an_identity(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def sign(*_: object) -> None:
        pytest.fail("a SAS is made")

    monkeypatch.setattr(Storage, "container_uri_with_sas", sign)
    app.configure(JOB_STORAGE_AUTHENTICATION="identityBased")
    record, uri = complete(app, "pumps.ndjson")
    assert app.record("pumps.ndjson").state == "completed"
    assert uri.endswith(f"/{record.staged.container}")
