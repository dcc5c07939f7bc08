"""Invariants of table, containers and hubs at the end of each simulation."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
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
from shared.imports.operate.undo import undo_id
from shared.imports.store.daily_counts import DailyCounts
from tests.faults.safeguards import check_safeguards
from tests.faults.simulation import KEYS, Simulation
from tests.faults.stored_state import container_of_job

__all__ = ["HistoryCheck", "LogCapture", "check", "finished_imports_are_counted", "name_of"]

SECRETS = (*KEYS.values(), "sig=", "AccountKey=", "SharedAccessKey=")

_APPLIED = ("completed", "completedWithErrors")


def check(simulation: Simulation) -> None:
    """Check the invariants, except for data that was deleted or edited manually."""
    edited = simulation.edited | set(map(retry_id, simulation.edited))
    edited |= {undo_id(import_id, 1) for import_id in edited}
    rows = simulation.rows()
    records = simulation.records(rows)
    _ids_are_unique(records, rows)
    for record in records:
        if record.id in edited:
            continue
        assert record.state.is_final, f"{record.file} is {record.state}"
        assert record.finished_at, record
        _counts_add_up(record)
    for record in records:
        _jobs_match_record(simulation, record, is_edited=record.id in edited)
    _jobs_have_records(simulation, records)
    _shared_jobs_have_the_lines_of_their_members(simulation, edited)
    _no_job_is_left(simulation, rows, records, edited)
    reports = [(record, _report(simulation, record)) for record in records]
    for record, report in reports:
        if report is not None and record.id not in edited:
            _report_agrees(record, report)
            _rejected_lines_are_its_own(simulation, record, report)
    _uploads_have_records(simulation, records)
    _claims_lead_to_records(records, rows, edited)
    _queues_are_empty(records, rows)
    check_safeguards(simulation, records, rows, edited)
    if not edited:
        if not simulation.are_app_rows_edited:
            _order_is_kept(simulation, records)
            _devices_have_what_came_last(simulation, records)
        if not simulation.are_counts_edited:
            finished_imports_are_counted(records, rows)
    stored = f"{rows}{reports}"
    assert not [secret for secret in SECRETS if secret in stored]


def _ids_are_unique(records: Sequence[ImportRecord], rows: Iterable[Mapping[str, Any]]) -> None:
    count = Counter(
        import_id_of(row["RowKey"]) for row in rows if row["RowKey"].startswith("import-")
    )
    duplicates = [record for record in records if count[record.id] > 1]
    assert not duplicates, [(record.hub, record.file, record.state) for record in duplicates]


def _counts_add_up(record: ImportRecord) -> None:
    """Known counts add up."""
    counts = (record.lines, record.devices, record.invalid_lines, record.imported, record.failed)
    summary = f"{record.file} is {record.state}: {counts}"
    if record.lines is not None and record.devices is not None:
        assert record.lines == record.devices + (record.invalid_lines or 0), summary
    assert (record.imported is None) == (record.failed is None), summary
    unchanged = (record.unchanged or 0) + (record.left_out or 0)
    if record.state in _APPLIED and record.imported is not None:
        assert record.devices == record.imported + (record.failed or 0) + unchanged, summary
    if record.state == "completed":
        assert record.devices == (record.imported or 0) + unchanged, summary
    # What fails in the first job of an undo is counted with what its plan leaves out.
    if record.plan.sent is not None and not record.is_in_second_job:
        assert record.devices == record.plan.sent + (record.plan.failed or 0) + unchanged, summary


def _jobs_match_record(simulation: Simulation, record: ImportRecord, *, is_edited: bool) -> None:
    """No import is applied twice or at another hub, and no unknown count is 0."""
    jobs = simulation.jobs_of(record)
    completed = [job for _, job in jobs if job["status"] == "completed"]
    summary = f"{record.file} is {record.state}: {[job['status'] for _, job in jobs]}"
    assert len(set(map(container_of_job, completed))) == len(completed), summary
    assert len(completed) <= 1 + bool(record.second_lines), summary
    assert {name_of(hub) for hub, _ in jobs} <= {record.hub}, summary
    if is_edited:
        return
    if record.state in _APPLIED:
        # A plan may have left nothing to send.
        wanted = int(record.plan.sent != 0) + int(record.is_in_second_job)
        assert len(completed) == wanted, summary
    elif completed:
        assert record.imported is None, summary


def _jobs_have_records(simulation: Simulation, records: Iterable[ImportRecord]) -> None:
    """Each job belongs to imports that had a record."""
    known = {record.id for record in records} | simulation.seen
    unknown_jobs = [
        job["inputBlobContainerUri"]
        for _, job in simulation.jobs()
        if not known.issuperset(simulation.imports_of_job(job))
    ]
    assert not unknown_jobs


def _shared_jobs_have_the_lines_of_their_members(simulation: Simulation, edited: Set[str]) -> None:
    """A job's file has the lines of its members, no two of which touch one device."""
    for _, job in simulation.jobs():
        members = simulation.imports_of_job(job)
        if len(members) == 1 or not edited.isdisjoint(members):
            continue
        lines_of = [_lines_of(simulation, id_) for id_ in members]
        lines = simulation.lines_of_job(job)
        if lines is not None and None not in lines_of:
            # Validation writes the lines again, with the same ids and tags.
            wanted = [_what_matters(line) for lines in lines_of for line in lines or ()]
            assert list(map(_what_matters, lines)) == wanted, (members, lines)
        ids = [{line["id"].lower() for line in lines or ()} for lines in lines_of]
        assert sum(map(len, ids)) == len(set().union(*ids)), (members, ids)


