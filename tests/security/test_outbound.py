"""The app connects only to hosts that its settings name."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
import trustme
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport

from local.azurite import ACCOUNT_KEY, ACCOUNT_NAME
from shared.connections import StorageConnection
from shared.storage.client import Storage
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import pending_events, tick
from tests.web.support import Client

REDIRECTS = (302, 303, 307)


@dataclass(frozen=True)
class Call:
    """A request received by a server."""

    line: str
    headers: dict[str, str]
    body: bytes


class Server:
    """Records all requests and responds 200 without content by default."""

    def __init__(
        self,
        status: int = 200,
        headers: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.calls: list[Call] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.calls.append(Call(self.requestline, dict(self.headers), body))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def canary() -> Iterator[Server]:
    """A server that the app must never call."""
    with Server() as canary:
        yield canary


@dataclass
class Connections:
    """Addresses that this process connects to, and host names that it resolves."""

    made: set[str] = field(default_factory=set)
    looked_up: set[str] = field(default_factory=set)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    connections = Connections()
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def recording_connect(self: socket.socket, address: Any) -> None:
        connections.made.add(
            ":".join(map(str, address[:2])) if isinstance(address, tuple) else address
        )
        connect(self, address)

    def recording_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        connections.looked_up.add(str(host))
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", recording_connect)
    monkeypatch.setattr(socket, "getaddrinfo", recording_getaddrinfo)
    return connections


def storage_of(app: App) -> dict[str, str]:
    """Hosts of the storage account by service."""
    parts = [part.partition("=") for part in app.settings["ImporterStorage"].split(";")]
    services = {name: urlsplit(value).netloc for name, _, value in parts}
    return {name: services[f"{name}Endpoint"] for name in ("Blob", "Queue", "Table")}


def lines_containing(url: str) -> list[dict[str, object]]:
    """Devices that contain a URL in every property where the rules allow it."""
    tags = {"url": url, "inputBlobContainerUri": url, "callback": {"href": url}, "list": [url]}
    good = device(
        "pump-1",
        tags=tags,
        properties={"desired": tags, "reported": tags},
        deviceScope=url,
        **{"inputBlobName": url, "outputBlobContainerUri": url, "$schema": url, "$type": url},
    )
    return [good, {**good, "id": "pump-2", "importMode": "update", "eTag": url}]


def test_addresses_in_files_and_hub_responses_are_not_called(
    app_with_receiver: App,
    client: Client,
    receiver: Receiver,
    canary: Server,
    connections: Connections,
) -> None:
    app, url = app_with_receiver, f"http://{canary.address}/x"
    account = storage_of(app)
    needed = {account["Blob"], account["Table"], app.hub.address, urlsplit(receiver.url).netloc}
    # The host's queue and the test's own connection to the API.
    allowed = needed | {account["Queue"], urlsplit(client.base).netloc}
    lines = lines_containing(url)
    metadata = {"callback": url, "url": url, "confirmDeletes": "1"}
    files = {
        f"{url}/a.ndjson": "\n".join(map(json.dumps, lines)).encode(),
        "//evil.example/b.json": json.dumps(lines).encode(),
        "c.csv": f"id,status,tags.url,{url}\npump-3,enabled,{url},{url}\n".encode(),
        "good.ndjson": json.dumps(device("pump-4", tags={"url": url})).encode(),
        "d.ndjson.gz": gzip.compress(json.dumps({**lines[0], "id": url}).encode()),
    }
    for name, content in files.items():
        app.upload(name, content, metadata=metadata)
        app.deliver(name)
        app.finish()
    for kind, options in (("failJob", {"reason": url}), ("error", {"operation": "createJob"})):
        text = f"see {url} or https://evil.example/ or //evil.example"
        fault = options if kind == "failJob" else {**options, "status": 400, "message": text}
        app.hub.faults.add(kind, **fault)
        app.upload("e.ndjson", *lines)
        app.deliver("e.ndjson")
        app.finish()
    tick(app)
    app.sweep()
    for import_id in client.ids():
        for path in ("imports", "dashboard/imports"):
            client.get(f"{path}/{import_id}")
        client.post(f"imports/{import_id}/retry")
    client.get("health")
    client.post("check", b"\n".join(json.dumps(line).encode() for line in lines), name=url)
    app.finish()
    tick(app)

    states = {record.state.value for record in app.records()}
    assert states >= {"completedWithErrors", "completed", "rejected", "failed"}
    assert len(receiver.posts) == len(app.records())
    assert needed <= connections.made <= allowed
    assert connections.looked_up == {"127.0.0.1"}
    assert canary.calls == []


def test_the_canary_records_connections(canary: Server, connections: Connections) -> None:
    with socket.create_connection(tuple(canary.address.split(":"))) as wire:  # type: ignore[arg-type]
        wire.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.0 200")
    assert [call.line for call in canary.calls] == ["GET /x HTTP/1.0"]
    assert connections.made == {canary.address}


@pytest.mark.parametrize("status", REDIRECTS)
def test_redirects_of_a_hub_are_not_followed(app: App, canary: Server, status: int) -> None:
    location = {"Location": f"http://{canary.address}/jobs/create"}
    with Server(status, location) as hub:
        app.configure(IOTHUB=app.settings["IOTHUB"].replace(app.hub.address, hub.address))
        app.upload("pumps.ndjson", device("pump-1"))
        app.deliver("pumps.ndjson")
        for _ in range(2):
            app.tick()
        app.importer.health.examine()
        asked = {call.line.partition("?")[0] for call in hub.calls}
        assert asked == {"POST /jobs/create", "GET /jobs"}
        assert all("sig=" in call.headers["Authorization"] for call in hub.calls)
        [record] = app.records()
        app.configure(IOTHUB=app.hub.connection_string("registryReadWrite"))
    assert record.state == "starting"
    assert canary.calls == []


@pytest.mark.parametrize("status", REDIRECTS)
def test_redirects_of_an_event_receiver_are_not_followed(
    app_with_receiver: App, receiver: Receiver, canary: Server, status: int
) -> None:
    receiver.answers.append((status, {"Location": f"http://{canary.address}/hooks"}))
    app_with_receiver.upload("a.ndjson", device("pump 1"))
    app_with_receiver.deliver("a.ndjson")
    tick(app_with_receiver)
    assert len(receiver.posts) == len(pending_events(app_with_receiver)) == 1
    assert canary.calls == []


class Identity:
    """Returns a token for any scope."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token-secret-0001", int(time.time()) + 3600)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate that all clients of the test trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def use_blobs(storage: Storage) -> Iterator[Callable[[], object]]:
    blob = storage.container("import-mine").get_blob_client("devices.txt")
    yield lambda: blob.upload_blob(b"a line with a key", overwrite=True)
    yield lambda: blob.download_blob().readall()


