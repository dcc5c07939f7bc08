"""The client against the emulator and against invalid responses."""

from __future__ import annotations

import gzip
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport

from iothub_emulator import HubEmulator
from iothub_emulator.tls import Tls
from shared.connections import HubConnection
from shared.hub import client as client_module
from shared.hub.client import HubClient
from shared.hub.exceptions import (
    HubAnswerError,
    HubRequestError,
    HubUnauthorizedError,
    HubUnavailableError,
    JobNotFoundError,
    JobSlotBusyError,
    OutcomeUnknownError,
)
from shared.hub.jobs import ImportJobRequest, JobStatus
from tests.hub.conftest import Connect, JobContainer


@pytest.fixture
def request_of_a_job(job_container: JobContainer) -> ImportJobRequest:
    """A job request for a container with a device file."""
    job_container.client.upload_blob("devices.txt", b'{"id":"pump-1","status":"enabled"}')
    uri = job_container.uri
    return ImportJobRequest(input_blob_container_uri=uri, output_blob_container_uri=uri)


def test_the_lifecycle_of_a_job(
    hub: HubEmulator, connect: Connect, request_of_a_job: ImportJobRequest
) -> None:
    client = connect(hub.connection_string("registryReadWrite"))
    hub.faults.add("hangJob")
    created = client.create_job(request_of_a_job)
    assert (created.type, created.status) == ("import", JobStatus.ENQUEUED)
    assert created.start_time_utc is not None
    assert "sig=REDACTED" in created.input_blob_container_uri
    with pytest.raises(JobSlotBusyError):
        client.create_job(request_of_a_job)
    assert [job.job_id for job in client.list_jobs().jobs] == [created.job_id]
    client.cancel_job(created.job_id)
    cancelled = client.get_job(created.job_id)
    assert cancelled.status is JobStatus.CANCELLED
    assert cancelled.end_time_utc is not None


def test_an_unknown_job(hub: HubEmulator, connect: Connect) -> None:
    client = connect(hub.connection_string())
    with pytest.raises(JobNotFoundError):
        client.get_job("no/such job")
    with pytest.raises(OutcomeUnknownError):
        client.cancel_job("no such job")


def test_an_unknown_api_version(hub: HubEmulator, connect: Connect) -> None:
    with pytest.raises(HubRequestError):
        connect(hub.connection_string(), "1999-01-01").list_jobs()


def test_a_wrong_key(hub: HubEmulator, connect: Connect) -> None:
    connection = hub.connection_string().replace("SharedAccessKey=", "SharedAccessKey=AAAA")
    with pytest.raises(HubUnauthorizedError):
        connect(connection).list_jobs()


def test_an_unreachable_hub(connect: Connect) -> None:
    client = connect(
        "HostName=127.0.0.1:9;SharedAccessKeyName=a;SharedAccessKey=YWJj;"
        "UseDevelopmentEmulator=true"
    )
    with pytest.raises(HubUnavailableError):
        client.get_job("x")
    with pytest.raises(HubUnavailableError):
        client.cancel_job("x")


class Scripted(BaseHTTPRequestHandler):
    """Answers every request with the server's `status` and `body`."""

    def do_GET(self) -> None:
        server: Any = self.server
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(server.body)))
        if server.encoding:
            self.send_header("Content-Encoding", server.encoding)
        self.end_headers()
        self.wfile.write(server.body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def scripted(connect: Connect) -> Iterator[Callable[..., HubClient]]:
    server: Any = HTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def answer(status: int, body: bytes, encoding: str = "") -> HubClient:
        server.status, server.body, server.encoding = status, body, encoding
        return connect(
            f"HostName=127.0.0.1:{server.server_port};SharedAccessKeyName=a;"
            "SharedAccessKey=YWJj;UseDevelopmentEmulator=true"
        )

    yield answer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"<html>", b'{"jobId":""}', b"\xff"])
def test_a_job_without_an_id_in_the_response_may_exist(
    scripted: Callable[[int, bytes], HubClient], body: bytes
) -> None:
    request = ImportJobRequest(input_blob_container_uri="x", output_blob_container_uri="y")
    with pytest.raises(OutcomeUnknownError):
        scripted(200, body).create_job(request)


@pytest.mark.parametrize("body", [b"", b"7", b"<html>", b"\xff"])
def test_a_response_that_is_not_a_list(
    scripted: Callable[[int, bytes], HubClient], body: bytes
) -> None:
    with pytest.raises(HubUnavailableError):
        scripted(200, body).list_jobs()


