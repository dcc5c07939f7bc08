"""State machine of the app; each step is an event, a timer, a fault or a process termination.

The hub's jobs end immediately, or hang until cancelled, so that no step depends on the speed of
the computer. The clocks of hub and app change together; that of storage does not.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import pytest
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.data.tables import TableClient, TableServiceClient
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from iothub_emulator import HubEmulator
from iothub_emulator.choices import DEFAULT_CHOICES
from iothub_emulator.clock import Clock
from iothub_emulator.jobs.request import JobRequest
from shared.errors import ImporterError
from shared.hub.jobs import ImportJobRequest
from shared.imports.model.job import JobState
from shared.imports.model.keys import uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from tests.app import NO_ECHO, App
from tests.races.invariants import (
    FOREIGN,
    at_most_one_job_uses_the_hub,
    export_jobs,
    finished_imports_are_counted_once,
    histories_follow_the_transitions,
    import_jobs,
    jobs_ran_once,
    lines_of_job,
    members_agree,
    queue_rows_match_open_imports,
    read_table,
)

__all__ = ["ImporterMachine"]

FILES = ("a.ndjson", "b.ndjson", "c.ndjson", "d.ndjson")
DEVICES = ("pump-1", "pump-2", "pump-3", "pump-4")
KEYS = {
    "type": "sas",
    "symmetricKey": {
        "primaryKey": "bWFkZS11cC1mYXVsdC1rZXkx",
        "secondaryKey": "bWFkZS11cC1mYXVsdC1rZXky",
    },
}
ACTIVE = ("enqueued", "running")
#: Less than IMPORT_RETENTION_DAYS.
MAX_CLOCK_OFFSET = timedelta(days=25)
CALLS = ("createJob", "getJob", "listJobs", "cancelJob")

names = st.sampled_from(FILES)
devices = st.sets(st.sampled_from(DEVICES), min_size=1, max_size=2)


class AppTime(Clock):
    """The time of the hub: that of the app."""

    app: App

    def now(self) -> datetime:
        return self.app.clock()


class Killed(BaseException):
    """Terminates the process; only its cleanup code still runs."""


class LogCapture(logging.Handler):
    """Collects unexpected exceptions that the app catches and logs."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__()
        self._violations = violations

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error and not isinstance(error, AzureError | ImporterError):
            self._violations.append(repr(error))


