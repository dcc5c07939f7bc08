"""Scenarios of imports that are approved or declined, backed up and undone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from shared.imports.app import Importer
from tests.faults.decisions import (
    approve,
    cancel_undo,
    decide,
    decline,
    decline_then_approve_retry,
    is_final,
    undo_ended,
    until,
)
from tests.faults.safeguards import no_export_is_left
from tests.faults.scenario import (
    INTERRUPTIONS,
    RETRY_OF_A,
    A,
    B,
    Scenario,
    cancel_imports,
    next_second,
    repeat_until_done,
    retry_ended,
    take,
)
from tests.faults.simulation import Simulation, device

EVENTS = {"EVENTS_URL": "https://events.example.com/"}
#: One delete needs an approval.
APPROVAL = {"APPROVAL": "destructive", "MAX_DELETES": "0", "APPROVAL_HUB_SHARE": "1", **EVENTS}
BACKUP = {"BACKUP": "destructive", **EVENTS}
BOTH_SAFEGUARDS = APPROVAL | BACKUP
#: For most scenarios, whose situations are alike.
SAMPLE = 7
UNDO_OF_A = f"undo of {A}"

#: The registry before, and after the file was applied.
BEFORE = {"pump-1": 0, "pump-2": 0}
AFTER = {"pump-2": 1, "pump-3": 1}


def _delete_update_create(simulation: Simulation) -> None:
    for id_ in BEFORE:
        simulation.hub.registry.put(device(id_, tags={"n": 0}))
    simulation.upload(
        A,
        device("pump-1", importMode="delete"),
        device("pump-2", tags={"n": 1}),
        device("pump-3", tags={"n": 1}),
    )


def _with_module(simulation: Simulation) -> None:
    _delete_update_create(simulation)
    simulation.hub.registry.put({**device("pump-1", tags={"n": 3}), "moduleId": "m1"})


def _other_file(simulation: Simulation) -> None:
    simulation.upload(B, device("pump-2", tags={"n": 5}, importMode="createOrUpdate"))


def _jobs_run(simulation: Simulation, jobs: int = 1) -> None:
    for _ in range(jobs):
        simulation.wait()
        simulation.tick()


def _held_then(decision: Callable[[Importer], object]) -> Callable[[Simulation], None]:
    def play(simulation: Simulation) -> None:
        simulation.deliver(A)
        _jobs_run(simulation)
        decide(simulation, A, decision)
        simulation.tick()
        _jobs_run(simulation)

    return play


def _hold(simulation: Simulation) -> None:
    """Without faults."""
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.without_fault(Importer.on_tick)


def _cancelled(simulation: Simulation) -> None:
    _hold(simulation)
    repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.tick()


def _deadline_passes(simulation: Simulation) -> None:
    _hold(simulation)
    simulation.pass_time(timedelta(days=8))
    simulation.sweep()
    simulation.tick()


def _overwritten(simulation: Simulation) -> None:
    _hold(simulation)
    next_second()
    simulation.upload(A, device("pump-1", tags={"n": 2}), device("pump-2", tags={"n": 2}))
    simulation.deliver(A)
    simulation.sweep()
    _jobs_run(simulation)


def _former_is_superseded(simulation: Simulation) -> None:
    ids = simulation.ids_of(A)
    states = {record.id: record.state.value for record in simulation.records()}
    assert [states[id_] for id_ in ids] == ["superseded", "completed"]


def _device_changed_meanwhile(simulation: Simulation) -> None:
    """Another import changes a device while the first one is held."""
    _hold(simulation)
    simulation.without_fault(take(B))
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    decide(simulation, A, approve)
    simulation.tick()
    _jobs_run(simulation)


def _declined_and_retried(simulation: Simulation) -> None:
    _hold(simulation)
    simulation.without_fault(decline)
    retry_ended(simulation, A)
    simulation.tick()
    _jobs_run(simulation)
    decide(simulation, RETRY_OF_A, approve)
    simulation.tick()
    _jobs_run(simulation)


def _no_snapshot(
    decision: Callable[[Importer], object] | None = None,
) -> Callable[[Simulation], None]:
    """All exports fail."""

    def play(simulation: Simulation) -> None:
        simulation.hub.faults.add("failJob", times=20)
        simulation.deliver(A)
        for _ in range(3):
            _jobs_run(simulation)
        if decision is not None:
            decide(simulation, A, decision)
        else:
            until(simulation, A, is_final)
        simulation.hub.faults.clear()
        simulation.tick()
        _jobs_run(simulation)

    return play


def _backed_up(simulation: Simulation) -> None:
    simulation.deliver(A)
    _jobs_run(simulation, 2)


def _import(simulation: Simulation) -> None:
    """Without faults."""
    simulation.without_fault(take(A))
    for _ in range(2):
        simulation.wait()
        simulation.without_fault(Importer.on_tick)


def _undo(simulation: Simulation, name: str = A) -> None:
    undo_ended(simulation, name)
    simulation.tick()
    # The export, the devices, and modules of devices that are made again.
    _jobs_run(simulation, 3)


def _undone(simulation: Simulation) -> None:
    _import(simulation)
    _undo(simulation)


def _undone_before_next(simulation: Simulation) -> None:
    """A file that waits behind an undo also waits for its second job."""
    _import(simulation)
    undo_ended(simulation, A)
    next_second()
    simulation.upload(B, device("pump-4", tags={"n": 1}, importMode="create"))
    simulation.without_fault(take(B))
    simulation.tick()
    _jobs_run(simulation, 4)


def _undone_twice(simulation: Simulation) -> None:
    """The import, and its undo."""
    _import(simulation)
    undo_ended(simulation, A)
    simulation.without_fault(Importer.on_tick)
    _undo(simulation, UNDO_OF_A)


def _modules_cancelled(simulation: Simulation) -> None:
    """The undo is cancelled after its first job."""
    _import(simulation)
    undo_ended(simulation, A)
    simulation.without_fault(Importer.on_tick)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.wait()
    simulation.hub.occupy_slot()
    simulation.without_fault(Importer.on_tick)
    repeat_until_done(simulation, cancel_undo)
    simulation.hub.free_slot()
    simulation.tick()


def _modules_are_left(simulation: Simulation) -> None:
    """What the first job did is not said to be nothing, and can be undone."""
    [undo] = [record for record in simulation.records() if record.undo_of]
    assert (undo.imported, undo.failed) == (None, None)
    assert undo.can_be_undone
    assert "No device was changed" not in undo.failure_reason
    assert "1 module was not created again" in undo.failure_reason
    _module_is_there(simulation, is_there=False)


def _undo_approved(simulation: Simulation) -> None:
    """An undo that deletes needs an approval as well."""
    _hold(simulation)
    simulation.without_fault(approve)
    for _ in range(2):
        simulation.without_fault(Importer.on_tick)
        simulation.wait()
    undo_ended(simulation, A)
    simulation.tick()
    _jobs_run(simulation)
    decide(simulation, UNDO_OF_A, approve)
    simulation.tick()
    _jobs_run(simulation, 2)


def _exports_are_deleted(simulation: Simulation) -> None:
    """At the latest by a sweep some hours later."""
    simulation.pass_time(timedelta(hours=30))
    simulation.without_fault(Importer.on_sweep)
    no_export_is_left(simulation)


def _module_is_there(simulation: Simulation, *, is_there: bool = True) -> None:
    module = simulation.hub.registry.get("pump-1", "m1")
    assert (module is not None) == is_there
    if module is not None:
        assert module["tags"] == {"n": 3}
        assert (
            module["authentication"]["symmetricKey"] == device("")["authentication"]["symmetricKey"]
        )
    _exports_are_deleted(simulation)


_scenario = partial(
    Scenario, settings=BOTH_SAFEGUARDS, faults=INTERRUPTIONS, sample=SAMPLE, decide=approve
)
_declining = partial(_scenario, decide=decline)
_backing_up = partial(_scenario, settings=BACKUP, decide=None)
_FILE = (_delete_update_create,)
_MODULE = (_with_module,)
_COMPLETED = {A: "completed"}
_CANCELLED = {A: "cancelled"}

GUARDED = {
    "held, approved": _scenario(
        _FILE, _held_then(approve), _COMPLETED, AFTER, sizes=(1,), check=_exports_are_deleted
    ),
    "held, declined": _declining(_FILE, _held_then(decline), _CANCELLED, BEFORE),
    "held, cancelled": _declining(_FILE, _cancelled, _CANCELLED, BEFORE),
    "held, deadline passes": _declining(_FILE, _deadline_passes, _CANCELLED, BEFORE),
    "held, overwritten": _scenario(
        _FILE,
        _overwritten,
        _COMPLETED,
        {"pump-1": 2, "pump-2": 2},
        sizes=(1,),
        check=_former_is_superseded,
        decide=None,
    ),
    "held, device changed": _scenario(
        (_delete_update_create, _other_file),
        _device_changed_meanwhile,
        {A: "completedWithErrors", B: "completed"},
        {"pump-2": 5, "pump-3": 1},
        sizes=(1, 1),
    ),
    "held, declined, retried": _scenario(
        _FILE,
        _declined_and_retried,
        {A: "cancelled", RETRY_OF_A: "completed"},
        AFTER,
        sizes=(1,),
        decide=decline_then_approve_retry,
    ),
    "held without plan": _scenario(
        _FILE,
        _no_snapshot(approve),
        _COMPLETED,
        AFTER,
        settings={**APPROVAL, "MAX_ATTEMPTS": "2"},
        sizes=(1,),
    ),
    "no backup": _backing_up(
        _FILE, _no_snapshot(), {A: "failed"}, BEFORE, settings={**BACKUP, "MAX_ATTEMPTS": "2"}
    ),
    "backed up": _backing_up(
        _FILE, _backed_up, _COMPLETED, AFTER, sizes=(1,), check=_exports_are_deleted
    ),
    "undone": _backing_up(
        _MODULE,
        _undone,
        {A: "completed", UNDO_OF_A: "completed"},
        BEFORE,
        check=_module_is_there,
    ),
    "undone before the next file": _backing_up(
        _MODULE,
        _undone_before_next,
        {A: "completed", UNDO_OF_A: "completed", B: "completed"},
        {**BEFORE, "pump-4": 1},
        check=_module_is_there,
    ),
    "undone twice": _backing_up(
        _MODULE,
        _undone_twice,
        {A: "completed", UNDO_OF_A: "completed", f"undo of {UNDO_OF_A}": "completed"},
        AFTER,
        check=partial(_module_is_there, is_there=False),
    ),
    "undone, modules cancelled": _backing_up(
        _MODULE,
        _modules_cancelled,
        {A: "completed", UNDO_OF_A: "cancelled"},
        BEFORE,
        check=_modules_are_left,
    ),
    "undo approved": _scenario(
        _MODULE,
        _undo_approved,
        {A: "completed", UNDO_OF_A: "completed"},
        BEFORE,
        check=_module_is_there,
    ),
}
