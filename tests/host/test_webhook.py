from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import azure.functions as func
import pytest
from azure.storage.blob import ContainerClient
from azurefunctions.extensions.bindings.blob import BlobClient

from local.host import FunctionsHost, Keys, UsageError
from tests.host.conftest import HOST_JSON, eventually

KEYS = Keys("host-key", "master-key", "system-key")
VALIDATION = [{"data": {"validationCode": "abc"}}]


@pytest.fixture
def arrived() -> list[str]:
    """Names of the blobs that the function got."""
    return []


@pytest.fixture
def host(settings: dict[str, str], host_id: str, arrived: list[str]) -> Iterator[FunctionsHost]:
    app = func.FunctionApp()

    @app.blob_trigger(
        arg_name="upload",
        path="any/{name}",
        connection="Uploads",
        source=func.BlobSource.EVENT_GRID,
    )
    def intake(upload: BlobClient) -> None:
        arrived.append(str(upload.blob_name))

    host = FunctionsHost(app, settings, HOST_JSON, host_id, keys=KEYS)
    host.start()
    yield host
    host.stop()


def event(url: str) -> dict[str, Any]:
    return {
        "eventType": "Microsoft.Storage.BlobCreated",
        "data": {"url": url, "blobType": "BlockBlob", "eTag": "0x1"},
    }


def send(
    host: FunctionsHost,
    body: Any,
    kind: str | None = "Notification",
    method: str = "POST",
    key: str = KEYS.system,
    path: str = "/runtime/webhooks/blobs",
    function: str = "Host.Functions.intake",
) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    request = urllib.request.Request(
        f"{host.address}{path}?functionName={function}&code={key}",
        method=method,
        data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"aeg-event-type": kind} if kind else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers.get("Content-Type", ""), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Content-Type", ""), error.read()


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize("path", ["/runtime/webhooks/blobs", "/Runtime/Webhooks/Blobs/"])
def test_events_are_queued(
    host: FunctionsHost, uploads: ContainerClient, arrived: list[str], as_list: bool, path: str
) -> None:
    sent = event(uploads.upload_blob("in/a b.txt", b"1").url)
    assert send(host, [sent, sent] if as_list else sent, path=path) == (202, "", b"")
    eventually(lambda: arrived == ["in/a b.txt"] * (2 if as_list else 1))


def test_subscription_is_validated(host: FunctionsHost) -> None:
    status, kind, body = send(host, VALIDATION, "SubscriptionValidation")
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert json.loads(body) == {"validationResponse": "abc"}


@pytest.mark.parametrize(
    ("kind", "method", "status"),
    [
        (None, "POST", 400),
        ("Other", "POST", 400),
        ("Unsubscribe", "POST", 202),
        (None, "GET", 400),
        (None, "OPTIONS", 200),
    ],
)
def test_other_requests(host: FunctionsHost, kind: str | None, method: str, status: int) -> None:
    assert send(host, VALIDATION, kind, method) == (status, "", b"")


@pytest.mark.parametrize("kind", ["Notification", "SubscriptionValidation"])
@pytest.mark.parametrize("body", [b"", b"{", [{"data": {}}], ["text"], 7, [event("no address")]])
def test_invalid_bodies(host: FunctionsHost, kind: str, body: Any) -> None:
    assert send(host, body, kind) == (500, "", b"")
    assert not host.stopping.is_set()


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("", 401),
        ("wrong", 401),
        (KEYS.host, 403),
        (KEYS.system, 200),
        (KEYS.master, 200),
    ],
)
def test_keys(host: FunctionsHost, key: str, status: int) -> None:
    assert send(host, VALIDATION, "SubscriptionValidation", key=key)[0] == status


@pytest.mark.parametrize(
    ("url", "function"),
    [
        ("https://account.blob.core.windows.net/uploads/a", "Host.Functions.other"),
        ("https://account.blob.core.windows.net/uploads/a", "intake"),
        ("https://account.blob.core.windows.net/uploads/a", ""),
        ("https://account.blob.core.windows.net/uploads", "Host.Functions.intake"),
        ("http://127.0.0.1:10000/devstoreaccount1/uploads/", "Host.Functions.intake"),
    ],
)
def test_events_that_end_the_host(host: FunctionsHost, url: str, function: str) -> None:
    assert send(host, [event(url)], function=function)[0] == 202
    assert host.stopping.is_set()
    with pytest.raises(UsageError):
        host.stop()