class ImporterMachine(RuleBasedStateMachine):
    """Drive the app through its triggers and check its stored state."""

    #: Connection string of the account; set by a subclass.
    storage: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._resources = contextlib.ExitStack()
        #: Rows at the time when their imports became final.
        self._final: dict[str, ImportRecord] = {}
        #: Known jobs, and those that run until cancelled.
        self._jobs: set[str] = set()
        self._hanging: set[str] = set()
        #: Violations inside the app, which would otherwise stay hidden.
        self._violations: list[str] = []
        self._uploads = 0

    @initialize(echo=st.booleans(), apply=st.sampled_from(["all", "changes"]))
    def begin(self, echo: bool, apply: str) -> None:
        enter = self._resources.enter_context
        patch = enter(pytest.MonkeyPatch.context())
        hub_clock = AppTime()
        self._echo = echo
        self.hub = enter(HubEmulator(choices=DEFAULT_CHOICES if echo else NO_ECHO, clock=hub_clock))
        self.app = App(self.storage, self.hub, patch)
        self.app.configure(APPLY=apply)
        hub_clock.app = self.app
        self._resources.callback(self.app.close)
        self.container = self.app.blobs.get_container_client(self.app.container)
        tables = enter(TableServiceClient.from_connection_string(self.storage))
        self.table: TableClient = tables.get_table_client(self.app.settings["IMPORTS_TABLE"])
        tables.create_table(self.app.settings["IMPORTS_TABLE"])
        self.app.before_request = self._watch
        handler = LogCapture(self._violations)
        logging.getLogger("shared").addHandler(handler)
        self._resources.callback(logging.getLogger("shared").removeHandler, handler)

    # Actions of operators.

    @rule(name=names, devices=devices)
    def upload(self, name: str, devices: set[str]) -> None:
        """A new file, or an overwrite of one."""
        self._uploads += 1
        # Some lines change nothing.
        lines = [
            {"id": id_, "status": "enabled", "authentication": KEYS, "tags": {"n": n}}
            for n, id_ in enumerate(sorted(devices), self._uploads % 2)
        ]
        self.app.upload(name, *lines)

    @rule(name=names)
    def delete(self, name: str) -> None:
        with contextlib.suppress(ResourceNotFoundError):
            self.container.delete_blob(name)

    @rule(data=st.data(), with_job=st.booleans())
    def cancel(self, data: st.DataObject, with_job: bool) -> None:
        """Cancel an import; with the job that is shown, also that with other files."""
        if records := [record for record in self._sorted() if not record.state.is_final]:
            record = data.draw(st.sampled_from(records), "cancelled")
            with self._calling():
                self.app.importer.actions.cancel(record, record.job_record if with_job else "")

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        ended = (ImportState.FAILED, ImportState.CANCELLED, ImportState.COMPLETED_WITH_ERRORS)
        if records := [record for record in self._sorted() if record.state in ended]:
            record = data.draw(st.sampled_from(records), "retried")
            with self._calling():
                self.app.importer.actions.retry(record)

    # Actions of the platform.

    @rule(name=names, times=st.integers(1, 3))
    def event(self, name: str, times: int) -> None:
        for _ in range(times):
            self._call(lambda: self.app.deliver(name))

    @rule(times=st.integers(1, 3))
    def tick(self, times: int) -> None:
        for _ in range(times):
            self._call(self.app.tick)

    @rule()
    def sweep(self) -> None:
        self._call(self.app.sweep)

    @precondition(lambda self: self.app.clock.ahead < MAX_CLOCK_OFFSET)
    @rule(jump=st.sampled_from([timedelta(seconds=20), timedelta(minutes=6), timedelta(hours=25)]))
    def time_passes(self, jump: timedelta) -> None:
        self.app.clock.ahead += jump

    @rule(requests=st.integers(1, 14), phase=st.sampled_from(["before", "after"]))
    def kill(self, requests: int, phase: str) -> None:
        """Terminate the process at one of the next requests: before it, or before its response."""
        remaining = [requests]

        def count(_: str) -> None:
            remaining[0] -= 1
            if remaining[0] <= 0:
                raise Killed

        def watch_and_count(request: str) -> None:
            self._watch(request)
            count(request)

        if phase == "before":
            self.app.before_request = watch_and_count
        else:
            self.app.after_request = count

    # Actions of the hub.

    @rule(
        kind=st.sampled_from(["throttle", "error", "refuse", "dropReply"]),
        operation=st.sampled_from(CALLS),
        times=st.integers(1, 2),
    )
    def call_fails(self, kind: str, operation: str, times: int) -> None:
        self.hub.faults.add(kind, operation=operation, times=times)

    @rule()
    def response_is_lost(self) -> None:
        self.hub.faults.add("dropReply", operation="createJob")

    @rule(kind=st.sampled_from(["failJob", "hangJob"]))
    def job_fails(self, kind: str) -> None:
        self.hub.faults.add(kind, operation="createJob")

    @rule()
    def foreign_import(self) -> None:
        """The job is ambiguous on a hub that returns no URIs."""
        if self._hang_rules() or any(job["status"] in ACTIVE for job in self.hub.jobs):
            return
        name = f"{FOREIGN}{uuid.uuid4().hex[:12]}"
        storage = self.app.importer.services.storage
        uri = storage.container_uri_with_sas(name, timedelta(days=30), self.app.clock())
        with self.app.blobs.create_container(name) as container:
            container.upload_blob("devices.txt", b'{"id": "theirs", "status": "enabled"}')
        body = ImportJobRequest(input_blob_container_uri=uri, output_blob_container_uri=uri)
        self.hub.jobs.create(JobRequest.read(json.dumps(body.to_json())))
        self._wait_for_jobs()

    @rule()
    def foreign_export(self) -> None:
        if not any(job["status"] in ACTIVE for job in self.hub.jobs):
            self.hub.occupy_slot()

    @rule()
    def foreign_export_ends(self) -> None:
        self.hub.free_slot()

    # Invariants at any time.

    @invariant()
    def table_is_consistent(self) -> None:
        if not hasattr(self, "table"):
            return
        stored = read_table(self.table)
        records = stored.records
        for id_, record in self._final.items():
            assert records[id_] == record, "a final record changed"
        self._final = {id_: record for id_, record in records.items() if record.state.is_final}
        at_most_one_job_uses_the_hub(stored.jobs)
        members_agree(stored)
        histories_follow_the_transitions(records.values())
        queue_rows_match_open_imports(records.values(), stored.queue_rows)
        finished_imports_are_counted_once(records.values(), self.table.list_entities())
        jobs_ran_once(stored, import_jobs(self.hub))

    def _watch(self, request: str) -> None:
        """Only the first imports of the queue may start, with no older upload unregistered."""
        if not request.endswith("/jobs/create"):
            return
        stored = read_table(self.table)
        ending = [job for job in stored.jobs if job.state is JobState.ENDED]
        left_out = {key for job in ending for key in job.members}
        waiting = [key for key in stored.queue_rows.values() if key not in left_out]
        [job] = [job for job in stored.jobs if job.state is JobState.ASKED]
        if waiting[: len(job.members)] != list(job.members):
            self._violations.append(f"a job was requested that is not the first: {job}")
        known = {(record.file, record.upload_etag) for record in stored.records.values()}
        newest = max(map(uploaded_at_of, job.members))
        for blob in self.container.list_blobs():
            version = (blob.name, blob.etag.strip('"'))
            if blob.last_modified < newest and version not in known:
                self._violations.append(f"a job was requested before {version} was registered")

    # End of each run.

    def teardown(self) -> None:
        try:
            if hasattr(self, "table"):
                self._settle()
                self._check_end()
        finally:
            self._resources.close()

    def _settle(self) -> None:
        self._restart()
        self.hub.faults.clear()
        self.hub.free_slot()
        for name in FILES:
            self._call(partial(self.app.deliver, name))
        for _ in range(60):
            self._call(self.app.tick)
            self._call(self.app.sweep)
            stored = read_table(self.table)
            records = stored.records
            unknown = export_jobs(self.hub) if self._echo else self._own_jobs()
            self._cancel_unknown_jobs(unknown, records.values())
            if not stored.queue_rows and self._existing() <= {
                (record.file, record.upload_etag) for record in records.values()
            }:
                return
            self.app.clock.ahead += timedelta(hours=1)
        raise AssertionError(f"still open: {[r for r in self._sorted() if not r.state.is_final]}")

    def _check_end(self) -> None:
        self.table_is_consistent()
        stored = read_table(self.table)
        records = stored.records
        assert stored.queue_rows == {}
        assert stored.jobs == []
        uploads = [record for record in records.values() if not record.retry_of]
        assert len({(record.file, record.upload_etag) for record in uploads}) == len(uploads)
        jobs = [job for job in import_jobs(self.hub) if job["status"] == "completed"]
        applied = [record for job in jobs for record in stored.imports_of(job)]
        assert all(record.state is ImportState.COMPLETED for record in applied), applied
        # Retries enter the queue by the app's clock, which the test changes: see `_watch` for them.
        queue_keys_of_uploads = [record.queue_key for record in applied if not record.retry_of]
        assert queue_keys_of_uploads == sorted(queue_keys_of_uploads)
        wanted = {}
        for job in jobs:
            planned = stored.imports_of(job)[0].planned
            name = planned.name if planned.container else ""
            for line in lines_of_job(job, self.app.blobs, name):
                wanted[line["id"]] = line["tags"]
        for device in DEVICES:
            identity = self.hub.registry.get(device)
            assert (identity and identity["tags"]) == wanted.get(device), device

    # Helpers.

    def _call(self, function: Callable[[], None]) -> None:
        with self._calling():
            function()

    @contextlib.contextmanager
    def _calling(self) -> Iterator[None]:
        """Call the app, which may fail with an error that the platform handles, or terminate."""
        hangs = self._hang_rules()
        try:
            yield
        except Killed:
            self._restart()
        except (AzureError, ImporterError):
            pass
        jobs = [job["jobId"] for job in self._own_jobs() if job["jobId"] not in self._jobs]
        assert len(jobs) <= 1
        if jobs and self._hang_rules() < hangs:
            self._hanging.update(jobs)
        self._jobs.update(jobs)
        self._wait_for_jobs()
        assert self._violations == []

    def _wait_for_jobs(self) -> None:
        """Complete the jobs that do not hang or were cancelled."""
        while any(
            job["status"] in ACTIVE and job["jobId"] not in self._hanging
            for job in self.hub.jobs
            if job["type"] == "import" or "/import-" in job["outputBlobContainerUri"]
        ):
            time.sleep(0.002)

    def _restart(self) -> None:
        """Replace the process with a new one."""
        self.app.before_request, self.app.after_request = self._watch, lambda _: None
        self.app.configure()

    def _existing(self) -> set[tuple[str, str]]:
        return {(blob.name, blob.etag.strip('"')) for blob in self.container.list_blobs()}

    def _own_jobs(self) -> list[dict[str, Any]]:
        return [*import_jobs(self.hub), *export_jobs(self.hub)]

    def _cancel_unknown_jobs(
        self, jobs: Iterable[dict[str, Any]], records: Iterable[ImportRecord]
    ) -> None:
        """Cancel hanging jobs as an operator; the app must not, since they may be foreign.

        These are exports whose response was lost, and on a hub that returns no containers imports.
        """
        known = {record.job.id for record in records}
        for job in jobs:
            if job["status"] in ACTIVE and job["jobId"] not in known:
                self.hub.jobs.cancel(job["jobId"])

    def _hang_rules(self) -> int:
        return sum(rule["kind"] == "hangJob" for rule in self.hub.faults.to_json())

    def _sorted(self) -> list[ImportRecord]:
        return sorted(read_table(self.table).records.values(), key=lambda record: record.queue_key)
