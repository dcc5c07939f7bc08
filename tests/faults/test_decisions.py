"""Two things happen to a held import at the same time: one of them counts, as a whole.

One process acts; at one of its requests another process, or another operator, does something else
with the import, from beginning to end. `make test` has some of these requests;
`FAULT_MATRIX=all` has all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.imports.app import Importer
from tests.faults.decisions import approve, decide, decline
from tests.faults.guarded import AFTER, BEFORE, GUARDED
from tests.faults.injection import Injection
from tests.faults.invariants import HistoryCheck, check
from tests.faults.scenario import DEVICES, A, cancel_imports, prepare, take
from tests.faults.simulation import Conditions, Simulation, device
from tests.faults.stored_state import StorageAccount
from tests.faults.test_matrix import IS_EXHAUSTIVE

Action = Callable[[Simulation, Importer], object]

SCENARIO = GUARDED["held, approved"]
#: The devices after the file that overwrites the held one.
OVERWRITTEN = {"pump-1": 2, "pump-2": 2}


def _approve(_: Simulation, importer: Importer) -> None:
    approve(importer)


def _approve_and_tick(_: Simulation, importer: Importer) -> None:
    approve(importer)
    importer.on_tick()


def _decline(_: Simulation, importer: Importer) -> None:
    decline(importer)


def _cancel(simulation: Simulation, importer: Importer) -> None:
    cancel_imports(simulation, A)(importer)


def _pass_deadline(simulation: Simulation, importer: Importer) -> None:
    simulation.pass_time(timedelta(days=8))
    importer.on_sweep()


def _sweep(_: Simulation, importer: Importer) -> None:
    importer.on_sweep()


def _overwrite(simulation: Simulation, importer: Importer) -> None:
    simulation.upload(A, device("pump-1", tags={"n": 2}), device("pump-2", tags={"n": 2}))
    take(A)(importer)
    importer.on_sweep()


ACTIONS: dict[str, Action] = {
    "approve": _approve,
    "approve and start": _approve_and_tick,
    "decline": _decline,
    "cancel": _cancel,
    "deadline": _pass_deadline,
    "sweep": _sweep,
    "overwrite": _overwrite,
}
#: Of the 49 pairs, those that `make test` has; each at every eighth request.
PAIRS = [
    ("approve", "approve and start"),
    ("approve", "decline"),
    ("approve", "deadline"),
    ("approve", "overwrite"),
    ("decline", "approve and start"),
    ("cancel", "approve and start"),
    ("deadline", "approve and start"),
    ("sweep", "decline"),
]
if IS_EXHAUSTIVE:
    PAIRS = [(first, second) for first in ACTIONS for second in ACTIONS]


def _simulation(account: StorageAccount) -> Simulation:
    return Simulation(account, (), Conditions(settings=SCENARIO.settings))


def _hold(simulation: Simulation) -> None:
    simulation.without_fault(take(A))
    decide(simulation, A, lambda _: None)
    [record] = simulation.records()
    assert record.state == "held"


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_one_of_two_decisions_counts(account: StorageAccount, first: str, second: str) -> None:
    with _simulation(account) as simulation:
        prepare([(SCENARIO, simulation)])
        _hold(simulation)
        start = len(simulation.injector.requests)
        simulation.invoke(lambda importer: ACTIONS[first](simulation, importer))
        positions = range(start, len(simulation.injector.requests))
    if not IS_EXHAUSTIVE:
        turn = PAIRS.index((first, second)) % 3
        # The last one is a write.
        positions = positions[::-1][turn::8]
    simulations = [_simulation(account) for _ in positions]
    prepare([(SCENARIO, simulation) for simulation in simulations])
    for position, simulation in zip(positions, simulations, strict=True):
        try:
            _play(simulation, first, second, position)
        except AssertionError as error:
            error.add_note(f"at {simulation.injector.requests[position]}")
            raise


def _play(simulation: Simulation, first: str, second: str, position: int) -> None:
    simulation.after_invocation = HistoryCheck(simulation).check

    def interfere() -> None:
        simulation.without_fault(lambda importer: ACTIONS[second](simulation, importer))

    with simulation:
        _hold(simulation)
        simulation.injector.add(Injection(position, interfere))
        simulation.invoke(lambda importer: ACTIONS[first](simulation, importer))
        assert len(simulation.injector.requests) > position
        simulation.settle()
        check(simulation)
        _is_done_or_undone(simulation)


def _is_done_or_undone(simulation: Simulation) -> None:
    """The import was applied as a whole after its approval, or not at all."""
    stored = {id_: simulation.hub.registry.get(id_) for id_ in DEVICES}
    numbers = {id_: line["tags"]["n"] for id_, line in stored.items() if line}
    [id_, *newer] = simulation.ids_of(A)
    states = {record.id: record for record in simulation.records()}
    record = states[id_]
    assert record.failed == 0, record.failure_reason
    assert record.state in ("completed", "cancelled", "superseded"), record.failure_reason
    wanted = AFTER if record.state == "completed" else BEFORE
    for newer_id in newer:
        assert states[newer_id].state == "completed"
        wanted = {**wanted, **OVERWRITTEN}
    assert numbers == wanted