def use_table(storage: Storage) -> Iterator[Callable[[], object]]:
    table = storage.table("DeviceImports")
    yield lambda: table.upsert_entity({"PartitionKey": "a", "RowKey": "b"})
    yield lambda: list(table.list_entities())


KEY, TOKEN = "key", "token"


def sent_to_redirect_target(
    storage_uses: Callable[[Storage], Iterator[Callable[[], object]]],
    by: str,
    status: int,
    tls: ssl.SSLContext,
) -> list[Call]:
    """Requests at a foreign server that demands a token, when Storage redirects to it."""
    authorization = "authorization_uri=https://login.example/tenant/oauth2/authorize"
    challenge = {
        "WWW-Authenticate": f"Bearer {authorization} resource_id=https://storage.azure.com"
    }
    with Server(401, challenge, tls) as target:
        location = {"Location": f"https://{target.address}/x"}
        with Server(status, location, tls) as account:
            url = f"https://{account.address}/{ACCOUNT_NAME}"
            services = ("blob", "queue", "table")
            uris = {f"{name}ServiceUri": url for name in services}
            endpoints = ";".join(f"{name.title()}Endpoint={url}" for name in services)
            text = f"AccountName={ACCOUNT_NAME};AccountKey={ACCOUNT_KEY};{endpoints}"
            connection = StorageConnection.model_validate(text if by == KEY else uris)
            storage = Storage(connection, Identity, RequestsTransport)
            for use in storage_uses(storage):
                with suppress(Exception):
                    use()
            storage.close()
            assert len(account.calls) >= 2
            assert all("Authorization" in call.headers for call in account.calls)
        return target.calls


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize(
    ("use", "by"),
    [
        (use_blobs, KEY),
        (use_blobs, TOKEN),
        (use_table, KEY),
        (use_table, TOKEN),
    ],
)
def test_a_storage_redirect_receives_no_credential(
    use: Callable[[Storage], Iterator[Callable[[], object]]],
    by: str,
    status: int,
    tls: ssl.SSLContext,
) -> None:
    calls = sent_to_redirect_target(use, by, status, tls)
    assert [call.line for call in calls if "Authorization" in call.headers] == []


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("use", [use_blobs, use_table])
def test_redirects_of_a_storage_account_are_not_followed(
    use: Callable[[Storage], Iterator[Callable[[], object]]], status: int, tls: ssl.SSLContext
) -> None:
    assert sent_to_redirect_target(use, KEY, status, tls) == []
