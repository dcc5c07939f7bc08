"""Invariants of approval, backup and undo, and of the events of each import."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceNotFoundError

from iothub_emulator.jobs.history import Job
from iothub_emulator.jobs.request import JobRequest, JobType
from shared.imports.model.keys import event_name_of, import_id_of
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import ActName, When
from shared.imports.model.states import ImportState

if TYPE_CHECKING:
    from tests.faults.simulation import Simulation

__all__ = ["check_safeguards", "no_export_is_left", "watch_jobs"]


def watch_jobs(simulation: Simulation) -> None:
    """Note each job that the hub gets although an approval or a backup is missing by then."""
    create = simulation.hub.jobs.create

    def create_watched(request: JobRequest) -> Job:
        if request.type is JobType.IMPORT:
            simulation.unguarded_jobs += _missing_safeguards(simulation, request)
        return create(request)

    simulation.hub.jobs.create = create_watched  # type: ignore[method-assign]


def _missing_safeguards(simulation: Simulation, request: JobRequest) -> list[str]:
    container = urlsplit(request.input_uri).path.rpartition("/")[2]
    try:
        data = simulation.blobs.get_blob_client(container, request.input_blob_name).download_blob()
        lines = [json.loads(line) for line in data.readall().splitlines()]
    except (ResourceNotFoundError, ValueError):
        # The hub will not find it, or somebody has edited it.
        return []
    deletes = [line for line in lines if line.get("importMode", "").startswith("delete")]
    job = container.split("-")[1]
    members = set(simulation.members_of(job)) - simulation.edited
    missing = []
    for record in simulation.records():
        if record.id not in members:
            continue
        if _needs_approval(record, len(deletes)) and not _has(record, ActName.APPROVE):
            missing.append(f"{record.file}: {len(deletes)} deletes without approval")
        if _needs_backup(record, len(deletes)):
            ids = {line["id"] for line in backup_lines(simulation, record) or ()}
            lost = [line["id"] for line in deletes if line["id"] not in ids]
            if not ids or lost:
                missing.append(f"{record.file}: no backup of {lost}")
    return missing


def _needs_approval(record: ImportRecord, deletes: int) -> bool:
    approval = record.safeguards.approval
    is_destructive = deletes > (record.safeguards.unapproved or 0)
    return approval is When.ALWAYS or (approval is When.DESTRUCTIVE and is_destructive)


def _needs_backup(record: ImportRecord, deletes: int) -> bool:
    backup = record.safeguards.backup
    return bool(record.undo_of) or (
        backup is When.ALWAYS or (backup is When.DESTRUCTIVE and deletes > 0)
    )


def _has(record: ImportRecord, name: ActName) -> bool:
    return any(act.name is name for act in record.acts)


def backup_lines(simulation: Simulation, record: ImportRecord) -> list[dict[str, Any]] | None:
    """The backup that a record names; None if there is none."""
    if not record.backup.container:
        return None
    blob = simulation.blobs.get_blob_client(record.backup.container, record.backup.name)
    try:
        return [json.loads(line) for line in blob.download_blob().readall().splitlines()]
    except ResourceNotFoundError:
        return None


def check_safeguards(
    simulation: Simulation,
    records: Sequence[ImportRecord],
    rows: Sequence[Mapping[str, Any]],
    edited: set[str],
) -> None:
    """Check what approval, backup and undo promise of imports that nobody edited."""
    assert not simulation.unguarded_jobs
    left = [row["RowKey"] for row in rows if row["RowKey"].startswith("held-")]
    held = {record.id for record in records if record.state is ImportState.HELD}
    assert {import_id_of(key) for key in left} - edited <= held, left
    for record in records:
        if record.id not in edited:
            _decisions_agree_with_end(record)
            _backup_is_kept(simulation, record)
    if simulation.keeps_events:
        _events_are_complete(records, rows, edited)


def _decisions_agree_with_end(record: ImportRecord) -> None:
    """One decision about each hold; what was declined or not decided reaches no hub."""
    states = [state for state, _ in record.history]
    holds = states.count(ImportState.HELD)
    acts = [act.name for act in record.acts]
    decisions = acts.count(ActName.APPROVE) + acts.count(ActName.DECLINE)
    assert decisions <= holds, (record.file, states, acts)
    is_approved = ActName.APPROVE in acts
    assert not (is_approved and ActName.DECLINE in acts), (record.file, acts)
    if holds and not is_approved:
        summary = (record.file, states, record.imported, record.failed)
        assert record.state in ("held", "cancelled", "superseded", "failed"), summary
        assert (record.imported or 0, record.failed or 0, record.job.id) == (0, 0, ""), summary
    if is_approved:
        after = states[states.index(ImportState.HELD) + 1]
        assert after == ImportState.QUEUED, (record.file, states)


def _backup_is_kept(simulation: Simulation, record: ImportRecord) -> None:
    """What can be undone has a whole backup, whose container no hub reaches."""
    if not record.can_be_undone or simulation.are_records_pruned:
        return
    lines = backup_lines(simulation, record)
    assert lines is not None, f"{record.file} has no backup"
    assert len(lines) == (record.backup_lines or 0), record.file
    assert record.backup.container == f"backup-{record.id}"


def _events_are_complete(
    records: Iterable[ImportRecord], rows: Iterable[Mapping[str, Any]], edited: set[str]
) -> None:
    """One event of each hold, of each approval and of each end, with an id of its own."""
    found: Counter[tuple[str, str]] = Counter()
    ids: Counter[str] = Counter()
    for row in rows:
        if row["RowKey"].startswith("send-"):
            found[import_id_of(row["RowKey"]), event_name_of(row["RowKey"])] += 1
            if "event" in row:
                ids[json.loads(row["event"])["id"]] += 1
    wanted: Counter[tuple[str, str]] = Counter()
    for record in records:
        before = None
        for number, (state, _) in enumerate(record.history, 1):
            is_approval = before is ImportState.HELD and state is ImportState.QUEUED
            if state is ImportState.HELD or is_approval:
                wanted[record.id, f"{state}{number}"] += 1
            before = state
        if record.state.is_final:
            wanted[record.id, ""] += 1
    for counter in (found, wanted):
        for key in [key for key in counter if key[0] in edited]:
            del counter[key]
    assert found == wanted
    assert set(ids.values()) <= {1}, ids


def no_export_is_left(simulation: Simulation) -> None:
    """Containers of exports that a process left behind were deleted."""
    containers = simulation.blobs.list_containers("import-", include_metadata=True)
    left = [
        container.name
        for container in containers
        if "-snapshot-" in container.name
        and (container.metadata or {}).get("table") == simulation.table.table_name
    ]
    assert not left
