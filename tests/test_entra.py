"""Storage and hub by Entra ID alone: no key anywhere, and a user delegation SAS for the hub.

Azurite checks that a token is well-formed, unexpired and for storage, but no roles. The hub
emulator does.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from iothub_emulator import HubEmulator
from local.azurite import Azurite, Tls
from shared.connections import StorageConnection
from shared.errors import TemporaryError
from shared.settings import Settings
from shared.storage.client import DelegationKeyRefusedError, Storage
from tests.app import App, ObservedTransport, device

PRINCIPAL = "66666666-7777-8888-9999-000000000000"


class Identity:
    """A managed identity as Azurite sees it."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.hub_token = ""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        now = int(time.time())
        if scopes == ("https://iothubs.azure.net/.default",):
            return AccessToken(self.hub_token, now + 3600)
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 3600,
            "oid": PRINCIPAL,
            "tid": "11111111-2222-3333-4444-555555555555",
        }
        parts = ({"alg": "RS256", "typ": "JWT"}, claims)
        encoded = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        ]
        return AccessToken(f"{'.'.join(encoded)}.c2lnbmF0dXJl", now + 3600)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = Tls(folder / "certificate.pem", folder / "key.pem", folder / "authority.pem")
    certificate.cert_chain_pems[0].write_to_path(files.certificate)
    certificate.private_key_pem.write_to_path(files.key)
    authority.cert_pem.write_to_path(files.authority)
    return files


@pytest.fixture(scope="module")
def azurite(tls: Tls) -> Iterator[Azurite]:
    with Azurite(tls=tls) as azurite:
        yield azurite


