"""An operator cancels an import that is compared with the registry, at each moment."""

from __future__ import annotations

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
    rows_of,
    send,
    site,
    snapshots,
    use_lookups,
)

LINES = (pump(0), pump(1, "b"))


class Killed(BaseException):
    """Terminates the process."""


def kill_at(app: App, request: str) -> None:
    """Terminate the process before a request that contains this text."""

    def watch(line: str) -> None:
        if request in line:
            raise Killed

    app.before_request = watch


def killed(app: App, call: object) -> None:
    """Run a call in which the process is terminated; another one takes its place."""
    with pytest.raises(Killed):
        call()  # type: ignore[operator]
    app.before_request = lambda _: None
    app.configure()


def cancel(app: App) -> ImportRecord:
    return app.importer.actions.cancel(app.record(NAME))


def check_cancelled(app: App) -> None:
    """Nothing was applied, nothing is left, and the next import is not held up."""
    record = app.record(NAME)
    assert counts(record) == ("cancelled", 0, 0, None)
    assert (record.job.id, record.job_record, record.job_files) == ("", "", None)
    report = app.report(record)
    assert (report["state"], report["job"]) == ("cancelled", None)
    assert not imports(app)
    assert not rows_of(app, "job")
    assert not rows_of(app, "queue")
    send(app, pump(7, "z"), name="next.ndjson")
    app.finish()
    assert app.record("next.ndjson").state == "completed"
    assert (site(app, 1), site(app, 7)) == ("a", "z")


def test_cancelled_while_the_slot_is_busy(planning: App) -> None:
    put_pumps(planning, 2)
    planning.hub.occupy_slot()
    send(planning, *LINES)
    assert cancel(planning).state == "cancelled"
    planning.hub.free_slot()
    check_cancelled(planning)


def test_cancelled_while_the_export_runs(planning: App) -> None:
    put_pumps(planning, 2)
    planning.hub.faults.add("hangJob")
    send(planning, *LINES)
    assert cancel(planning).is_being_cancelled
    planning.tick()
    assert exports(planning)[0]["status"] == "cancelled"
    assert not snapshots(planning)
    check_cancelled(planning)


def test_cancelled_while_the_hub_does_not_answer(planning: App) -> None:
    """The export would occupy the slot, so the hub is asked until it answers."""
    put_pumps(planning, 2)
    planning.hub.faults.add("hangJob")
    send(planning, *LINES)
    cancel(planning)
    planning.hub.faults.add("error", status=503, times=2)
    for _ in range(2):
        planning.tick()
        assert planning.record(NAME).state == "planning"
        planning.pass_minutes(10)
    planning.tick()
    assert planning.record(NAME).state == "cancelled"
    assert exports(planning)[-1]["status"] == "cancelled"


def test_cancelled_while_the_hub_does_not_answer_for_long(planning: App) -> None:
    put_pumps(planning, 2)
    planning.hub.faults.add("hangJob")
    send(planning, *LINES)
    cancel(planning)
    planning.hub.faults.add("error", status=503, times=50)
    planning.tick()
    planning.pass_minutes(200)
    planning.tick()
    assert planning.record(NAME).state == "cancelled"


def test_cancelled_after_the_export_has_ended(planning: App) -> None:
    put_pumps(planning, 2)
    send(planning, *LINES)
    planning.hub.wait_idle()
    cancel(planning)
    planning.tick()
    check_cancelled(planning)


def test_cancelled_while_devices_are_looked_up(planning: App) -> None:
    """The process that looks them up does no more."""
    use_lookups(planning)
    put_pumps(planning, 2)
    done: list[ImportRecord] = []

    def cancel_once(line: str) -> None:
        if "/devices/pump-1" in line or "/twins/pump-1" in line:
            planning.before_request = lambda _: None
            done.append(cancel(planning))

    planning.before_request = cancel_once
    send(planning, *LINES)
    assert done
    check_cancelled(planning)


def test_cancelled_while_it_is_compared(planning: App) -> None:
    put_pumps(planning, 2)
    send(planning, *LINES)
    planning.hub.wait_idle()
    done: list[ImportRecord] = []

    def cancel_once(line: str) -> None:
        if "/plan-" in line:
            planning.before_request = lambda _: None
            done.append(cancel(planning))

    planning.before_request = cancel_once
    planning.tick()
    assert [record.state.value for record in done] == ["cancelled"]
    check_cancelled(planning)


@pytest.mark.parametrize("moment", ["/jobs/create", "/plan-"])
def test_cancelled_after_the_process_died(planning: App, moment: str) -> None:
    """At the request for the export, or while it was compared."""
    put_pumps(planning, 2)
    planning.upload(NAME, *LINES)
    kill_at(planning, moment)
    if moment == "/plan-":
        planning.deliver(NAME)
        planning.hub.wait_idle()
        killed(planning, planning.importer.on_tick)
    else:
        killed(planning, lambda: planning.importer.on_upload(planning.container, NAME))
    assert plan_job(planning).lease.owner
    cancel(planning)
    planning.pass_minutes(10)
    planning.tick()
    check_cancelled(planning)


def test_cancelled_once_it_is_planned_and_queued_again(planning: App) -> None:
    use_lookups(planning)
    put_pumps(planning, 2)
    planning.hub.occupy_slot()
    planned = send(planning, *LINES)
    assert planned.is_planned
    assert cancel(planning).state == "cancelled"
    planning.hub.free_slot()
    record = planning.record(NAME)
    assert counts(record) == ("cancelled", 0, 0, 1)
    assert not imports(planning)


def test_cancelled_import_is_planned_again_by_its_retry(planning: App) -> None:
    use_lookups(planning)
    put_pumps(planning, 2)
    planning.hub.occupy_slot()
    send(planning, *LINES)
    cancel(planning)
    planning.hub.free_slot()
    retry = planning.importer.actions.retry(planning.record(NAME))
    assert not retry.is_planned
    planning.finish()
    [record] = [item for item in planning.records() if item.id == retry.id]
    assert counts(record) == ("completed", 1, 0, 1)
    assert site(planning, 1) == "b"
