"""A storage account, a hub, and processes of the app that come and go."""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from local.hub import HubEmulator
from local.hub.choices import ASSUMED
from shared.errors import ImporterError
from shared.imports.importer import Importer
from shared.imports.ledger import Ledger
from shared.imports.record import ImportRecord
from shared.settings import Settings
from tests.app import NO_ECHO, Clock
from tests.faults.injection import Fault, Injector, Killed, Transport

log = logging.getLogger(__name__)

#: What the files of the scenarios hold, and nothing else may tell.
KEYS = {"primaryKey": "bWFkZS11cC1mYXVsdC1rZXkx", "secondaryKey": "bWFkZS11cC1mYXVsdC1rZXky"}


@dataclass(frozen=True)
class Account:
    """A storage account, shared by worlds one after another."""

    connection_string: str
    blobs: BlobServiceClient
    tables: TableServiceClient


class World:
    """One run of a scenario. The importer under test is replaced when its process is killed."""

    def __init__(
        self,
        account: Account,
        fault: Fault | None = None,
        position: int = 0,
        *,
        echo_uris: bool = True,
    ) -> None:
        self._account = account
        self.injector = Injector(fault, position, self._overtake)
        self.clock = Clock()
        self.hub = HubEmulator(choices=ASSUMED if echo_uris else NO_ECHO)
        self._name = uuid.uuid4().hex[:12]
        self._container = account.blobs.get_container_client(f"uploads-{self._name}")
        self._table = f"Faults{self._name}"
        self._rows = account.tables.get_table_client(self._table)
        self._resources = contextlib.ExitStack()
        self._importer: Importer | None = None
        #: Names of blobs, in the order of their last upload.
        self.uploaded: list[str] = []
        #: Whether the hub's job runs until it is cancelled.
        self.job_hangs = False
        self._container.create_container()
        self._resources.callback(self._container.delete_container)

    def __enter__(self) -> Self:
        """Start the hub; files may be uploaded before."""
        self._resources.enter_context(self.hub)
        self._resources.callback(self._account.tables.delete_table, self._table)
        self._resources.callback(self._delete_import_containers)
        values = {
            "ImporterStorage": self._account.connection_string,
            "IOTHUB": self.hub.connection_string("registryReadWrite"),
            "UPLOAD_CONTAINER": self._container.container_name,
            "IMPORTS_TABLE": self._table,
            "TICK_SECONDS": "0",
            "BACKOFF_SECONDS": "0",
            "LEASE_SECONDS": "60",
            "MAX_ATTEMPTS": "4",
        }
        self.settings = Settings(**values)  # type: ignore[arg-type]
        return self

    def __exit__(self, *_: object) -> None:
        self._end_process()
        self._resources.close()

    def upload(self, name: str, *lines: dict[str, object]) -> None:
        self._container.upload_blob(name, _ndjson(lines), overwrite=True)
        self.uploaded = [other for other in self.uploaded if other != name] + [name]

    def deliver(self, name: str) -> None:
        """An event reaches the process under test, which may fail or be killed over it."""
        self.invoke(lambda importer: importer.on_upload(self._container.container_name, name))

    def tick(self) -> None:
        self.invoke(Importer.on_tick)

    def sweep(self) -> None:
        self.invoke(Importer.on_sweep)

    def invoke(self, call: Callable[[Importer], object]) -> None:
        """One invocation; what it raises is the platform's to log, and a killed process is gone."""
        if self._importer is None:
            self._importer = self._process(self.injector)
        try:
            call(self._importer)
        except Killed:
            self._end_process()
        except (ImporterError, AzureError) as error:
            # Trouble of storage or hub; the workflow has no other.
            log.info("%s", error)
        self.injector.invocation_ends()

    def without_fault(self, call: Callable[[Importer], object]) -> None:
        """Something that a process did at another time."""
        with self._another_process() as importer:
            call(importer)

    def wait(self) -> None:
        """Let the hub end its job."""
        if not self.job_hangs:
            self.hub.wait_idle()

    def settle(self) -> None:
        """Announce all uploads again, and let the timers tick until nothing is open."""
        for _ in range(8):
            for name in self.uploaded:
                self.deliver(name)
            for _ in range(2):
                self.tick()
                if self._is_quiet():
                    return
                self.wait()
            self.sweep()
            self.clock.ahead += timedelta(minutes=2)
        raise AssertionError(f"still open: {[record.state for record in self.records()]}")

    def records(self) -> list[ImportRecord]:
        """All imports, the newest upload first."""
        ledger = Ledger(self._rows, self.clock)
        return [record for hub in self.settings.hubs for record in ledger.imports(hub)]

    def rows(self) -> list[dict[str, Any]]:
        """The table as it is."""
        return sorted(
            (dict(row) for row in self._rows.list_entities()), key=lambda row: row["RowKey"]
        )

    def report(self, record: ImportRecord) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.read(record.report))
        return report

    def read(self, path: str) -> bytes:
        container, _, name = path.partition("/")
        data: bytes = self._account.blobs.get_blob_client(container, name).download_blob().readall()
        return data

    def jobs_of(self, record: ImportRecord) -> list[dict[str, Any]]:
        """The jobs that were given any of the import's containers."""
        return [
            job
            for job in self.hub.jobs
            if f"/import-{record.id}" in job.get("inputBlobContainerUri", "")
        ]

    def _is_quiet(self) -> bool:
        records = self.records()
        return len(records) >= len(self.uploaded) and all(one.state.is_final for one in records)

    def _overtake(self) -> None:
        """Another process does all that there is to do, after this one's lease."""
        self.clock.ahead += timedelta(minutes=2)
        with self._another_process() as importer:
            for name in self.uploaded:
                importer.on_upload(self._container.container_name, name)
            for _ in range(2):
                importer.on_tick()
                self.wait()
            importer.on_sweep()

    @contextlib.contextmanager
    def _another_process(self) -> Iterator[Importer]:
        importer = self._process(None)
        yield importer
        importer.close()

    def _process(self, injector: Injector | None) -> Importer:
        return Importer(self.settings, self.clock, lambda: Transport(injector))

    def _end_process(self) -> None:
        if self._importer is not None:
            self._importer.close()
            self._importer = None

    def _delete_import_containers(self) -> None:
        blobs = self._account.blobs
        for container in blobs.list_containers("import-", include_metadata=True):
            if container.metadata.get("table") == self._table:
                with contextlib.suppress(ResourceNotFoundError):
                    blobs.delete_container(container.name)


def _ndjson(lines: tuple[dict[str, object], ...]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def device(device_id: str, **members: object) -> dict[str, object]:
    authentication = {"type": "sas", "symmetricKey": KEYS}
    return {"id": device_id, "status": "enabled", "authentication": authentication, **members}
