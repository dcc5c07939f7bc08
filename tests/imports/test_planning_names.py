"""The files of a planned import whose request had no answer, or whose job's row was lost."""

from __future__ import annotations

import pytest

from shared.imports.model.job import JobState
from shared.imports.model.record import ImportRecord
from shared.imports.workflow.job_ends import JobEnds
from tests.app import NO_ECHO, App
from tests.imports.plans import (
    NAME,
    counts,
    imports,
    pump,
    put_pumps,
    retry_lines,
    rows_of,
    send,
    site,
    use_lookups,
)

#: Minutes; longer than the delay until a log, or the job of a lost request, appears.
GRACE = 11
LINES = (pump(0), pump(1, "b"), pump(2, "b"))
CHANGED = ("completed", 2, 0, 1)


def begin(app: App, *faults: str) -> ImportRecord:
    use_lookups(app)
    put_pumps(app, 3)
    for fault in faults:
        app.hub.faults.add(fault, operation="createJob")
    return send(app, *LINES)


def names(app: App, start: str) -> list[str]:
    return list(app.container_of(app.record(NAME)).list_blob_names(name_starts_with=start))


def finish(app: App) -> ImportRecord:
    for _ in range(4):
        app.hub.wait_idle()
        app.tick()
        app.pass_minutes(GRACE)
    app.finish()
    return app.record(NAME)


@pytest.mark.parametrize("hub", [{}, {"choices": NO_ECHO}], indirect=True)
def test_file_of_a_lost_request_is_renamed_and_the_lines_of_the_user_stay(planning: App) -> None:
    record = begin(planning, "refuse")
    former = record.planned.name
    planning.tick()
    record = planning.record(NAME)
    assert record.state == "starting"
    assert record.planned.generation == 1
    assert record.staged.generation == 0
    assert names(planning, "planned-") == [record.planned.name]
    assert former not in names(planning, "")
    assert names(planning, "devices") == ["devices.txt"]
    record = finish(planning)
    assert counts(record) == CHANGED
    assert len(imports(planning)) == 1
    assert names(planning, "devices") == ["devices.txt"]


def test_reply_was_lost_and_lines_fail(planning: App) -> None:
    """The retry has the lines of the user although the sent file was renamed."""
    begin(planning, "refuse")
    planning.tick()
    planning.hub.registry.put(pump(1, "theirs"))
    record = finish(planning)
    assert counts(record) == ("completedWithErrors", 1, 1, 1)
    assert retry_lines(planning, record) == [pump(1, "b")]
    assert site(planning, 1) == "theirs"


def test_cancelled_after_a_lost_request(planning: App) -> None:
    begin(planning, "refuse")
    planning.tick()
    planning.importer.actions.cancel(planning.record(NAME))
    record = finish(planning)
    assert record.state == "cancelled"
    assert not imports(planning)


@pytest.mark.parametrize("lost", ["deleted", "edited"])
def test_row_of_the_job_is_restored(planning: App, lost: str) -> None:
    record = begin(planning)
    assert record.state == "running"
    [row] = rows_of(planning, "job")
    if lost == "deleted":
        planning.table.delete_entity(row["PartitionKey"], row["RowKey"])
    else:
        planning.table.upsert_entity({**row, "state": "nonsense"})
    record = finish(planning)
    assert counts(record) == CHANGED
    assert record.job.id
    assert record.planned.container
    assert names(planning, "devices") == ["devices.txt"]
    assert len(imports(planning)) == 1


def test_dissolved_job_keeps_its_plan(planning: App) -> None:
    planning.hub.occupy_slot()
    record = begin(planning)
    services = planning.importer.services
    [job] = services.jobs.all(planning.hub.address).values()
    assert job.state is JobState.REFUSED
    JobEnds(services).dissolve(job)
    queued = planning.record(NAME)
    assert (queued.state.value, queued.plan, queued.planned) == (
        *("queued", record.plan, record.planned),
    )
    planning.hub.free_slot()
    assert counts(finish(planning)) == CHANGED
