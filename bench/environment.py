"""The environment of a benchmark: an importer, with storage and hub in other processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest import mock
from urllib.parse import urlsplit

from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient

from shared.connections import HubConnection, HubRoutes
from shared.imports.app import Importer, utc_now
from shared.settings import load_settings
from shared.transport import pooled_transport

__all__ = ["Cost", "HubProcess", "Scene", "Traffic"]

Result = TypeVar("Result")

_PROJECT = Path(__file__).parents[1]

# It outlives a parent that is killed; with this it ends when its stdin, our pipe, closes.
_HUB = """
import os, signal, sys, threading
from iothub_emulator.cli import main

def end_with_parent():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_parent, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


class HubProcess:
    """A hub emulator that shares neither our interpreter nor its lock."""

    def __init__(self, storage: str, job_seconds: float = 0, options: Sequence[str] = ()) -> None:
        needed = ["--port", "0", "--job-seconds", str(job_seconds), "--storage", storage]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HUB, *needed, *options],
            cwd=_PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        said = [self._process.stdout.readline().strip() for _ in range(2)]
        self._address = said[0].split()[-1]
        self.connection_string = said[1].split()[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.communicate()

    @property
    def peak_bytes(self) -> int:
        """The most memory that the process has had (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        [kib] = re.findall(r"VmHWM:\s+(\d+) kB", status)
        return int(kib) * 1024

    def hang_next_job(self) -> None:
        self._post("faults", {"kind": "hangJob"})

    def occupy_slot(self) -> None:
        """Somebody else starts a job that does not end."""
        self._post("slot", {"occupied": True})

    def _post(self, what: str, body: Mapping[str, object]) -> None:
        url = f"{self._address}/emulator/{what}"
        with urllib.request.urlopen(url, json.dumps(body).encode()):
            pass


class Traffic:
    """Counts an importer's requests and makes each one late."""

    def __init__(self, latency: float = 0) -> None:
        #: Seconds that each request waits before it leaves.
        self.latency = latency
        #: `METHOD path` of each.
        self.requests: list[str] = []
        self._transports: list[RequestsTransport] = []

    def transport(self) -> RequestsTransport:
        self._transports.append(_ObservedTransport(self))
        return self._transports[-1]

    @property
    def connections(self) -> int:
        """How many were opened so far."""
        managers: list[Any] = [
            transport.session.get_adapter("http://").poolmanager
            for transport in self._transports
            if transport.session
        ]
        return sum(
            manager.pools[key].num_connections
            for manager in managers
            for key in manager.pools.keys()  # noqa: SIM118 it cannot be iterated over
        )


class _ObservedTransport(RequestsTransport):  # type: ignore[misc]
    def __init__(self, traffic: Traffic) -> None:
        super().__init__(session=pooled_transport().session)
        self._traffic = traffic

    def send(self, request: Any, **kwargs: Any) -> Any:
        self._traffic.requests.append(f"{request.method} {urlsplit(request.url).path}")
        if self._traffic.latency:
            time.sleep(self._traffic.latency)
        return super().send(request, **kwargs)


@dataclass(frozen=True)
class Cost:
    """What something took of its process."""

    requests: int
    connections: int
    seconds: float
    #: Of the processor.
    cpu_seconds: float

    @classmethod
    def median(cls, costs: list[Self]) -> Self:
        return cls(
            max(cost.requests for cost in costs),
            max(cost.connections for cost in costs),
            statistics.median(cost.seconds for cost in costs),
            statistics.median(cost.cpu_seconds for cost in costs),
        )


@dataclass(frozen=True)
class _Alias(HubConnection):
    """One hub of many, behind all of which is the same emulator."""

    alias: str = ""

    @property
    def name(self) -> str:
        return self.alias


class Scene:
    """An importer with an upload container and a table of its own."""

    def __init__(
        self,
        storage: str,
        hub: str,
        latency: float = 0,
        aliases: Sequence[str] = (),
        **settings: str,
    ) -> None:
        """Set the scene.

        Args:
            hub: the connection string of the hub.
            aliases: names of as many hubs, for all of which that one stands.
        """
        self.traffic = Traffic(latency)
        self.container = f"uploads-{uuid.uuid4().hex[:12]}"
        #: The app's settings.
        self.environment = {
            "ImporterStorage": storage,
            "IOTHUB": hub,
            "UPLOAD_CONTAINER": self.container,
            "IMPORTS_TABLE": f"Imports{uuid.uuid4().hex[:12]}",
            # A tick advances each hub once, and no call waits.
            "TICK_SECONDS": "0",
            "BACKOFF_SECONDS": "0",
            **settings,
        }
        with mock.patch.dict(os.environ, self.environment):
            self.settings = load_settings()
        if aliases:
            connection = vars(HubConnection.parse(hub))
            routes = HubRoutes({name: _Alias(**connection, alias=name) for name in aliases})
            self.settings = replace(
                self.settings, hub=self.settings.hub.model_copy(update={"routes": routes})
            )
        self._resources = contextlib.ExitStack()
        #: Not counted.
        self.blobs = self._resources.enter_context(
            BlobServiceClient.from_connection_string(storage)
        )
        self.blobs.create_container(self.container)
        self.importer = Importer(self.settings, utc_now, self.traffic.transport)
        self._resources.callback(self.importer.close)
        self.hub, *_ = self.importer.services.hubs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()

    def upload(self, name: str, data: bytes) -> None:
        self.blobs.get_blob_client(self.container, name).upload_blob(data)

    def cost(self, action: Callable[[], object], times: int = 1) -> Cost:
        """The median of so many times."""
        return Cost.median([self.measured(action)[1] for _ in range(times)])

    def measured(self, action: Callable[[], Result]) -> tuple[Result, Cost]:
        """What the action gives, and what it takes."""
        requests, connections = len(self.traffic.requests), self.traffic.connections
        cpu, start = time.process_time(), time.perf_counter()
        result = action()
        return result, Cost(
            seconds=time.perf_counter() - start,
            cpu_seconds=time.process_time() - cpu,
            requests=len(self.traffic.requests) - requests,
            connections=self.traffic.connections - connections,
        )