@pytest.mark.parametrize("body", [b"<html>", b"\xff"])
def test_a_response_that_is_not_json(
    scripted: Callable[[int, bytes], HubClient], body: bytes
) -> None:
    with pytest.raises(HubUnavailableError):
        scripted(200, body).get_job("x")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"7"),
        (200, b"[]"),
        (200, b'{"jobId":"another","status":"completed"}'),
        (400, b'{"Message":"ErrorCode:ArgumentInvalid;no"}'),
        (405, b""),
    ],
)
def test_a_response_that_is_not_about_the_job(
    scripted: Callable[[int, bytes], HubClient], status: int, body: bytes
) -> None:
    with pytest.raises(HubAnswerError):
        scripted(status, body).get_job("x")


@pytest.mark.parametrize(
    "body", [b"", b"<html>Not Found</html>", b"{}", b'{"Message":"ErrorCode:JobNotFound;no"}']
)
def test_a_404_with_any_body_means_that_the_job_is_unknown(
    scripted: Callable[[int, bytes], HubClient], body: bytes
) -> None:
    with pytest.raises(JobNotFoundError):
        scripted(404, body).get_job("x")


def test_the_size_of_a_response_is_limited(
    scripted: Callable[[int, bytes], HubClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER", 100_000)
    assert scripted(200, b"[]".ljust(100_000)).list_jobs().jobs == []
    request = ImportJobRequest(input_blob_container_uri="x", output_blob_container_uri="y")
    for status in (200, 400, 500):
        client = scripted(status, b'{"jobId":"x"}'.ljust(100_001))
        with pytest.raises(HubUnavailableError, match="more than 100,000 bytes"):
            client.get_job("x")
        with pytest.raises(OutcomeUnknownError, match="more than 100,000 bytes"):
            client.create_job(request)


def test_the_size_limit_applies_after_decompression(
    scripted: Callable[..., HubClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER", 1_000_000)
    client = scripted(200, gzip.compress(b"[]".ljust(50_000_000)), "gzip")
    with pytest.raises(HubUnavailableError, match="more than 1,000,000 bytes"):
        client.list_jobs()


def test_a_response_of_a_later_version(scripted: Callable[[int, bytes], HubClient]) -> None:
    job = scripted(200, b'{"jobId":"1","status":"paused","type":"import","cost":{"eur":1}}')
    assert job.get_job("1").status_text == "paused"
    jobs = scripted(200, b'[{"jobId":"1","type":"somethingElse"}, 7]').list_jobs().jobs
    assert [job.type for job in jobs] == ["somethingElse"]


def test_entra_id_tokens_are_for_the_hub_and_never_sent_unencrypted() -> None:
    asked: list[tuple[str, ...]] = []

    class Identity:
        def get_token(self, *scopes: str, **_: Any) -> AccessToken:
            asked.append(scopes)
            raise ClientAuthenticationError("no identity is assigned")

    hub = HubConnection.parse("fleet.azure-devices.net")
    client = HubClient(hub, Identity, "2021-04-12", RequestsTransport())
    with pytest.raises(HubUnauthorizedError, match="no identity is assigned"):
        client.list_jobs()
    client.close()
    assert asked == [("https://iothubs.azure.net/.default",)]


@pytest.mark.parametrize("is_read", [True, False], ids=["after the request", "before it"])
def test_plain_text_in_a_tls_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect, is_read: bool
) -> None:
    """A middlebox may answer so when the hub has the request already."""
    tls = Tls("localhost", tmp_path)
    context = tls.open()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.ca_file))

    def answer() -> None:
        connection, _ = listener.accept()
        if not is_read:
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            connection.close()
            return
        with context.wrap_socket(connection, server_side=True) as secure:
            while b"inputBlobName" not in secure.recv(1 << 16):
                pass
            os.write(secure.fileno(), b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        host = f"localhost:{listener.getsockname()[1]}"
        key = "SharedAccessKeyName=owner;SharedAccessKey=bWFkZS11cC1odWIta2V5"
        request = ImportJobRequest(
            input_blob_container_uri="https://c", output_blob_container_uri=""
        )
        with pytest.raises(OutcomeUnknownError if is_read else HubUnavailableError):
            connect(f"HostName={host};{key}").create_job(request)
        thread.join()
