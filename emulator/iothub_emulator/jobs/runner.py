"""Running one import or export job in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from typing import Protocol

import orjson
from azure.core.exceptions import AzureError

from iothub_emulator.choices import Choices
from iothub_emulator.faults import Fault, FaultKind
from iothub_emulator.jobs.history import Job, JobHistory, JobStatus
from iothub_emulator.jobs.importing import ConfigurationImport, DeviceImport
from iothub_emulator.jobs.pace import Pace, StoppedError
from iothub_emulator.jobs.request import DEFAULT_BLOB_NAME, JobRequest, JobType
from iothub_emulator.jobs.storage import JobStorage
from iothub_emulator.registry.configurations import Configurations
from iothub_emulator.registry.device_registry import registry_properties
from iothub_emulator.registry.entries import FIRST_KEY, Entry, Kind
from iothub_emulator.registry.lagging import LaggingRegistry
from iothub_emulator.registry.registry import Registry

LOG = logging.getLogger(__name__)

ERROR_LOG_NAME = "importErrors.log"
CONFIGURATION_ERROR_LOG_NAME = "importConfigErrors.log"
#: The first line of an export without keys is not JSON (live hub); its text is not published.
KEYLESS_NOTE = (
    "The keys of the devices are not part of this export: "
    "an import of it would give every device new keys.\n"
)


class LineImport(Protocol):
    """Applies the lines of one blob; the methods return lines for the log."""

    def apply(self, lines: Iterable[str]) -> list[str]: ...

    def finish(self) -> list[str]: ...


class Run(threading.Thread):
    """Runs a job from ``enqueued`` to its end."""

    def __init__(
        self,
        job: Job,
        fault: Fault | None,
        history: JobHistory,
        registry: Registry,
        exported: LaggingRegistry,
        configurations: Configurations,
        storage: JobStorage,
        pace: Pace,
        choices: Choices,
    ) -> None:
        super().__init__(name=f"job {job.id}", daemon=True)
        self._job = job
        self._request = job.request
        self._fault = fault
        self._history = history
        self._registry = registry
        self._exported_registry = exported
        self._configurations = configurations
        self._storage = storage
        self._pace = pace
        self._choices = choices
        self._refused: list[str] = []
        #: Lines of logs that are not written yet, by log name.
        self.held_logs: dict[str, list[str]] = {}

    def stop(self) -> None:
        self._pace.stop()

    def write_held_logs(self, open_storage: Callable[[JobRequest], JobStorage]) -> None:
        """Wait for the end of the job and write the logs that ``lateLog`` held back."""
        self.join()
        with closing(open_storage(self._request)) as storage:
            for name, lines in self.held_logs.items():
                storage.write_log(name, lines)
        self.held_logs = {}

    def run(self) -> None:
        with closing(self._storage):
            try:
                self._run()
            except StoppedError:
                LOG.info("job %s stopped", self._job.id)
                self._write_log_of_broken_job()
            except AzureError as error:
                # After the checks of the creation, the SAS expired or a container was deleted.
                LOG.warning("job %s lost its storage: %s", self._job.id, type(error).__name__)
                self._fail(self._choices.failure_reason or None)
            except Exception:
                LOG.exception("job %s failed", self._job.id)
                self._fail("An internal error occurred.")

    def _run(self) -> None:
        self._pace.wait_to_run()
        self._advance()
        kind = self._fault.kind if self._fault else None
        if kind is FaultKind.HANG_JOB:
            self._pace.wait_for_ever()
        elif self._fault and kind is FaultKind.FAIL_JOB:
            self._pace.wait(0, 1)
            self._fail(self._fault.reason)
        elif self._request.type is JobType.IMPORT:
            self._import(blame=kind is FaultKind.BLAME_DEVICES)
        else:
            self._export()

    def _import(self, *, blame: bool) -> None:
        devices = DeviceImport(self._registry, self._choices, blame=blame)
        self._import_blob(self._request.input_blob_name, devices)
        self._pace.wait(0, 1)
        self._write_log(self._log_name())
        if self._request.include_configurations:
            self._refused = []
            configurations = ConfigurationImport(self._configurations)
            self._import_blob(self._request.configurations_blob_name, configurations)
            self._write_log(CONFIGURATION_ERROR_LOG_NAME)
        self._complete()

    def _write_log(self, name: str) -> None:
        kind = self._fault.kind if self._fault else None
        if kind is FaultKind.LATE_LOG:
            self.held_logs[name] = self._refused
        elif kind is not FaultKind.NO_LOG:
            self._storage.write_log(name, self._refused)

    def _import_blob(self, name: str, work: LineImport) -> None:
        """Apply lines at the pace of the job; a cancelled job leaves those of earlier batches."""
        handled = 0
        for percent, texts in self._batches(self._storage.lines(name)):
            self._refused += work.apply(texts)
            handled += len(texts)
            self._advance(percent)
            self._pace.wait(handled, percent / 100)
        self._refused += work.finish()

    def _batches(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
        """Lines with the same percentage of progress, in batches."""
        for percent, group in groupby(lines, key=itemgetter(0)):
            while texts := [text for _, text in islice(group, self._pace.batch)]:
                yield percent, texts

    def _export(self) -> None:
        self._storage.write(self._request.output_blob_name, self._exported_devices())
        if self._request.include_configurations:
            lines = _exported_configurations(self._configurations)
            self._storage.write(self._request.configurations_blob_name, lines)
        self._pace.wait(0, 1)
        self._complete()

    def _exported_devices(self) -> Iterator[bytes]:
        """Lines of devices.txt, at the pace of the job."""
        with_keys = not self._request.exclude_keys
        if not with_keys:
            yield KEYLESS_NOTE.encode()
        total, done, last = len(self._registry), 0, FIRST_KEY
        while entries := self._exported_registry.scan(Kind.ALL, last, self._pace.batch):
            yield b"".join(self._exported(entry, with_keys=with_keys) for entry in entries)
            done += len(entries)
            last = entries[-1].identity.key
            progress = min(1.0, done / max(1, total))
            self._advance(int(100 * progress))
            self._pace.wait(done, progress)

    def _exported(self, entry: Entry, *, with_keys: bool) -> bytes:
        line = entry.to_json(with_keys=with_keys)
        if self._choices.device_registry == "linked" and entry.identity.key.module_id is None:
            line |= registry_properties(entry)
        return _dump(line)

    def _advance(self, progress: int = 0) -> None:
        if self._choices.progress == "end":
            progress = 0
        if not self._history.advance(self._job.id, JobStatus.RUNNING, progress=progress):
            raise StoppedError

    def _complete(self) -> None:
        self._history.end(self._job.id, JobStatus.COMPLETED, progress=100)

    def _fail(self, reason: str | None) -> None:
        self._history.end(self._job.id, JobStatus.FAILED, failure_reason=reason)
        self._write_log_of_broken_job()

    def _log_name(self) -> str:
        names_log = self._choices.import_output_name == "log"
        if names_log and self._request.output_blob_name != DEFAULT_BLOB_NAME:
            return self._request.output_blob_name
        return ERROR_LOG_NAME

    def _write_log_of_broken_job(self) -> None:
        if self._request.type is JobType.IMPORT and self._choices.log_of_broken_jobs == "write":
            try:
                self._storage.write_log(self._log_name(), self._refused)
            except AzureError:
                LOG.info("job %s could not write its log", self._job.id)


def _exported_configurations(configurations: Configurations) -> Iterator[bytes]:
    """Lines of configurations.txt, whose property names are capitalized (live hub)."""
    for configuration in configurations.all():
        yield _dump({f"{name[0].upper()}{name[1:]}": v for name, v in configuration.items()})


def _dump(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
