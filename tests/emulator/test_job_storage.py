"""The containers of a job: what a hub checks before it, and what it loses during it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from iothub_emulator import HubEmulator
from tests.emulator.support import (
    HubClient,
    JobContainer,
    StartHub,
    error_code,
)


def rejection(client: HubClient, job_container: JobContainer, **changes: Any) -> str:
    response = client.create_job(job_container.request(**changes))
    assert error_code(response) == (400, "BlobContainerValidationError")
    body = response.json()
    assert body["ExceptionMessage"] == ""
    lines: list[str] = body["Message"].split("\n")
    assert lines[0] == (
        "ErrorCode:BlobContainerValidationError;Error: 400 ErrorCode: BlobContainerValidationError"
    )
    return lines[1].removeprefix("Message: ")


CANNOT_READ = "Failed to read devices blob from the input container."
CANNOT_WRITE = "Unauthorized to write to output blob container."
CANNOT_DELETE = "Unauthorized to delete from output blob container"


@pytest.mark.parametrize(
    ("name", "permission", "message"),
    [
        ("inputBlobContainerUri", "wdl", CANNOT_READ),
        ("outputBlobContainerUri", "rdl", CANNOT_WRITE),
        ("outputBlobContainerUri", "rwl", CANNOT_DELETE),
    ],
)
def test_missing_permission(
    hub: HubEmulator,
    client: HubClient,
    ready: JobContainer,
    name: str,
    permission: str,
    message: str,
) -> None:
    assert rejection(client, ready, **{name: ready.uri(permission)}) == message
    assert len(hub.jobs) == 0


def test_least_permissions(hub: HubEmulator, client: HubClient, ready: JobContainer) -> None:
    wanted = ready.request(
        inputBlobContainerUri=ready.uri("r"), outputBlobContainerUri=ready.uri("wd")
    )

    assert client.create_job(wanted).status_code == 200
    hub.wait_idle(timeout=10)
    assert hub.jobs[0]["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "message"),
    [("inputBlobContainerUri", CANNOT_READ), ("outputBlobContainerUri", CANNOT_WRITE)],
)
def test_expired_sas(client: HubClient, ready: JobContainer, name: str, message: str) -> None:
    assert rejection(client, ready, **{name: ready.uri(expires_in=-60)}) == message


def test_one_expired_sas_for_both_containers_is_reported_for_the_output(
    client: HubClient, ready: JobContainer
) -> None:
    expired = ready.uri(expires_in=-60)
    changes = {"inputBlobContainerUri": expired, "outputBlobContainerUri": expired}

    assert rejection(client, ready, **changes) == CANNOT_WRITE


@pytest.mark.parametrize("uri", ["nonsense", "http://127.0.0.1:9/account/container"])
def test_unreachable_uri(client: HubClient, ready: JobContainer, uri: str) -> None:
    assert rejection(client, ready, inputBlobContainerUri=uri) == CANNOT_READ
    assert rejection(client, ready, outputBlobContainerUri=uri) == CANNOT_WRITE


def test_missing_blob(client: HubClient, job_container: JobContainer) -> None:
    assert rejection(client, job_container) == CANNOT_READ


def test_empty_blob(client: HubClient, job_container: JobContainer) -> None:
    job_container.write_bytes(b"")

    assert rejection(client, job_container) == CANNOT_READ


def test_missing_container(client: HubClient, ready: JobContainer) -> None:
    wanted = ready.request()
    ready.client.delete_container()

    assert client.create_job(wanted).status_code == 400


def test_probe_leaves_nothing_behind(client: HubClient, job_container: JobContainer) -> None:
    rejection(client, job_container)

    assert job_container.names() == set()


def test_identity_based(
    start_hub: StartHub, ready: JobContainer, storage_connection_string: str
) -> None:
    hub = start_hub(identity_connection_string=storage_connection_string)
    plain = ready.client.url
    wanted = ready.request(
        inputBlobContainerUri=plain,
        outputBlobContainerUri=plain,
        storageAuthenticationType="identityBased",
    )

    job = HubClient(hub.connection_string()).create_job(wanted).json()
    assert job["storageAuthenticationType"] == "identityBased"
    hub.wait_idle(timeout=10)
    assert len(hub.registry) == 1
    assert ready.log() == []


def test_identity_based_needs_an_identity(client: HubClient, ready: JobContainer) -> None:
    response = client.create_job(ready.request(storageAuthenticationType="identityBased"))

    assert error_code(response) == (400, "ManagedIdentityNotEnabled")


@pytest.mark.parametrize("number", range(7))
def test_storage_answer_that_is_lost(
    client: HubClient, ready: JobContainer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The emulator sends the request again, and storage has done it already."""
    numbers = itertools.count()
    send = RequestsTransport.send

    def lose(transport: RequestsTransport, request: Any, **options: Any) -> Any:
        response = send(transport, request, **options)
        if next(numbers) == number:
            response.internal_response.close()
            raise ServiceResponseError("The answer is lost.")
        return response

    with monkeypatch.context() as patch:
        patch.setattr(RequestsTransport, "send", lose)
        response = client.create_job(ready.request())
        assert response.status_code == 200
        client.wait_for_job(response.json()["jobId"], "completed")
    assert next(numbers) > number
    assert ready.log() == []


def test_storage_lost_while_the_job_runs(start_hub: StartHub, ready: JobContainer) -> None:
    hub = start_hub(job_seconds=0.4)
    HubClient(hub.connection_string()).create_job(ready.request())
    ready.client.delete_container()
    hub.wait_idle(timeout=10)

    assert hub.jobs[0]["status"] == "failed"
    assert "storage" in hub.jobs[0]["failureReason"]
