"""Scenarios of imports that are compared with the registry, which send only what changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shared.imports.app import Importer
from tests.faults.scenario import (
    BOTH,
    INTERRUPTIONS,
    A,
    B,
    Scenario,
    cancel_imports,
    repeat_until_done,
    retry_ended,
    take,
)
from tests.faults.simulation import Simulation, device

SETTINGS = {"APPLY": "changes"}
#: For all but the first scenarios: most of their situations are alike.
SAMPLE = 5


def _one_of_two_changes(simulation: Simulation) -> None:
    for id_, number in (("pump-1", 1), ("pump-2", 0)):
        simulation.hub.registry.put(device(id_, tags={"n": number}))
    simulation.upload(A, device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 1}))


def _nothing_changes(simulation: Simulation) -> None:
    for id_ in ("pump-1", "pump-2"):
        simulation.hub.registry.put(device(id_, tags={"n": 1}))
    simulation.upload(A, device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 1}))


def _one_would_fail(simulation: Simulation) -> None:
    simulation.hub.registry.put(device("pump-1", tags={"n": 0}))
    simulation.upload(
        A,
        device("pump-1", tags={"n": 1}, importMode="create"),
        device("pump-2", tags={"n": 1}),
    )


def _next_file(simulation: Simulation) -> None:
    simulation.upload(B, device("pump-1", tags={"n": 2}))


def _looked_up(simulation: Simulation) -> None:
    """The policy of the other scenarios does not allow that twins are read."""
    iothub = simulation.hub.connection_string("iothubowner")
    simulation.deploy(simulation.with_hubs(iothub))
    simulation.deliver(A)
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _exported(simulation: Simulation) -> None:
    simulation.deliver(A)
    _from_export(simulation)


def _from_export(simulation: Simulation) -> None:
    """The export ends, then the job of the import."""
    for _ in range(2):
        simulation.wait()
        simulation.tick()


def _with_fault(kind: str, **rule: str) -> Callable[[Simulation], None]:
    """The hub has a fault at the export."""

    def play(simulation: Simulation) -> None:
        simulation.hub.faults.add(kind, **rule)
        simulation.without_fault(take(A))
        simulation.tick()
        _from_export(simulation)

    return play


def _at_busy_hub(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    simulation.without_fault(take(A))
    simulation.tick()
    simulation.hub.free_slot()
    simulation.tick()
    _from_export(simulation)


def _reply_to_import_lost(simulation: Simulation) -> None:
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.hub.faults.add("dropReply", operation="createJob")
    simulation.without_fault(Importer.on_tick)
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _cancelled(simulation: Simulation) -> None:
    simulation.hub.faults.add("hangJob")
    simulation.job_hangs = True
    simulation.without_fault(take(A))
    repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.tick()
    simulation.tick()


def _two_files(simulation: Simulation) -> None:
    """The younger one waits for both jobs of the older one."""
    simulation.without_fault(take(A, B))
    for _ in range(4):
        simulation.wait()
        simulation.tick()


def _overwritten(simulation: Simulation) -> None:
    simulation.without_fault(take(A))
    simulation.upload(A, device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 2}))
    simulation.without_fault(take(A))
    for _ in range(4):
        simulation.wait()
        simulation.tick()


def _retried(simulation: Simulation) -> None:
    """The job of the import failed."""
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.hub.faults.add("failJob")
    simulation.without_fault(Importer.on_tick)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    retry_ended(simulation, A)
    simulation.tick()
    _from_export(simulation)


_scenario = partial(Scenario, settings=SETTINGS, faults=INTERRUPTIONS, sample=SAMPLE)
_every_fault = partial(Scenario, settings=SETTINGS)
_CHANGES = (_one_of_two_changes,)
_COMPLETED = {A: "completed"}

PLANNED = {
    "plan by export": _every_fault(_CHANGES, _exported, _COMPLETED, BOTH, sizes=(1,)),
    "plan by lookups": _every_fault(_CHANGES, _looked_up, _COMPLETED, BOTH, sizes=(1,)),
    "plan, nothing to send": _scenario((_nothing_changes,), _exported, _COMPLETED, BOTH, sizes=()),
    "plan, one would fail": _scenario(
        (_one_would_fail,),
        _exported,
        {A: "completedWithErrors"},
        {"pump-1": 0, "pump-2": 1},
        sizes=(1,),
    ),
    "plan, hub busy": _scenario(_CHANGES, _at_busy_hub, _COMPLETED, BOTH, sizes=(1,)),
    "plan, export fails": _scenario(_CHANGES, _with_fault("failJob"), _COMPLETED, BOTH, sizes=(1,)),
    "plan, reply lost": _scenario(
        _CHANGES, _with_fault("dropReply", operation="createJob"), _COMPLETED, BOTH, sizes=(1,)
    ),
    "plan, reply to the import lost": _scenario(
        _CHANGES, _reply_to_import_lost, _COMPLETED, BOTH, sizes=(1,)
    ),
    "plan, cancelled": _scenario(
        _CHANGES, _cancelled, {A: "cancelled"}, {"pump-1": 1, "pump-2": 0}
    ),
    "plan, two files": _scenario(
        (_one_of_two_changes, _next_file),
        _two_files,
        {A: "completed", B: "completed"},
        {"pump-1": 2, "pump-2": 1},
        sizes=(1, 1),
    ),
    "plan, overwritten": _scenario(
        _CHANGES, _overwritten, _COMPLETED, {"pump-1": 1, "pump-2": 2}, sizes=(1, 1)
    ),
    "plan, retried": _scenario(
        _CHANGES,
        _retried,
        {A: "failed", f"retry of {A}": "completed"},
        BOTH,
        sizes=(1, 1),
    ),
}
