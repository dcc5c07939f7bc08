"""A process stalls at a request of a group, a comparison or an undo, and others come first.

That another process has done all pending work meanwhile is `Fault.OVERTAKEN` of the matrix. Here,
before the stalled process sends its request, an operator has also cancelled imports or retried
them, or the job of a later upload has taken the hub's slot. `make test` has these three by turns at
every second request; `FAULT_MATRIX=all` has each of them at each request.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.faults.disturbances import NEXT, STALLS
from tests.faults.groups import GROUPS
from tests.faults.guarded import GUARDED
from tests.faults.injection import Injection
from tests.faults.invariants import HistoryCheck, check
from tests.faults.scenario import prepare
from tests.faults.scenarios import SCENARIOS
from tests.faults.simulation import Conditions, Simulation
from tests.faults.stored_state import StorageAccount
from tests.faults.test_matrix import IS_EXHAUSTIVE

Stall = Callable[[Simulation, random.Random], None]

#: Comparisons have half as many turns, and those that are held or undone a quarter.
NAMES = (
    *("group", "group, hub busy", "group, reply lost", "plan by export"),
    *("held, approved", "undone"),
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stall", STALLS)
def test_stalled_process(account: StorageAccount, name: str, stall: Stall) -> None:
    scenario = SCENARIOS[name]
    conditions = Conditions(echo=scenario.echo, settings=scenario.settings)
    with Simulation(account, (), conditions) as simulation:
        prepare([(scenario, simulation)])
        scenario.play(simulation)
        count = len(simulation.injector.requests)
    positions = range(count)
    if not IS_EXHAUSTIVE:
        turns = 2 * len(STALLS)
        if name not in GROUPS:
            turns *= 4 if name in GUARDED else 2
        positions = range(2 * STALLS.index(stall) + NAMES.index(name) % 2, count, turns)
    simulations = [Simulation(account, (), conditions) for _ in positions]
    prepare([(scenario, simulation) for simulation in simulations])
    for position, simulation in zip(positions, simulations, strict=True):
        _play(name, simulation, position, stall)


def _play(name: str, simulation: Simulation, position: int, stall: Stall) -> None:
    scenario = SCENARIOS[name]
    simulation.after_invocation = HistoryCheck(simulation).check
    rng = random.Random(position)
    simulation.injector.add(Injection(position, lambda: stall(simulation, rng)))
    try:
        with simulation:
            scenario.play(simulation)
            simulation.settle()
            check(simulation)
            for record in simulation.records():
                ends = {scenario.states.get(record.file, "completed"), "cancelled"}
                is_expected = record.state in ends or record.has_unknown_counts
                assert is_expected or record.file == NEXT, (record.file, record.failure_reason)
    except Exception as error:
        error.add_note(f"{name}: {stall.__name__} at {simulation.injector.requests[position]}")
        for note in simulation.notes:
            error.add_note(note)
        raise