def _what_matters(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["id"], line.get("importMode", "createOrUpdate"), line.get("tags")


def _lines_of(simulation: Simulation, import_id: str) -> list[dict[str, Any]] | None:
    """The valid lines of an import; None if they are not known any more."""
    if import_id in simulation.contents:
        return [line for line in simulation.contents[import_id] if " " not in line["id"]]
    retries = [record for record in simulation.records() if record.id == import_id]
    return simulation.staged_lines(retries[0]) if retries else None


def _no_job_is_left(
    simulation: Simulation,
    rows: Iterable[Mapping[str, Any]],
    records: Sequence[ImportRecord],
    edited: Set[str],
) -> None:
    """No job is left unless a newer version wrote its row, and members of ended jobs are final."""
    left = [row["RowKey"] for row in rows if row["RowKey"].startswith("job-")]
    assert not [key for key in left if edited.isdisjoint(simulation.members_of(import_id_of(key)))]
    states = {record.id: record.state for record in records}
    for row in rows:
        if row["RowKey"].startswith("ended-job-"):
            members = set(simulation.members_of(import_id_of(row["RowKey"]))) - edited
            assert all(states[id_].is_final for id_ in members & states.keys()), states


def _rejected_lines_are_its_own(
    simulation: Simulation, record: ImportRecord, report: Mapping[str, Any]
) -> None:
    """Report and retry file name devices of the import alone."""
    own = simulation.contents.get(record.retry_of or record.id)
    if own is None:
        return
    ids = {line["id"] for line in own}
    rejected = (report.get("failures") or {}).get("devices", [])
    assert {item["id"] for item in rejected if item["id"]} <= ids, record.file
    assert {line["id"] for line in simulation.retry_lines(record) or ()} <= ids, record.file


def _devices_have_what_came_last(simulation: Simulation, records: Sequence[ImportRecord]) -> None:
    """Each device has the tag of the last import in queue order that was applied to it.

    Left out are devices with a line that a hub may reject, and those of two hubs.
    """
    lines_of = {record.id: _lines_of(simulation, record.id) or [] for record in records}
    uncertain = {
        line["id"] for lines in lines_of.values() for line in lines if "importMode" in line
    }
    for hub in (simulation.hub, simulation.west):
        wanted: dict[str, Any] = {}
        applied = [
            record
            for record in records
            if any(
                job["status"] == "completed" and its is hub
                for its, job in simulation.jobs_of(record)
            )
        ]
        for record in sorted(applied, key=lambda record: record.queue_key):
            wanted |= {line["id"]: line.get("tags") for line in lines_of[record.id]}
        for id_ in wanted.keys() - uncertain:
            stored = hub.registry.get(id_)
            assert stored is not None, id_
            assert stored.get("tags") == wanted[id_], (id_, stored.get("tags"), wanted[id_])


def _report_agrees(record: ImportRecord, report: Mapping[str, Any]) -> None:
    assert report["state"] == record.state
    assert report["failureReason"] == record.failure_reason
    assert report["devices"] == {
        "lines": record.lines,
        "invalidLines": record.invalid_lines,
        "valid": record.devices,
        "imported": record.imported,
        "failed": record.failed,
        "unchanged": record.unchanged,
    }


def _report(simulation: Simulation, record: ImportRecord) -> dict[str, Any] | None:
    if not record.report:
        return None
    try:
        return simulation.report(record)
    except (ResourceNotFoundError, ValueError):
        # Deleted by retention or by an operator.
        return None


def _uploads_have_records(simulation: Simulation, records: Iterable[ImportRecord]) -> None:
    """Each version of a blob in the upload container has a record."""
    ids = {record.id for record in records}
    for file, etag in simulation.versions():
        id_ = simulation.id_of(file, etag)
        assert id_ in ids or not simulation.must_have_record(id_), f"{file} has no record"


def _claims_lead_to_records(
    records: Iterable[ImportRecord],
    rows: Iterable[Mapping[str, Any]],
    edited: set[str],
) -> None:
    wanted = {record.id: (record.hub, record.row_key) for record in records}
    claims = {
        row["RowKey"]: (row.get("hub"), row.get("record"))
        for row in rows
        if row["PartitionKey"] == "(claims)"
    }
    for id_ in edited:
        wanted.pop(id_, None)
        claims.pop(id_, None)
    assert claims == wanted


def _queues_are_empty(records: Iterable[ImportRecord], rows: Iterable[Mapping[str, Any]]) -> None:
    open_keys = {record.queue_key for record in records if not record.state.is_final}
    remaining = [row["RowKey"] for row in rows if row["RowKey"].startswith("queue-")]
    assert set(remaining) <= open_keys


def _order_is_kept(simulation: Simulation, records: Sequence[ImportRecord]) -> None:
    """Each hub applied its imports in the order of their queue positions."""
    applied: dict[str, list[ImportRecord]] = defaultdict(list)
    by_id = {record.id: record for record in records}
    for hub, job in simulation.jobs():
        if job["status"] == "completed":
            members = simulation.imports_of_job(job)
            applied[name_of(hub)] += [by_id[id_] for id_ in members if id_ in by_id]
    for imports in applied.values():
        # The second job of an undo has the first place, whenever that was asked for.
        keys = [record.queue_key for record in imports if not record.is_in_second_job]
        assert keys == sorted(keys), [record.file for record in imports]


def finished_imports_are_counted(
    records: Iterable[ImportRecord],
    rows: Iterable[Mapping[str, Any]],
    *,
    is_swept: bool = False,
) -> None:
    """Each final import is counted on its day; after a sweep in the row of the day."""
    wanted: dict[tuple[str, date], DailyCounts] = {}
    for record in records:
        if record.finished_at:
            counts = DailyCounts.of_record(record)
            key = (record.hub, counts.date)
            wanted[key] = wanted.get(key, DailyCounts(counts.date)) + counts
    stored: dict[tuple[str, date], DailyCounts] = {}
    for row in rows:
        if row["RowKey"].startswith("day-"):
            assert not (is_swept and row["RowKey"].count("-") > 1), f"not counted: {row['RowKey']}"
            counts = DailyCounts.of_row(row)
            key = (row["PartitionKey"], counts.date)
            stored[key] = stored.get(key, DailyCounts(counts.date)) + counts
    # Daily counts are kept longer than records.
    assert {key: stored.get(key) for key in wanted} == wanted


def name_of(hub: HubEmulator) -> str:
    return HubConnection.parse(hub.connection_string()).name


class HistoryCheck:
    """Compare the imports from one invocation to the next."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._final: dict[str, ImportRecord] = {}
        self._hubs: dict[str, str] = {}

    def check(self) -> None:
        """A final record does not change, and an import stays with its hub."""
        for record in self._simulation.records():
            if record.id in self._simulation.edited:
                continue
            before = self._final.get(record.id, record)
            assert before == record, f"a final record changed: {before} {record}"
            if record.state.is_final:
                self._final[record.id] = record
            hub = self._hubs.setdefault(record.id, record.hub)
            assert hub == record.hub, f"{record.file} was of {hub} and is of {record.hub}"
            states = [state for state, _ in record.history]
            assert all(before != after for before, after in pairwise(states)), states


class LogCapture(logging.Handler):
    """Collects secrets and unexpected exceptions in the app's log."""

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
        text = f"{record.getMessage()} {error}"
        self.leaks += [text for secret in SECRETS if secret in text]
        if error is not None and not isinstance(error, AzureError | ImporterError):
            self.unexpected.append(f"{record.getMessage()}: {error!r}")
