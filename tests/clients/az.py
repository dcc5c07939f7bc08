"""A client that sends what the azure-iot extension of the Azure CLI sends.

No package registry has the extension. Paths, headers and bodies are those of its sources:
azext_iot/operations/hub.py, azext_iot/iothub/providers/job.py and state.py,
azext_iot/sdk/iothub/service. Optional properties without a value are not sent; each If-Match is in
quotes, also ``"*"``.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import requests

from iothub_emulator import HubEmulator
from tests.emulator.support import DEADLINE, HubClient

ANY = "*"
SAS = {"type": "sas", "symmetricKey": {}}


@dataclass(frozen=True)
class Az:
    """Sends requests as a version of the extension does."""

    hub: HubEmulator
    api_version: str

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        etag: str | None = None,
        headers: dict[str, str] | None = None,
        **parameters: str,
    ) -> requests.Response:
        sent = {
            "Accept": "application/json",
            "Authorization": HubClient(self.hub.connection_string()).token(),
            "User-Agent": "python/3.12 msrest/0.7.1 Azure-SDK-For-Python IoTPlatformCliExtension",
            "x-ms-client-request-id": str(uuid.uuid4()),
            **(headers or {}),
        }
        if body is not None:
            sent["Content-Type"] = "application/json; charset=utf-8"
        if etag is not None:
            sent["If-Match"] = f'"{etag}"'
        return requests.request(
            method,
            self.hub.url + path,
            params={**parameters, "api-version": self.api_version},
            data=None if body is None else json.dumps(body),
            headers=sent,
            timeout=DEADLINE,
        )

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send what must succeed; return the body of the answer."""
        response = self.send(method, path, body, **options)
        assert response.ok, (response.status_code, response.text)
        return response.json() if response.content else None

    def query(self, text: str, page: int = 1000) -> list[Any]:
        """Page as the extension does."""
        return self._pages("POST", "/devices/query", {"query": text}, page)

    def scheduled_jobs(self, **filters: str) -> list[Any]:
        return self._pages("GET", "/jobs/v2/query", None, 1000, **filters)

    def _pages(self, method: str, path: str, body: Any, page: int, **options: Any) -> list[Any]:
        headers = {
            "Cache-Control": "no-cache, must-revalidate",
            "x-ms-max-item-count": str(page),
        }
        rows: list[Any] = []
        while True:
            response = self.send(method, path, body, headers=headers, **options)
            assert response.status_code == 200, response.text
            rows += response.json()
            token = response.headers.get("x-ms-continuation")
            if not token:
                return rows
            headers["x-ms-continuation"] = token

    def create_device(self, device_id: str, **properties: Any) -> dict[str, Any]:
        device = {
            "deviceId": device_id,
            "status": "enabled",
            "authentication": SAS,
            "capabilities": {"iotEdge": False},
        }
        created: dict[str, Any] = self.call("PUT", f"/devices/{device_id}", device | properties)
        return created

    def create_edge(self, device_id: str) -> dict[str, Any]:
        return self.create_device(device_id, capabilities={"iotEdge": True}, parentScopes=[])
