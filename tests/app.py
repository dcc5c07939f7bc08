"""Drive the app through its triggers like the platform, and inspect its stored state."""

from __future__ import annotations

import contextlib
import importlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableClient
from azure.storage.blob import BlobServiceClient, ContainerClient

import function_app
from iothub_emulator import HubEmulator
from iothub_emulator.choices import Choices
from local.host import FunctionsHost
from shared.device_files.validation import Validation
from shared.hub.jobs import ImportJobRequest
from shared.imports.app import Importer, utc_now
from shared.imports.model.record import ImportRecord
from shared.imports.workflow import intake
from shared.imports.workflow.intake import configured_validation
from shared.settings import load_settings
from tests.records import read_records

ROOT = Path(__file__).parent.parent

#: For a hub that does not return the container URIs of jobs.
NO_ECHO = Choices(uri_echo="none")


class App:
    """The app with its own upload container and table, and a controllable host."""

    def __init__(self, storage: str, hub: HubEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.clock = Clock()
        self.requests: list[str] = []
        #: Called with `METHOD path` before each request, and before its response is processed.
        self.before_request: Callable[[str], None] = lambda _: None
        self.after_request: Callable[[str], None] = lambda _: None
        #: Called with each request and each response; may change them.
        self.alter_request: Callable[[Any], None] = lambda _: None
        self.alter_response: Callable[[Any], None] = lambda _: None
        self._importer: Importer | None = None
        self._resources = contextlib.ExitStack()
        monkeypatch.setattr(function_app, "importer", lambda: self.importer)
        self.hub = hub
        self.container = f"uploads-{uuid.uuid4().hex[:12]}"
        self.settings = {
            "AzureWebJobsStorage": storage,
            "ImporterStorage": storage,
            "IOTHUB": hub.connection_string("registryReadWrite"),
            "UPLOAD_CONTAINER": self.container,
            "POLL_SCHEDULE": "*/30 * * * * *",
            "SWEEP_SCHEDULE": "0 */5 * * * *",
            "IMPORTS_TABLE": f"Imports{uuid.uuid4().hex[:12]}",
            # A tick advances each hub once, and no call waits.
            "TICK_SECONDS": "0",
            "BACKOFF_SECONDS": "0",
        }
        self.use_storage(storage)
        self.configure()
        self.host = FunctionsHost(
            function_app.app, self.settings, ROOT / "host.json", host_id=self.container
        )

    def use_storage(self, connection_string: str) -> None:
        """Upload to another account."""
        self._resources.close()
        self.blobs = self._resources.enter_context(
            BlobServiceClient.from_connection_string(connection_string)
        )
        self.blobs.create_container(self.container)

    def configure(self, without: Iterable[str] = (), **changes: str) -> None:
        """Change settings like a deployment: the next call creates a new importer."""
        self.settings |= changes
        for name in without:
            self.settings.pop(name)
            self._monkeypatch.delenv(name)
        for name, value in self.settings.items():
            self._monkeypatch.setenv(name, value)
        self._close_importer()

    def route(self, **hubs: HubEmulator) -> None:
        """Configure hubs by folder; a hub's name is its address."""
        routes = {folder: hub.connection_string() for folder, hub in hubs.items()}
        self.configure(IOTHUB=json.dumps(routes))

    @property
    def table(self) -> TableClient:
        return self.importer.services.storage.table(self.settings["IMPORTS_TABLE"])

    @property
    def importer(self) -> Importer:
        if self._importer is None:
            self._importer = Importer(
                load_settings(),
                self.clock,
                self._transport,
            )
        return self._importer

    def upload(self, name: str, *lines: object, metadata: dict[str, str] | None = None) -> None:
        """Upload a device file; lines are objects, or raw bytes."""
        self.blobs.get_blob_client(self.container, name).upload_blob(
            _ndjson(lines), overwrite=True, metadata=metadata
        )

    def deliver_unvalidated(self, name: str, *lines: object) -> None:
        """Deliver an upload, and send these unvalidated lines to the hub instead of its own."""

        def replace_validation(*arguments: Any) -> Validation:
            validation = configured_validation(*arguments)
            run = validation.run

            def replace_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
                for _ in run(chunks):
                    pass
                assert validation.report.valid == len(lines)
                yield _ndjson(lines) + b"\n"

            self._monkeypatch.setattr(validation, "run", replace_lines)
            return validation

        with self._monkeypatch.context() as patch:
            patch.setattr(intake, "configured_validation", replace_validation)
            self.deliver(name)

    def deliver(self, name: str) -> None:
        """Deliver one event of a blob to the app."""
        self.host.invoke_blob(self.container, name)

    def tick(self) -> None:
        """Run the tick timer once."""
        self.host.tick("advance_hubs")

    def sweep(self) -> None:
        """Run the sweep timer once."""
        self.host.tick("sweep")

    def finish(self, hub: str | None = None) -> None:
        """Complete the hub's jobs, and tick until no import of it (or of `hub`) is open."""
        for _ in range(20):
            self.hub.wait_idle()
            self.tick()
            if all(record.state.is_final for record in self.records(hub)):
                return
        raise AssertionError(f"still open: {[record.state for record in self.records(hub)]}")

    def pass_minutes(self, minutes: float) -> None:
        """Advance the clocks of app and hub."""
        self.clock.ahead += timedelta(minutes=minutes)
        self.hub.clock.advance(60 * minutes)

    @contextlib.contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Collect the requests that the app sends within the block.

        What it repeats each minute it does not repeat there, however slow the machine is.
        """
        sent: list[str] = []
        before = len(self.requests)
        with self._monkeypatch.context() as patch:
            patch.setattr("shared.imports.app.NOTE_INTERVAL", timedelta(days=1))
            patch.setattr("shared.imports.store.claims.CACHE_SECONDS", 86_400)
            yield sent
        sent += self.requests[before:]

    @contextlib.contextmanager
    def scanning_host(self) -> Iterator[FunctionsHost]:
        """A host of the app with the blob source of the local stack."""
        self._monkeypatch.setenv("UPLOAD_TRIGGER_SOURCE", "LogsAndContainerScan")
        reloaded = importlib.reload(function_app)
        self._monkeypatch.setattr(function_app, "importer", lambda: self.importer)
        host = FunctionsHost(
            reloaded.app, self.settings, ROOT / "host.json", host_id=self.container
        )
        try:
            yield host
        finally:
            host.stop()
            self._monkeypatch.delenv("UPLOAD_TRIGGER_SOURCE")
            importlib.reload(function_app)

    def records(self, hub: str | None = None) -> list[ImportRecord]:
        """The imports of a hub, newest first."""
        hubs = self.importer.services.hubs
        hub = hub or (self.hub.address if self.hub.address in hubs else next(iter(hubs)))
        return read_records(self.importer.services, hub)

    def record(self, name: str) -> ImportRecord:
        [record] = [record for record in self.records() if record.file == name]
        return record

    def container_of(self, record: ImportRecord) -> ContainerClient:
        return self.blobs.get_container_client(record.staged.container)

    def report(self, record: ImportRecord) -> dict[str, Any]:
        container, _, name = record.report.partition("/")
        data = self.blobs.get_blob_client(container, name).download_blob().readall()
        report: dict[str, Any] = json.loads(data)
        return report

    def problems_csv(self, record: ImportRecord) -> str:
        container, _, name = record.problems.partition("/")
        return self.blobs.get_blob_client(container, name).download_blob().readall().decode()

    def start_foreign_import(self, *lines: object) -> None:
        """Start a foreign import job at the hub, with a separate container."""
        services = self.importer.services
        name = f"foreign-{uuid.uuid4().hex[:12]}"
        container = self.blobs.create_container(name)
        container.upload_blob("devices.txt", b"\n".join(json.dumps(x).encode() for x in lines))
        uri = services.storage.container_uri_with_sas(name, timedelta(hours=1), self.clock())
        request = ImportJobRequest(input_blob_container_uri=uri, output_blob_container_uri=uri)
        next(iter(services.hubs.values())).create_job(request)

    def close(self) -> None:
        self._close_importer()
        self.host.stop()
        self._resources.close()

    def _transport(self) -> ObservedTransport:
        # With an identity, https is used, and the environment configures trust. Otherwise trust is
        # skipped, as requests reads the environment at each request.
        return _AlteredTransport(
            self,
            self._before,
            lambda line: self.after_request(line),
            use_env_settings="ImporterStorage" not in self.settings,
        )

    def _before(self, request: str) -> None:
        self.requests.append(request)
        self.before_request(request)

    def _close_importer(self) -> None:
        if self._importer is not None:
            self._importer.close()
            self._importer = None


class Clock:
    """A clock that can be set ahead, and does not go back when that of the machine is set."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._begin = utc_now()
        self._begin_seconds = time.monotonic()

    def __call__(self) -> datetime:
        elapsed = timedelta(seconds=time.monotonic() - self._begin_seconds)
        return self._begin + elapsed + self.ahead

    def ahead_minutes(self, minutes: float) -> None:
        self.ahead = timedelta(minutes=minutes)

    def ahead_hours(self, hours: float) -> None:
        self.ahead = timedelta(hours=hours)


class ObservedTransport(RequestsTransport):  # type: ignore[misc]
    """Call hooks before each request is sent, and before its response is processed."""

    def __init__(
        self,
        before: Callable[[str], None],
        after: Callable[[str], None],
        *,
        use_env_settings: bool = True,
    ) -> None:
        super().__init__(use_env_settings=use_env_settings)
        self._before, self._after = before, after

    def send(self, request: Any, **kwargs: Any) -> Any:
        line = f"{request.method} {urlsplit(request.url).path}"
        self._before(line)
        response = super().send(request, **kwargs)
        try:
            self._after(line)
        except BaseException:
            response.internal_response.close()
            raise
        return response


class _AlteredTransport(ObservedTransport):
    """Let a test change requests and responses."""

    def __init__(self, app: App, *hooks: Callable[[str], None], **options: Any) -> None:
        super().__init__(*hooks, **options)
        self._app = app

    def send(self, request: Any, **kwargs: Any) -> Any:
        self._app.alter_request(request)
        response = super().send(request, **kwargs)
        self._app.alter_response(response)
        return response


def _ndjson(lines: Iterable[object]) -> bytes:
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


def device(device_id: str, **members: object) -> dict[str, object]:
    return {"id": device_id, "status": "enabled", **members}


def fail_writes(request: str) -> None:
    """For `App.before_request`: fail each write of a validated copy of a file."""
    if request.endswith("/devices.txt"):
        raise RuntimeError("the disk is on fire")