@pytest.fixture
def identity(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> Identity:
    """The app's identity; all clients of the test trust the certificate."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.authority))
    identity = Identity()
    monkeypatch.setattr(Settings, "credential", lambda *_: identity)
    return identity


@pytest.fixture
def storage_settings(azurite: Azurite) -> dict[str, str]:
    return {
        f"ImporterStorage__{service.lower()}ServiceUri": address
        for service, address in azurite.endpoints.items()
    }


@pytest.fixture
def storage(storage_settings: dict[str, str], identity: Identity) -> Iterator[Storage]:
    storage = connect(storage_settings, identity)
    yield storage
    storage.close()


def connect(settings: dict[str, str], identity: Identity) -> Storage:
    members = {name.removeprefix("ImporterStorage__"): uri for name, uri in settings.items()}
    nothing = lambda _: None  # noqa: E731
    return Storage(
        StorageConnection.model_validate(members),
        lambda: identity,
        lambda: ObservedTransport(nothing, nothing),
    )


@pytest.fixture
def entra_app(
    app: App, azurite: Azurite, storage_settings: dict[str, str], identity: Identity
) -> App:
    app.use_storage(azurite.connection_string)
    app.configure(without=["ImporterStorage"], **storage_settings)
    return app


def test_the_whole_path_without_a_storage_key(entra_app: App, identity: Identity) -> None:
    app = entra_app
    app.upload("pumps.ndjson", device("pump-1"), device("gone", importMode="delete"))
    app.deliver("pumps.ndjson")
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", 1, 1)
    [job] = app.hub.jobs
    # A user delegation SAS names its identity.
    assert f"skoid={PRINCIPAL}" in job["inputBlobContainerUri"]
    assert set(identity.scopes) == {"https://storage.azure.com/.default"}


@pytest.fixture
def hub_by_entra_id(
    entra_app: App,
    azurite: Azurite,
    tls: Tls,
    identity: Identity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[HubEmulator]:
    """The app's hub, with an identity and without shared access policies."""
    with HubEmulator(
        tls=True,
        default_role=None,
        local_auth=False,
        identity_connection_string=azurite.connection_string,
    ) as hub:
        authorities = tmp_path / "authorities.pem"
        authorities.write_bytes(tls.authority.read_bytes() + hub.ca_file.read_bytes())
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authorities))
        identity.hub_token = hub.token(PRINCIPAL)
        entra_app.hub = hub
        entra_app.configure(IOTHUB=hub.address)
        yield hub


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Kind of authentication and host of each request of the app."""
    shown: list[tuple[str, str]] = []
    send = ObservedTransport.send

    def observe(self: ObservedTransport, request: Any, **kwargs: Any) -> Any:
        scheme = request.headers.get("Authorization", "nothing").split()[0]
        shown.append((scheme, urlsplit(request.url).netloc))
        return send(self, request, **kwargs)

    monkeypatch.setattr(ObservedTransport, "send", observe)
    return shown


@pytest.mark.parametrize("job_storage", ["keyBased", "identityBased"])
def test_the_whole_path_without_any_key(
    entra_app: App,
    hub_by_entra_id: HubEmulator,
    azurite: Azurite,
    shown: list[tuple[str, str]],
    job_storage: str,
) -> None:
    app = entra_app
    app.configure(JOB_STORAGE_AUTHENTICATION=job_storage)
    hub_by_entra_id.assign_role(PRINCIPAL, "IoT Hub Data Contributor")
    app.upload("pumps.ndjson", device("pump-1"), device("gone", importMode="update"))
    app.deliver("pumps.ndjson")
    app.finish()
    app.importer.actions.retry(app.record("pumps.ndjson"))
    app.finish()
    app.sweep()
    assert [finding for finding in app.importer.health.examine() if not finding.is_well] == []
    assert hub_by_entra_id.registry.get("pump-1")
    [again, record] = app.records()
    assert (record.state, again.state) == ("completedWithErrors", "completedWithErrors")
    for job in app.hub.jobs:
        assert ("sig=" in job["inputBlobContainerUri"]) == (job_storage == "keyBased")
    assert {scheme for scheme, _ in shown} == {"Bearer"}
    storage = {urlsplit(azurite.endpoints[name]).netloc for name in ("Blob", "Table")}
    assert {host for _, host in shown} == storage | {urlsplit(f"//{app.hub.address}").netloc}


@pytest.mark.parametrize("role", [None, "IoT Hub Registry Contributor", "Owner"])
def test_an_insufficient_role_is_named(
    entra_app: App, hub_by_entra_id: HubEmulator, role: str | None
) -> None:
    hub_by_entra_id.assign_role(PRINCIPAL, role)
    entra_app.upload("pumps.ndjson", device("pump-1"))
    entra_app.deliver("pumps.ndjson")
    entra_app.tick()
    record = entra_app.record("pumps.ndjson")
    assert record.state == "queued"
    assert "IoT Hub Data Contributor" in record.failure_reason
    hub_by_entra_id.assign_role(PRINCIPAL, "IoT Hub Data Contributor")
    entra_app.finish()
    assert entra_app.record("pumps.ndjson").state == "completed"


def test_the_sas_grants_the_required_access_to_one_container(storage: Storage) -> None:
    now = datetime.now(UTC)
    for name in ("import-mine", "import-other"):
        storage.container(name).create_container()
    uri = storage.container_uri_with_sas("import-mine", timedelta(hours=1), now)
    with ContainerClient.from_container_url(uri) as mine:
        mine.upload_blob("importErrors.log", b"")
        assert [blob.name for blob in mine.list_blobs()] == ["importErrors.log"]
        assert mine.download_blob("importErrors.log").readall() == b""
        mine.delete_blob("importErrors.log")
        with pytest.raises(HttpResponseError) as rejected:
            mine.delete_container()
        assert rejected.value.status_code == 403
    elsewhere = uri.replace("import-mine", "import-other")
    with ContainerClient.from_container_url(elsewhere) as other:
        with pytest.raises(HttpResponseError) as rejected:
            other.upload_blob("x", b"")
        assert rejected.value.status_code == 403


def test_the_delegation_key_is_reused_within_its_maximum_lifetime(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives: list[timedelta] = []
    get_key = storage._blobs.get_user_delegation_key

    def observe(start: datetime, expiry: datetime) -> Any:
        lives.append(expiry - start)
        return get_key(start, expiry)

    monkeypatch.setattr(storage._blobs, "get_user_delegation_key", observe)
    now = datetime.now(UTC)
    for minutes in (0, 10, 29, 31):
        storage.container_uri_with_sas(
            "import-mine", timedelta(hours=167), now + timedelta(minutes=minutes)
        )
    assert len(lives) == 2
    assert all(life < timedelta(days=7) for life in lives)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, DelegationKeyRefusedError), (503, TemporaryError)]
)
def test_no_delegation_key(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        error = HttpResponseError("no")
        error.status_code = status
        raise error

    monkeypatch.setattr(storage._blobs, "get_user_delegation_key", refuse)
    with pytest.raises(kind):
        storage.container_uri_with_sas("import-mine", timedelta(hours=1), datetime.now(UTC))


def test_an_import_waits_for_the_delegation_role(
    entra_app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DelegationKeyRefusedError

    monkeypatch.setattr(Storage, "_user_delegation_key", refuse)
    entra_app.upload("pumps.ndjson", device("pump-1"))
    entra_app.deliver("pumps.ndjson")
    record = entra_app.record("pumps.ndjson")
    assert record.state == "queued"
    assert "Grant it Storage Blob Data Contributor" in record.failure_reason
    entra_app.clock.ahead_minutes(31)
    entra_app.tick()
    assert entra_app.record("pumps.ndjson").state == "failed"
