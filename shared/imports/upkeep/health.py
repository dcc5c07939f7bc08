"""Health: everything that the app needs, by name, whether it works, and what to fix."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)

from shared import logs
from shared.errors import ImporterError, error_text
from shared.hub.client import HubClient
from shared.hub.exceptions import HubRequestError, HubThrottledError, HubUnauthorizedError
from shared.imports.model.record import NO_HUB
from shared.imports.services import Services
from shared.imports.store.import_container import PREFIX
from shared.imports.store.rows import NewerRowError, UnreadableRowError, to_job, to_record
from shared.imports.workflow import job_reasons as reasons
from shared.invocation import in_this_invocation
from shared.redaction import redact
from shared.storage.client import DelegationKeyRefusedError

__all__ = ["SWEEP", "TICK", "Finding", "Health", "TimerRun"]

log = logs.logger(__name__)

#: Seconds that all checks together take at most.
TIMEOUT = 15

#: The timers by the names of their functions.
TICK = "advance_hubs"
SWEEP = "sweep"

#: How late a timer may be: an instance may have to start first, and runs are noted to the minute.
TIMER_LATE = timedelta(minutes=5)

#: Open imports of each hub whose rows are read.
MAX_ROWS = 100

MAX_THREADS = 16

#: A caller wants an answer soon, so a request that fails is repeated once, not for half a minute.
QUICK: dict[str, Any] = {"retry_total": 1}

#: Roles on the storage account.
BLOB_ROLE = "Storage Blob Data Contributor"
TABLE_ROLE = "Storage Table Data Contributor"

REACH_STORAGE = "Check ImporterStorage, and that the storage account is reachable."
REACH_HUB = "Check IOTHUB, and that the hub is reachable."


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    name: str
    is_well: bool
    #: What is wrong and what to do; or what was found.
    detail: str = ""


@dataclass(frozen=True)
class TimerRun:
    """The last run of a timer."""

    #: The name of its function, and the setting of its schedule.
    name: str
    setting: str
    #: None if it has never run.
    at: datetime | None
    is_late: bool

    def __str__(self) -> str:
        if self.at is None:
            return f"{self.name} has not run yet."
        text = f"{self.name} last ran at {self.at:%Y-%m-%d %H:%M} UTC"
        if not self.is_late:
            return f"{text} (noted once a minute)."
        return (
            f"{text} and is late. Check that the app runs, that its function {self.name} is "
            f"enabled, and {self.setting}."
        )


@dataclass(frozen=True)
class _Check:
    """One thing to check."""

    name: str
    #: Returns what was found.
    run: Callable[[], str]
    #: The role that it needs on the storage account; "" for a hub.
    role: str = ""

    @property
    def reach(self) -> str:
        """What to do if there is no answer."""
        return REACH_STORAGE if self.role else REACH_HUB


class _WrongError(Exception):
    """A check failed; the message says why and what to do."""


class Health:
    """Checks what the app needs by requests that change nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings

    def examine(self) -> list[Finding]:
        """Run all checks side by side."""
        checks = list(self._checks())
        pool = ThreadPoolExecutor(min(MAX_THREADS, len(checks)), "health")
        begun = [(check, pool.submit(in_this_invocation(check.run))) for check in checks]
        wait([future for _, future in begun], TIMEOUT)
        # A check without an answer may end by itself.
        pool.shutdown(wait=False, cancel_futures=True)
        return [self._finding(check, future) for check, future in begun]

    def _checks(self) -> Iterator[_Check]:
        yield _Check(f"table {self._settings.storage.imports_table}", self._table, TABLE_ROLE)
        name = self._settings.uploads.container
        yield _Check(f"container {name}", self._upload_container, BLOB_ROLE)
        yield _Check("containers of imports", self._import_containers, BLOB_ROLE)
        if self._settings.jobs.storage_authentication == "keyBased":
            yield _Check("SAS for the hub", self._sas, BLOB_ROLE)
        yield _Check("timers", self._timers, TABLE_ROLE)
        yield _Check("rows of open imports", self._rows, TABLE_ROLE)
        for name, hub in self._services.hubs.items():
            yield _Check(f"hub {name}", functools.partial(_list_jobs, hub))

    def _table(self) -> str:
        table = self._services.storage.table(self._settings.storage.imports_table)
        # The first import creates it.
        with contextlib.suppress(ResourceNotFoundError):
            rows = table.query_entities("PartitionKey eq '(health)'", results_per_page=1, **QUICK)
            list(islice(rows, 1))
        return ""

    def _upload_container(self) -> str:
        name = self._settings.uploads.container
        try:
            self._services.storage.container(name).get_container_properties(**QUICK)
        except ResourceNotFoundError as error:
            raise _WrongError(
                f"There is no container {name!r}: create it, or correct UPLOAD_CONTAINER."
            ) from error
        return ""

    def _import_containers(self) -> str:
        self._reach_blobs()
        list(islice(self._services.storage.containers(PREFIX), 1))
        return ""

    def _reach_blobs(self) -> None:
        """Fail sooner than the next request if the account is unavailable."""
        self._services.storage.container(self._settings.uploads.container).exists(**QUICK)

    def _sas(self) -> str:
        if self._settings.storage.connection.connection_string is None:
            self._reach_blobs()
        self._services.storage.container_uri_with_sas(
            "health", self._settings.jobs.sas_lifetime, self._services.clock()
        )
        return ""

    def timers(self) -> list[TimerRun]:
        """When tick and sweep last ran; one request."""
        last_runs = self._services.cursors.last_runs()
        now = self._services.clock()
        runs = []
        for name, setting, schedule in (
            (TICK, "POLL_SCHEDULE", self._settings.schedules.poll),
            (SWEEP, "SWEEP_SCHEDULE", self._settings.schedules.sweep),
        ):
            last = last_runs.get(name)
            # The run after the next: one may have been noted a little before it was due.
            is_late = last is not None and (now > schedule.next(schedule.next(last)) + TIMER_LATE)
            runs.append(TimerRun(name, setting, last, is_late))
        return runs

    def _timers(self) -> str:
        # This fails sooner than the next request if the table is unavailable.
        self._table()
        runs = self.timers()
        if late := [run for run in runs if run.is_late]:
            raise _WrongError(" ".join(map(str, late)))
        return " ".join(map(str, runs))

    def _rows(self) -> str:
        """Rows that wait for an operator or for a newer version of the app."""
        self._table()
        problems = []
        hubs, held = self._services.all_hubs(), self._services.held()
        for hub in sorted(hubs - {NO_HUB}):
            work = self._services.queue_rows.open_work(hub, MAX_ROWS)
            keys = frozenset(row.record_key for row in work.queue)
            if keys and hub not in self._services.hubs:
                problems.append(
                    f"The hub {hub} is not configured, and {_imports_wait(len(keys))} for it. Add "
                    "the hub to IOTHUB again, or cancel them."
                )
            keys |= frozenset(held.get(hub, ())[:MAX_ROWS])
            records = self._services.queries.rows(hub, keys) if keys else ()
            for read, rows in ((to_job, work.jobs), (to_record, records)):
                for row in rows:
                    try:
                        read(row)
                    except (UnreadableRowError, NewerRowError) as error:
                        problems.append(f"Hub {hub}: {error}")
        if problems:
            raise _WrongError(" ".join(problems[:5]))
        waiting = [f"{hub}: {len(keys):,}" for hub, keys in sorted(held.items()) if keys]
        # Which is no fault.
        return f"Imports that wait for approval: {', '.join(waiting)}." if waiting else ""

    def _finding(self, check: _Check, future: Future[str]) -> Finding:
        if not future.done() or future.cancelled():
            detail = f"No answer within {TIMEOUT} seconds. {check.reach}"
            return Finding(check.name, False, detail)
        try:
            return Finding(check.name, True, future.result())
        except _WrongError as error:
            detail = str(error)
        except (
            HubUnauthorizedError,
            HubRequestError,
            HubThrottledError,
            DelegationKeyRefusedError,
        ) as error:
            detail = reasons.hub_trouble(error)
        except ImporterError as error:
            detail = f"{reasons.hub_trouble(error).rstrip('.')}. {check.reach}"
        except AzureError as error:
            detail = self._storage_trouble(error, check)
        except Exception:
            log.exception("the check of %s failed", check.name)
            detail = f"Unexpected error; the log of this request has the details. {check.reach}"
        return Finding(check.name, False, redact(detail))

    def _storage_trouble(self, error: AzureError, check: _Check) -> str:
        """Why the storage account is unavailable, and what to do."""
        message = error_text(error)
        is_refused = isinstance(error, HttpResponseError) and error.status_code in (401, 403)
        is_refused = is_refused or isinstance(error, ClientAuthenticationError)
        if not is_refused:
            is_answer = isinstance(error, HttpResponseError) and error.response is not None
            message = message if is_answer else f"No answer from the storage account: {message}"
            return f"{message}. {check.reach}"
        if self._settings.storage.connection.connection_string is not None:
            return (
                f"{message}. Check the AccountKey in ImporterStorage, and that the storage account "
                "allows keys. Allow the app in its firewall."
            )
        if not isinstance(error, HttpResponseError) or error.status_code is None:
            return f"{message}. Check the app's managed identity, and ImporterStorage__clientId."
        return (
            f"{message}. Grant the app's identity the role {check.role} on the storage account. "
            "Allow the app in its firewall."
        )


def _imports_wait(count: int) -> str:
    if count == 1:
        return "1 import waits"
    return f"{count}{' or more' if count == MAX_ROWS else ''} imports wait"


def _list_jobs(hub: HubClient) -> str:
    hub.list_jobs()
    return ""
