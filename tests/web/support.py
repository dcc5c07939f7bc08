"""An HTTP client of the API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any, Self

import requests

from iothub_emulator import HubEmulator
from shared.imports.model.record import ImportRecord
from tests.app import App, device

__all__ = [
    "KEY",
    "Client",
    "TwoHubs",
    "cancel_at_the_hub",
    "complete",
    "partly",
    "problem_of",
    "reject",
    "send",
    "text_of",
]

#: The host key, which the functions under test require; needs encoding in an address.
KEY = "made-up+key"


class Client:
    """Calls the endpoints over HTTP and keeps all answers."""

    def __init__(self, address: str) -> None:
        self.base = f"{address}/api"
        self.answers: list[requests.Response] = []
        self._session = requests.Session()
        # No proxy from the environment, and no compression by default.
        self._session.trust_env = False
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["x-functions-key"] = KEY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._session.close()

    def get(
        self, path: str, /, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> requests.Response:
        return self._call("GET", path, headers, query)

    def post(
        self,
        path: str,
        body: bytes | Iterator[bytes] = b"",
        /,
        *,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> requests.Response:
        return self._call("POST", path, headers, query, body)

    def put(
        self,
        path: str,
        body: bytes | Iterator[bytes] = b"",
        /,
        *,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> requests.Response:
        return self._call("PUT", path, headers, query, body)

    def size(self, path: str, /, *, headers: Mapping[str, str]) -> int:
        """Bytes of a body as it is transferred."""
        return len(self._call("GET", path, headers, {}, stream=True).raw.read(decode_content=False))

    def json(self, path: str, /, **query: Any) -> Any:
        """The JSON response of a call that must succeed."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json()

    def problem(self, status: int, path: str, /, method: str = "get", **arguments: Any) -> Any:
        """The problem document of a call that must fail with this status."""
        answer = getattr(self, method)(path, **arguments)
        return problem_of(answer, status)

    def ids(self, **query: Any) -> list[str]:
        return [item["id"] for item in self.json("imports", **query)["imports"]]

    def follow(self, url: str) -> Any:
        """The response at an address from another response."""
        assert url.startswith("/api/")
        return self.json(url.removeprefix("/api/"))

    def _call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        query: dict[str, Any],
        body: bytes | Iterator[bytes] = b"",
        stream: bool = False,
    ) -> requests.Response:
        answer = self._session.request(
            method,
            f"{self.base}/{path}",
            params=query,
            headers=headers,
            data=body,
            timeout=30,
            allow_redirects=False,
            stream=stream,
        )
        self.answers.append(answer)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return answer


def send(target: Mapping[str, Any], content: bytes) -> requests.Response:
    """Upload a file to an address, as any program does that knows nothing of Azure."""
    return requests.put(target["url"], data=content, headers=target["headers"], timeout=30)


def problem_of(answer: requests.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:device-importer:")
    assert problem["title"]
    assert problem["detail"]
    return problem


@dataclass(frozen=True)
class TwoHubs:
    """The app with two hubs, named after their folders. West is the app's own."""

    app: App
    east_hub: HubEmulator

    @property
    def east(self) -> str:
        return self.east_hub.address

    @property
    def west(self) -> str:
        return self.app.hub.address

    @property
    def names(self) -> list[str]:
        return sorted((self.east, self.west))

    def complete_east(self, name: str) -> None:
        """Run an import in hub east to state `completed`."""
        self.app.upload(name, device("pump-1"))
        self.app.deliver(name)
        self.east_hub.wait_idle()
        self.app.finish(self.east)


def text_of(html: str) -> str:
    """The text of a page, or of a part of it."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def share_job(app: App, *names: str) -> list[ImportRecord]:
    """Run one job with the imports of several files, until it is cancelled.

    Each contains one device, which has the name of the file.
    """
    app.hub.occupy_slot()
    app.upload("before.ndjson", device("before"))
    app.deliver("before.ndjson")
    for name in names:
        app.upload(name, device(name))
        app.deliver(name)
    app.hub.free_slot()
    app.tick()
    app.hub.wait_idle()
    app.hub.faults.add("hangJob")
    app.tick()
    return [app.record(name) for name in names]


def complete(app: App, name: str = "good.ndjson", *lines: object) -> None:
    """Run an import to state `completed`."""
    app.upload(name, *(lines or (device("pump-1"),)))
    app.deliver(name)
    app.finish()


def partly(app: App, name: str = "partly.ndjson", *lines: object) -> None:
    """Run an import to state `completedWithErrors`: the device `exists` is in the hub already."""
    app.hub.registry.put(device("exists"))
    app.upload(name, *(lines or (device("new"), device("exists", importMode="create"))))
    app.deliver(name)
    app.finish()


def reject(app: App, name: str = "broken.ndjson") -> None:
    """Run an import to state `rejected`, with problems.csv."""
    app.upload(name, device("pump 1"), device("pump-2"))
    app.deliver(name)


def cancel_at_the_hub(app: App, name: str = "stopped.ndjson") -> ImportRecord:
    """Run an import of three devices whose job is cancelled, with unknown counts."""
    app.hub.faults.add("hangJob")
    app.upload(name, *(device(f"pump-{number}") for number in range(3)))
    app.deliver(name)
    app.importer.actions.cancel(app.record(name))
    app.tick()
    app.finish()
    return app.record(name)
