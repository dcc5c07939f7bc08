from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import azure.functions as func
import pytest
from azure.storage.blob import BlobClient as SdkBlobClient
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueServiceClient
from azurefunctions.extensions.bindings.blob import BlobClient

from local.host import FunctionsHost

HOST_JSON: dict[str, Any] = {
    "version": "2.0",
    "extensionBundle": {
        "id": "Microsoft.Azure.Functions.ExtensionBundle",
        "version": "[4.*, 5.0.0)",
    },
    "extensions": {"blobs": {"maxDegreeOfParallelism": 2, "poisonBlobThreshold": 5}},
}

HostFactory = Callable[..., FunctionsHost]
Body = Callable[[SdkBlobClient], object]


@pytest.fixture
def settings(storage_connection_string: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """App settings, also set in the environment, where SDK-type bindings read them."""
    values = {
        "AzureWebJobsStorage": storage_connection_string,
        "Uploads": storage_connection_string,
        "CONTAINER": f"uploads-{uuid.uuid4().hex}",
    }
    for name, value in values.items():
        monkeypatch.setitem(os.environ, name, value)
    return values


@pytest.fixture
def uploads(settings: dict[str, str]) -> Iterator[ContainerClient]:
    """An existing container for the test."""
    with BlobServiceClient.from_connection_string(settings["Uploads"]) as service:
        container = service.get_container_client(settings["CONTAINER"])
        container.create_container()
        yield container


@pytest.fixture
def queues(settings: dict[str, str]) -> Iterator[QueueServiceClient]:
    with QueueServiceClient.from_connection_string(settings["Uploads"]) as service:
        yield service


@pytest.fixture
def host_id() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def make_host(settings: dict[str, str], host_id: str) -> Iterator[HostFactory]:
    """Create hosts with an id of this test, not yet started; stop them after the test."""
    hosts: list[FunctionsHost] = []

    def make(app: func.FunctionApp, host_json: dict[str, Any] | None = None) -> FunctionsHost:
        host = FunctionsHost(app, settings, host_json or HOST_JSON, host_id, scan_interval=0.1)
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        host.stop()


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Poll until the condition holds, or fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.02)


def blob_app(body: Body, path: str = "%CONTAINER%/{name}") -> func.FunctionApp:
    app = func.FunctionApp()

    @app.function_name("intake")
    @app.blob_trigger(arg_name="upload", path=path, connection="Uploads")
    def intake(upload: BlobClient) -> object:
        return body(upload)

    return app
