"""What holds of table, containers and hubs at the end, whatever happened on the way."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from azure.core.exceptions import AzureError, ResourceNotFoundError

from iothub_emulator import HubEmulator
from shared.connections import HubConnection
from shared.errors import ImporterError
from shared.imports.model.keys import import_id_of
from shared.imports.model.record import ImportRecord
from shared.imports.operate.retry import retry_id
from shared.imports.store.daily_counts import DailyCounts
from tests.faults.world import KEYS, World

__all__ = ["Listener", "Witness", "check", "ends_are_counted", "name_of"]

SECRETS = (*KEYS.values(), "sig=", "AccountKey=", "SharedAccessKey=")

_APPLIED = ("completed", "completedWithErrors")


def check(world: World) -> None:
    """The invariants, apart from what people deleted or edited themselves."""
    touched = world.touched | set(map(retry_id, world.touched))
    records = world.records()
    rows = world.rows()
    _ids_are_unique(records, rows)
    for record in records:
        if record.id in touched:
            continue
        assert record.state.is_final, f"{record.file} is {record.state}"
        assert record.finished_at, record
        _counts_add_up(record)
    for record in records:
        _jobs_fit(world, record, is_touched=record.id in touched)
    _jobs_have_records(world, records)
    _reports_agree(world, records, touched)
    _uploads_have_records(world, records)
    _claims_lead_to_records(records, rows, touched)
    _queues_are_empty(records, rows)
    if not touched:
        if not world.are_rows_of_the_app_touched:
            _order_is_kept(world, records)
        if not world.are_counts_touched:
            ends_are_counted(records, rows)
    reports = [_report(world, record) for record in records]
    told = f"{rows}{reports}"
    assert not [secret for secret in SECRETS if secret in told]


def _ids_are_unique(records: Sequence[ImportRecord], rows: Iterable[Mapping[str, Any]]) -> None:
    count = Counter(
        import_id_of(row["RowKey"]) for row in rows if row["RowKey"].startswith("import-")
    )
    twice = [record for record in records if count[record.id] > 1]
    assert not twice, f"several records: {[(one.hub, one.file, one.state) for one in twice]}"


def _counts_add_up(record: ImportRecord) -> None:
    """What is known adds up."""
    counts = (record.lines, record.devices, record.invalid_lines, record.imported, record.failed)
    what = f"{record.file} is {record.state}: {counts}"
    if record.lines is not None and record.devices is not None:
        assert record.lines == record.devices + (record.invalid_lines or 0), what
    assert (record.imported is None) == (record.failed is None), what
    if record.state in _APPLIED and record.imported is not None:
        assert record.devices == record.imported + (record.failed or 0), what
    if record.state == "completed":
        assert record.imported == record.devices, what


def _jobs_fit(world: World, record: ImportRecord, *, is_touched: bool) -> None:
    """No import is applied twice or at another hub, and nobody says 0 of what may have been."""
    jobs = world.jobs_of(record)
    completed = [job for _, job in jobs if job["status"] == "completed"]
    what = f"{record.file} is {record.state}: {[job['status'] for _, job in jobs]}"
    assert len(completed) <= 1, what
    assert {name_of(hub) for hub, _ in jobs} <= {record.hub}, what
    if is_touched:
        return
    if record.state in _APPLIED:
        assert len(completed) == 1, what
    elif completed:
        assert record.imported is None, what


def _jobs_have_records(world: World, records: Iterable[ImportRecord]) -> None:
    """No job is of an import that nobody knows of."""
    known = {record.id for record in records} | world.seen
    strangers = [
        job["inputBlobContainerUri"]
        for _, job in world.jobs()
        if not any(f"/import-{id_}" in job["inputBlobContainerUri"] for id_ in known)
    ]
    assert not strangers


def _reports_agree(world: World, records: Iterable[ImportRecord], touched: set[str]) -> None:
    for record in records:
        report = _report(world, record)
        if record.id in touched or report is None:
            continue
        assert report["state"] == record.state
        assert report["failureReason"] == record.failure_reason
        assert report["devices"] == {
            "lines": record.lines,
            "invalidLines": record.invalid_lines,
            "givenToHub": record.devices,
            "imported": record.imported,
            "failed": record.failed,
        }


def _report(world: World, record: ImportRecord) -> dict[str, Any] | None:
    if not record.report:
        return None
    try:
        return world.report(record)
    except (ResourceNotFoundError, ValueError):
        # Retention deletes it, and people do.
        return None


def _uploads_have_records(world: World, records: Iterable[ImportRecord]) -> None:
    """Each version that is there has one record, of whatever end."""
    ids = {record.id for record in records}
    for file, etag in world.versions():
        id_ = world.id_of(file, etag)
        assert id_ in ids or not world.must_have_record(id_), f"{file} has no record"


def _claims_lead_to_records(
    records: Iterable[ImportRecord],
    rows: Iterable[Mapping[str, Any]],
    touched: set[str],
) -> None:
    wanted = {record.id: (record.hub, record.row_key) for record in records}
    claims = {
        row["RowKey"]: (row.get("hub"), row.get("record"))
        for row in rows
        if row["PartitionKey"] == "(claims)"
    }
    for id_ in touched:
        wanted.pop(id_, None)
        claims.pop(id_, None)
    assert claims == wanted


def _queues_are_empty(records: Iterable[ImportRecord], rows: Iterable[Mapping[str, Any]]) -> None:
    open_keys = {record.queue_key for record in records if not record.state.is_final}
    left = [row["RowKey"] for row in rows if row["RowKey"].startswith("queue-")]
    assert set(left) <= open_keys


def _order_is_kept(world: World, records: Sequence[ImportRecord]) -> None:
    """Each hub applied its imports in the order of their places in its queue."""
    applied: dict[str, list[ImportRecord]] = defaultdict(list)
    for hub, job in world.jobs():
        for record in records:
            is_its = f"/import-{record.id}" in job["inputBlobContainerUri"]
            if is_its and job["status"] == "completed":
                applied[name_of(hub)].append(record)
    for ones in applied.values():
        keys = [record.queue_key for record in ones]
        assert keys == sorted(keys), [record.file for record in ones]


def ends_are_counted(
    records: Iterable[ImportRecord],
    rows: Iterable[Mapping[str, Any]],
    *,
    is_swept: bool = False,
) -> None:
    """Each final import counts on its day; right after a sweep in the row of the day itself."""
    wanted: dict[tuple[str, date], DailyCounts] = {}
    for record in records:
        if record.finished_at:
            one = DailyCounts.of_record(record)
            key = (record.hub, one.date)
            wanted[key] = wanted.get(key, DailyCounts(one.date)) + one
    found: dict[tuple[str, date], DailyCounts] = {}
    for row in rows:
        if row["RowKey"].startswith("day-"):
            assert not (is_swept and row["RowKey"].count("-") > 1), f"not counted: {row['RowKey']}"
            one = DailyCounts.of_row(row)
            key = (row["PartitionKey"], one.date)
            found[key] = found.get(key, DailyCounts(one.date)) + one
    # Days outlive records.
    assert {key: found.get(key) for key in wanted} == wanted


def name_of(hub: HubEmulator) -> str:
    return HubConnection.parse(hub.connection_string()).name


class Witness:
    """Sees what becomes of the imports from one invocation to the next."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._final: dict[str, ImportRecord] = {}
        self._hubs: dict[str, str] = {}

    def look(self) -> None:
        """A final record stays as it is, and an import stays at its hub."""
        for record in self._world.records():
            if record.id in self._world.touched:
                continue
            before = self._final.get(record.id, record)
            assert before == record, f"a final record changed: {before} {record}"
            if record.state.is_final:
                self._final[record.id] = record
            hub = self._hubs.setdefault(record.id, record.hub)
            assert hub == record.hub, f"{record.file} was of {hub} and is of {record.hub}"
            states = [state for state, _ in record.history]
            assert all(one != other for one, other in pairwise(states)), states


class Listener(logging.Handler):
    """Hears what the app logs: no secret, and no exception that it should not have."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.unexpected: list[str] = []
        self.leaks: list[str] = []
        self._log = logging.getLogger("shared")

    def __enter__(self) -> Self:
        self._level = self._log.level
        self._log.setLevel(logging.INFO)
        self._log.addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._log.removeHandler(self)
        self._log.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        told = f"{record.getMessage()} {error}"
        self.leaks += [told for secret in SECRETS if secret in told]
        if error is not None and not isinstance(error, AzureError | ImporterError):
            self.unexpected.append(f"{record.getMessage()}: {error!r}")
