"""Exports of the registry that are late, fail or are lost: in the end all lines are sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App
from tests.imports.plans import (
    NAME,
    counts,
    exports,
    imports,
    plan_job,
    pump,
    put_pumps,
    send,
    site,
    snapshots,
)

#: Minutes after which an export is asked for again whose status is not known.
GRACE = 11
#: What the hub gets of the file of `begin`, and its end.
CHANGED = ("completed", 1, 0, 1)
ALL = ("completed", 2, 0, None)


def begin(app: App) -> ImportRecord:
    """A file of two devices, one of which changes."""
    put_pumps(app, 2)
    return send(app, pump(0), pump(1, "b"))


def end(app: App) -> ImportRecord:
    app.finish()
    record = app.record(NAME)
    assert site(app, 1) == "b"
    assert len(imports(app)) == 1
    assert not snapshots(app)
    return record


def test_busy_slot_is_waited_for_without_a_deadline(planning: App) -> None:
    planning.hub.occupy_slot()
    assert begin(planning).state == "planning"
    for _ in range(6):
        planning.pass_minutes(120)
        planning.tick()
    assert planning.record(NAME).state == "planning"
    assert plan_job(planning).attempts == 1
    planning.hub.free_slot()
    planning.pass_minutes(10)
    assert counts(end(planning)) == CHANGED


@pytest.mark.parametrize("fault", ["failJob", "cancelled"])
def test_export_that_ends_without_success_is_made_again(planning: App, fault: str) -> None:
    planning.hub.faults.add("failJob" if fault == "failJob" else "hangJob")
    begin(planning)
    if fault == "cancelled":
        planning.hub.jobs.cancel(exports(planning)[0]["jobId"])
    planning.hub.wait_idle()
    planning.tick()
    assert (
        "exported again" in planning.record(NAME).failure_reason or plan_job(planning).attempts == 2
    )
    assert counts(end(planning)) == CHANGED
    assert len(exports(planning)) == 2


def test_export_that_never_succeeds_ends_in_sending_all_lines(planning: App) -> None:
    planning.configure(MAX_ATTEMPTS="3")
    planning.hub.faults.add("failJob", times=3, reason="The disk is full.")
    begin(planning)
    record = end(planning)
    assert counts(record) == ALL
    assert not record.plan.as_of
    assert "The disk is full" in record.plan.missing
    assert record.plan.missing in record.failure_reason
    assert planning.report(record)["failureReason"] == record.failure_reason
    assert len(exports(planning)) == 3


def test_export_that_cannot_be_read_is_made_again(planning: App) -> None:
    begin(planning)
    planning.hub.wait_idle()
    container = planning.blobs.get_container_client(plan_job(planning).staged.container)
    export = container.get_blob_client("devices.txt")
    export.upload_blob(export.download_blob().readall()[:-20], overwrite=True)
    planning.tick()
    assert plan_job(planning).attempts == 2
    assert counts(end(planning)) == CHANGED


@pytest.mark.parametrize("lost", ["file", "container"])
def test_export_that_was_deleted_is_made_again(planning: App, lost: str) -> None:
    begin(planning)
    planning.hub.wait_idle()
    container = planning.blobs.get_container_client(plan_job(planning).staged.container)
    if lost == "file":
        container.delete_blob("devices.txt")
    else:
        container.delete_container()
    planning.tick()
    assert plan_job(planning).attempts == 2
    assert counts(end(planning)) == CHANGED


def test_forgotten_export_is_waited_for_and_made_again(planning: App) -> None:
    begin(planning)
    planning.hub.wait_idle()
    planning.hub.faults.add("forgetJob")
    planning.tick()
    assert planning.record(NAME).state == "planning"
    assert plan_job(planning).attempts == 1
    planning.pass_minutes(GRACE)
    assert counts(end(planning)) == CHANGED


def test_export_that_is_found_late_is_used(planning: App) -> None:
    planning.hub.job_answers.get_lag = timedelta(seconds=60)
    begin(planning)
    for _ in range(8):
        planning.tick()
    assert plan_job(planning).attempts == 1
    planning.hub.job_answers.get_lag = timedelta(0)
    assert counts(end(planning)) == CHANGED
    assert len(exports(planning)) == 1


def test_answers_that_are_none_are_not_waited_for_without_a_deadline(planning: App) -> None:
    planning.configure(MAX_ATTEMPTS="2")
    begin(planning)
    planning.hub.faults.add(
        "error", operation="getJob", status=400, code="InvalidOperation", times=50
    )
    for _ in range(8):
        planning.hub.wait_idle()
        planning.tick()
        planning.pass_minutes(GRACE)
    planning.hub.faults.clear()
    record = end(planning)
    assert counts(record) == ALL
    assert record.plan.missing


def test_unreachable_hub_is_waited_for(planning: App) -> None:
    planning.configure(MAX_ATTEMPTS="2")
    begin(planning)
    planning.hub.faults.add("error", operation="getJob", status=503, times=50)
    for _ in range(8):
        planning.hub.wait_idle()
        planning.tick()
        planning.pass_minutes(60)
    assert planning.record(NAME).state == "planning"
    planning.hub.faults.clear()
    assert counts(end(planning)) == CHANGED


@pytest.mark.parametrize("kind", ["dropReply", "refuse", "error"])
def test_lost_answer_leads_to_another_export(planning: App, kind: str) -> None:
    planning.hub.faults.add(kind, operation="createJob")
    begin(planning)
    assert planning.record(NAME).state == "planning"
    assert counts(end(planning)) == CHANGED
    assert len(exports(planning)) == (2 if kind == "dropReply" else 1)


def test_lost_answer_and_refused_for_good_later(planning: App) -> None:
    planning.hub.faults.add("dropReply", operation="createJob")
    planning.hub.faults.add("error", operation="createJob", status=400, code="ArgumentInvalid")
    begin(planning)
    planning.hub.wait_idle()
    planning.tick()
    record = end(planning)
    assert counts(record) == ALL
    assert "ArgumentInvalid" in record.plan.missing


def test_answer_that_is_lost_each_time_ends_in_sending_all_lines(planning: App) -> None:
    planning.hub.faults.add("error", operation="createJob", status=500, times=50)
    begin(planning)
    planning.tick()
    assert planning.record(NAME).state == "planning"
    planning.pass_minutes(200)
    planning.tick()
    assert planning.record(NAME).plan.missing
    planning.hub.faults.clear()
    # The request for the import had no answer either.
    planning.tick()
    planning.pass_minutes(GRACE)
    assert counts(end(planning)) == ALL


def test_export_that_is_refused_until_the_deadline_ends_in_sending_all_lines(
    planning: App,
) -> None:
    planning.hub.faults.add(
        "error", operation="createJob", status=400, code="BlobContainerValidationError", times=3
    )
    begin(planning)
    planning.tick()
    planning.pass_minutes(200)
    planning.tick()
    record = end(planning)
    assert counts(record) == ALL
    assert record.plan.missing


def test_export_that_takes_too_long_is_cancelled(planning: App) -> None:
    planning.hub.faults.add("hangJob")
    begin(planning)
    planning.pass_minutes(60 * 24 * 3)
    planning.tick()
    assert exports(planning)[0]["status"] == "cancelled"
    record = end(planning)
    assert counts(record) == ALL
    assert "JOB_DEADLINE_HOURS" in record.plan.missing


def test_next_upload_waits_for_the_comparison_and_is_planned_by_itself(planning: App) -> None:
    begin(planning)
    send(planning, pump(1, "c"), pump(7), name="next.ndjson")
    assert planning.record("next.ndjson").state == "queued"
    planning.finish()
    assert counts(planning.record(NAME)) == CHANGED
    assert counts(planning.record("next.ndjson"))[0] == "completed"
    assert site(planning, 1) == "c"
