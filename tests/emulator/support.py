"""An HTTP client of the emulator and a storage container, for the tests of this folder.

Tokens and SAS are built from the published rules instead of the code under test.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import requests
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

import iothub_emulator
from iothub_emulator import HubEmulator
from iothub_emulator.jobs.importing import DeviceImport
from iothub_emulator.registry.registry import Registry

API_VERSION = "2021-04-12"
DEADLINE = 10.0

Line = Mapping[str, Any]
RunImport = Callable[..., list[dict[str, Any]]]
StartHub = Callable[..., HubEmulator]


def sas_token(resource: str, policy: str, key: str, expires_in: float = 600) -> str:
    encoded = quote_plus(resource)
    expiry = int(time.time() + expires_in)
    mac = hmac.new(base64.b64decode(key), f"{encoded}\n{expiry}".encode(), hashlib.sha256)
    signature = quote_plus(base64.b64encode(mac.digest()))
    return f"SharedAccessSignature sr={encoded}&sig={signature}&se={expiry}&skn={policy}"


@dataclass(frozen=True)
class HubClient:
    """Sends requests to the hub of a connection string."""

    connection_string: str

    @property
    def parts(self) -> dict[str, str]:
        return dict(part.split("=", 1) for part in self.connection_string.split(";"))

    @property
    def host(self) -> str:
        return self.parts["HostName"]

    def token(self, resource: str | None = None, expires_in: float = 600) -> str:
        parts = self.parts
        return sas_token(
            resource or self.host,
            parts["SharedAccessKeyName"],
            parts["SharedAccessKey"],
            expires_in,
        )

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: str = f"?api-version={API_VERSION}",
        timeout: float = DEADLINE,
    ) -> requests.Response:
        return requests.request(
            method,
            f"http://{self.host}{path}{query}",
            data=body if isinstance(body, str) else json.dumps(body),
            headers={"Authorization": self.token(), **(headers or {})},
            timeout=timeout,
        )

    def create_job(self, body: Mapping[str, Any], **options: Any) -> requests.Response:
        return self.send("POST", "/jobs/create", body, **options)

    def job(self, job_id: str) -> dict[str, Any]:
        response = self.send("GET", f"/jobs/{job_id}")
        assert response.status_code == 200, response.text
        job: dict[str, Any] = response.json()
        return job

    def wait_for_job(self, job_id: str, *statuses: str) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        def has_status() -> bool:
            seen.append(self.job(job_id))
            return seen[-1]["status"] in statuses

        wait_until(has_status)
        return seen[-1]


class JobContainer:
    """A container with an import file and the log of its import."""

    def __init__(self, service: BlobServiceClient) -> None:
        self.service = service
        self._account_key = service.credential.account_key
        self.client: ContainerClient = service.create_container(f"job-{uuid.uuid4()}")

    def write(self, *lines: Line | str, name: str = "devices.txt") -> None:
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        self.write_bytes("\n".join(texts).encode(), name)

    def write_bytes(self, content: bytes, name: str = "devices.txt") -> None:
        self.client.upload_blob(name, content, overwrite=True)

    def uri(self, permission: str = "rwdl", expires_in: float = 3600) -> str:
        sas = generate_container_sas(
            self.client.account_name,
            self.client.container_name,
            account_key=self._account_key,
            permission=ContainerSasPermissions.from_string(permission),
            start=datetime.now(UTC) - timedelta(hours=2),
            expiry=datetime.now(UTC) + timedelta(seconds=expires_in),
        )
        return f"{self.client.url}?{sas}"

    def request(self, **changes: Any) -> dict[str, Any]:
        uri = self.uri()
        body = {
            "type": "import",
            "inputBlobContainerUri": uri,
            "outputBlobContainerUri": uri,
        }
        return body | changes

    def text(self, name: str) -> str:
        return self.client.download_blob(name, encoding="utf-8").readall()

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text(name).splitlines()]

    def log(self) -> list[dict[str, Any]]:
        return self.lines("importErrors.log")

    def names(self) -> set[str]:
        return {blob.name for blob in self.client.list_blobs()}


#: For users of the emulator.
README = Path(iothub_emulator.__file__).parent.parent / "README.md"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"


def error_code(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.headers["iothub-errorcode"]


def stored(registry: Registry, device_id: str, module_id: str | None = None) -> dict[str, Any]:
    """An identity that must exist."""
    identity = registry.get(device_id, module_id)
    assert identity is not None
    return identity


def import_line(registry: Registry, text: str) -> str | None:
    """Import a file of one line; return the line of the log, if any."""
    return next(iter(DeviceImport(registry).apply([text])), None)


def codes(log: Iterable[Mapping[str, Any]]) -> list[int]:
    return [line["errorCode"] for line in log]


def zoned(document: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the creation of an identity as later answers have it: times end in Z."""
    return {
        name: f"{value}Z" if name.endswith("Time") else value for name, value in document.items()
    }
