"""Simulates the environment of the app: events, timers, time, hubs and process restarts."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ResourceNotFoundError

from iothub_emulator import HubEmulator
from iothub_emulator.choices import Choices, UriEcho
from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.jobs.history import Job
from iothub_emulator.jobs.request import JobRequest
from shared.errors import ImporterError
from shared.imports.app import Importer
from shared.settings import Settings, load_settings
from tests.app import Clock
from tests.faults.injection import Injection, Injector, Killed, Transport
from tests.faults.safeguards import watch_jobs
from tests.faults.stored_state import StorageAccount, StoredState

log = logging.getLogger(__name__)

#: Keys in the files of the scenarios; must not appear elsewhere.
KEYS = {"primaryKey": "bWFkZS11cC1mYXVsdC1rZXkx", "secondaryKey": "bWFkZS11cC1mYXVsdC1rZXky"}

#: Delivery attempts of the host before an event is moved to the poison queue.
DELIVERIES = 5


@dataclass
class Conditions:
    """Behaviour of platform and clocks, and settings of the app."""

    echo: UriEcho = "output"
    #: Settings of the app other than those of every simulation.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Each event is delivered twice at the same time.
    events_come_twice: bool = False
    #: Without repeated events, the timers must find the uploads.
    events_are_repeated: bool = True
    #: How far the clocks are ahead of the storage clock.
    app_ahead: timedelta = timedelta()
    hub_ahead: timedelta = timedelta()
    #: Of a second process.
    other_ahead: timedelta = timedelta()


class Simulation(StoredState):
    """One run of a scenario. The importer under test is replaced when its process is killed."""

    def __init__(
        self,
        account: StorageAccount,
        injections: Sequence[Injection] = (),
        conditions: Conditions | None = None,
    ) -> None:
        self.conditions = conditions or Conditions()
        super().__init__(account, Choices(uri_echo=self.conditions.echo))
        self.are_records_pruned = "RECORD_RETENTION_DAYS" in self.conditions.settings
        #: Whether events are written; they stay in the outbox (see `conftest.py`).
        self.keeps_events = "EVENTS_URL" in self.conditions.settings
        #: Jobs that the hub got although an approval or a backup was missing.
        self.unguarded_jobs: list[str] = []
        #: What somebody decides in the end about an import that is held.
        self.decide: Callable[[Importer], object] | None = None
        self.injector = Injector(injections, self.overtake)
        self.clock = Clock()
        self.clock.ahead = self.conditions.app_ahead
        self._resources = contextlib.ExitStack()
        self._importer: Importer | None = None
        self._is_west_started = False
        #: Names of blobs, in the order of their last upload.
        self.uploaded: list[str] = []
        #: Name and ETag of each uploaded version.
        self.versions_seen: list[tuple[str, str]] = []
        #: Whether the hub's job runs until it is cancelled.
        self.job_hangs = False
        #: Events so far, shown with a failure.
        self.notes: list[str] = []
        #: Whether a disturbance failed, which is a bug in the tests.
        self.has_test_error = False
        #: Called after the faults, when the timers have run that many times; until then imports
        #: may stay open.
        self.recoveries: list[tuple[int, Callable[[], None]]] = []
        #: Called after each invocation.
        self.after_invocation: Callable[[], None] = lambda: None
        self.container.create_container()

    def __enter__(self) -> Self:
        """Start the hub; files may be uploaded before."""
        for hub in (self.hub, self.west):
            hub.clock.ahead = self.conditions.hub_ahead
        watch_jobs(self)
        self._resources.enter_context(self.hub)
        # The sweeper of another simulation would find them.
        self._resources.callback(self._delete_import_containers)
        self.settings = self.with_hubs(self.hub.connection_string("registryReadWrite"))
        return self

    def __exit__(self, *_: object) -> None:
        self._end_process()
        self._resources.close()

    def with_hubs(self, iothub: str) -> Settings:
        """Settings with other hubs."""
        values = {
            "ImporterStorage": self._account.connection_string,
            "IOTHUB": iothub,
            "UPLOAD_CONTAINER": self.container.container_name,
            "UPLOAD_ARCHIVE_CONTAINER": f"archive-{self._name}",
            "IMPORTS_TABLE": self.table.table_name,
            "TICK_SECONDS": "0",
            "BACKOFF_SECONDS": "0",
            "LEASE_SECONDS": "90",
            "MAX_ATTEMPTS": "4",
            **self.conditions.settings,
        }
        return load_settings(values)

    def start_west(self) -> HubEmulator:
        """The second hub, started on first use."""
        if not self._is_west_started:
            self._resources.enter_context(self.west)
            self._is_west_started = True
        return self.west

    def deploy(self, settings: Settings) -> None:
        """Use a process with other settings from the next invocation on."""
        self.settings = settings
        routes = settings.hub.routes
        self.notes.append(f"deployed {routes.folders or list(routes.by_name)}")

    def ids_of(self, name: str) -> list[str]:
        """The ids of the imports of all uploads of this name, also where their rows were edited."""
        return [self.id_of(file, etag) for file, etag in self.versions_seen if file == name]

    def upload(self, name: str, *lines: dict[str, Any]) -> None:
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        etag = self.container.get_blob_client(name).upload_blob(data, overwrite=True)["etag"]
        self.versions_seen.append((name, etag.strip('"')))
        self.contents[self.id_of(name, etag.strip('"'))] = list(lines)
        self.uploaded = [other for other in self.uploaded if other != name] + [name]

    def refuse_jobs_with(self, device_id: str) -> None:
        """Let the hub refuse for good each job whose file has a line of that device."""
        create = self.hub.jobs.create

        def create_or_refuse(request: JobRequest) -> Job:
            path = urlsplit(request.input_uri).path
            container = self.blobs.get_container_client(path.rpartition("/")[2])
            with contextlib.suppress(ResourceNotFoundError):
                data = container.download_blob(request.input_blob_name).readall()
                if f'"{device_id}"'.encode() in data:
                    raise HubError(ErrorCode.GenericBadRequest, "The hub refuses this job.")
            return create(request)

        self.hub.jobs.create = create_or_refuse  # type: ignore[method-assign]

    # Actions of the platform.

    def deliver(self, name: str) -> None:
        """Deliver an event to the process under test like the host."""

        def deliver(importer: Importer) -> None:
            importer.on_upload(self.container.container_name, name)

        for _ in range(DELIVERIES):
            if self._call(
                self._concurrently(deliver) if self.conditions.events_come_twice else deliver
            ):
                break
        else:
            self.notes.append(f"the event of {name} went to the poison queue")
        self._invocation_ends()

    def tick(self) -> None:
        self.invoke(Importer.on_tick)

    def sweep(self) -> None:
        self.invoke(Importer.on_sweep)

    def invoke(self, call: Callable[[Importer], object]) -> bool:
        """Run one invocation; return whether it completed."""
        is_done = self._call(call)
        self._invocation_ends()
        return is_done

    def _invocation_ends(self) -> None:
        self.injector.invocation_ends()
        self.after_invocation()

    def _call(self, call: Callable[[Importer], object]) -> bool:
        """The platform logs its exceptions; a killed process does not continue."""
        if self._importer is None or self._importer.services.settings is not self.settings:
            self._end_process()
            self._importer = self._process(self.injector)
        try:
            return self._try(functools.partial(call, self._importer))
        except Killed:
            self._end_process()
            # Its message is delivered again later.
            return True

    def _try(self, call: Callable[[], object]) -> bool:
        """Return whether a call completes."""
        try:
            call()
        except (ImporterError, AzureError) as error:
            # Errors of storage or hub; the workflow raises no others.
            log.info("%s", error)
            return False
        except Exception:
            # An edited row may cause any exception.
            if not self.edited:
                raise
            return False
        return True

    @staticmethod
    def _concurrently(call: Callable[[Importer], object]) -> Callable[[Importer], None]:
        """Run the call twice concurrently."""

        def call_twice(importer: Importer) -> None:
            errors: list[BaseException] = []

            def call_once() -> None:
                try:
                    call(importer)
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=call_once) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            # A termination takes precedence over other exceptions.
            for error in sorted(errors, key=lambda error: isinstance(error, Exception)):
                raise error

        return call_twice

    def without_fault(self, call: Callable[[Importer], object]) -> None:
        """Run an action at another time."""
        with self._another_process() as importer:
            self._try(functools.partial(call, importer))
        self.note_imports()

    def overtake(
        self,
        settings: Settings | None = None,
        *,
        first: Callable[[Importer], object] | None = None,
        last: Callable[[Importer], object] | None = None,
    ) -> None:
        """Another process does all pending work, after this one's lease has expired.

        Args:
            first: what it does before that.
            last: what it does after that.
        """
        self.pass_time(timedelta(minutes=2))
        self.note_imports()
        with self._another_process(settings) as importer:
            if first is not None:
                self._try(functools.partial(first, importer))
            for name in self.uploaded:
                self._try(
                    functools.partial(importer.on_upload, self.container.container_name, name)
                )
            for call in (importer.on_tick, self.wait, importer.on_tick, importer.on_sweep):
                self._try(call)
            if last is not None:
                self._try(functools.partial(last, importer))

    # Time and completion.

    def pass_time(self, time: timedelta) -> None:
        self.jobs()
        self.clock.ahead += time
        for hub in (self.hub, self.west):
            hub.clock.ahead += time

    def wait(self) -> None:
        """Complete the jobs of all hubs."""
        if not self.job_hangs:
            self.hub.wait_idle()
        self.west.wait_idle()

    def settle(self) -> None:
        """Deliver events and run timers until no import is open; the hub has no more faults."""
        self.hub.faults.clear()
        for turn in range(20):
            if self.conditions.events_are_repeated or not turn:
                for name in self.uploaded:
                    self.deliver(name)
            for _ in range(2):
                self.tick()
                if not self.recoveries and self.is_settled():
                    return
                self.wait()
            self.sweep()
            self.pass_time(timedelta(minutes=2))
            if self.decide is not None:
                self.without_fault(self.decide)
            for recovery in [item for item in self.recoveries if item[0] <= turn]:
                self.recoveries.remove(recovery)
                recovery[1]()
        raise AssertionError(f"still open: {[(r.file, r.state) for r in self.records()]}")

    # Processes.

    @contextlib.contextmanager
    def _another_process(self, settings: Settings | None = None) -> Iterator[Importer]:
        importer = self._process(None, settings)
        try:
            yield importer
        finally:
            importer.close()

    def _process(self, injector: Injector | None, settings: Settings | None = None) -> Importer:
        ahead = timedelta() if injector else self.conditions.other_ahead
        return Importer(
            settings or self.settings, lambda: self.clock() + ahead, lambda: Transport(injector)
        )

    def _end_process(self) -> None:
        if self._importer is not None:
            self._importer.close()
            self._importer = None
        self.injector.is_killed = False

    def _delete_import_containers(self) -> None:
        for prefix in ("import-", "backup-"):
            for container in self.blobs.list_containers(prefix, include_metadata=True):
                if container.metadata.get("table") == self.table.table_name:
                    with contextlib.suppress(ResourceNotFoundError):
                        self.blobs.delete_container(container.name)


def device(device_id: str, **members: object) -> dict[str, Any]:
    authentication = {"type": "sas", "symmetricKey": KEYS}
    return {"id": device_id, "status": "enabled", "authentication": authentication, **members}
