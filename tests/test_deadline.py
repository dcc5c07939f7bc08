"""A call to a hub ends by its deadline, even if the hub responds slowly."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport

from shared.connections import HubConnection
from shared.hub import client as client_module
from shared.hub.client import HubClient
from shared.hub.exceptions import HubUnavailableError, OutcomeUnknownError
from shared.hub.jobs import ImportJobRequest

DEADLINE = 0.3
#: Far below the timeouts of the client, which count single reads, and below the time
#: of each of DRIPS.
SOON = 10.0

REQUEST = ImportJobRequest(input_blob_container_uri="x", output_blob_container_uri="y")
#: By what arrives slowly: what the server sends at once, and then byte by byte.
DRIPS = {
    "status": (b"", b"HTTP/1.1 200 OK" + b" " * 1000),
    "headers": (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 1000),
    "refusal": (b"HTTP/1.1 404 Not Found\r\nX-Header: ", b"x" * 1000),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1002\r\n\r\n[]", b" " * 1000),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n",
        b"1\r\n \r\n" * 200,
    ),
    "body without a length": (b"HTTP/1.1 200 OK\r\n\r\n[", b" " * 1000),
    "nothing": (b"", b""),
}
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


class Server:
    """Responds to the requests of each connection in turn, then stops responding."""

    def __init__(self) -> None:
        self.answers: list[tuple[bytes, bytes]] = []
        self._connections: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._is_closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    @property
    def connections(self) -> int:
        """Connections that were made so far."""
        return len(self._connections)

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        self._is_closed.set()
        # A client closes its connections only when nothing refers to them, such as a log record.
        for connection in (self._socket, *self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(SOON)

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests:
            try:
                while requests.readline():
                    # A client may send a request and its body separately.
                    headers = http.client.parse_headers(requests)
                    requests.read(int(headers.get("Content-Length", 0)))
                    at_once, slowly = self.answers.pop(0)
                    connection.sendall(at_once)
                    for byte in slowly:
                        if self._is_closed.wait(0.02):
                            return
                        connection.sendall(bytes([byte]))
            except OSError:
                return


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubClient]:
    def no_credential() -> TokenCredential:
        raise AssertionError("a hub with a key needs no token")

    monkeypatch.setattr(client_module, "HUB_DEADLINE", DEADLINE)
    hub = HubConnection.parse(
        f"HostName=127.0.0.1:{server.port};SharedAccessKeyName=a;SharedAccessKey=YWJj;"
        "UseDevelopmentEmulator=true"
    )
    client = HubClient(hub, no_credential, "2021-04-12", RequestsTransport())
    yield client
    client.close()


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a_slow_response_is_interrupted(
    server: Server, client: HubClient, drip: tuple[bytes, bytes]
) -> None:
    server.answers = [drip, drip]
    with pytest.raises(HubUnavailableError):
        client.list_jobs()
    with pytest.raises(HubUnavailableError):
        client.get_job("x")


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a_job_whose_response_is_interrupted_may_exist(
    server: Server, client: HubClient, drip: tuple[bytes, bytes]
) -> None:
    server.answers = [drip]
    with pytest.raises(OutcomeUnknownError):
        client.create_job(REQUEST)


def test_a_reused_connection_is_interrupted_too(server: Server, client: HubClient) -> None:
    server.answers = [(GOOD, b""), DRIPS["body"], (GOOD, b"")]
    assert client.list_jobs().jobs == []
    with pytest.raises(HubUnavailableError):
        client.list_jobs()
    assert server.connections == 1
    assert client.list_jobs().jobs == []
    assert server.connections == 2, "the interrupted connection is not used again"


def test_a_timely_response_is_not_interrupted_later(server: Server, client: HubClient) -> None:
    server.answers = [(GOOD, b"")] * 2
    assert client.list_jobs().jobs == []
    time.sleep(2 * DEADLINE)
    assert client.list_jobs().jobs == []
    assert server.connections == 1
