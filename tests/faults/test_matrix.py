"""One fault in each situation of an import: no upload is lost or applied twice, order is kept.

Each scenario runs once without a fault. Then it runs again for each request at which a
fault proves something, with that fault; after that all events are delivered again and the
timers run until no import is open. The end must not depend on the fault.

Coverage of `make test`, for the scenarios and faults in `scenarios.py` and `injection.py`:

- a lost response, a killed process, a network outage, and a takeover by another process,
  at each kind of request (method, service, row or blob) in each situation that a scenario brings
  about: the states of the imports and the columns that are set; and while a job may run, how many
  the hub has and whether it names their containers;
- storage that answers 403 or 503 from there on, at each kind of request in each combination of
  states;
- a request that is refused or answered with 500 or 429, at each kind of request to the hub in each
  situation, and at each kind of request to storage, which the SDK repeats.

A situation that several scenarios share is tested in the first of them. Scenarios with several
imports have one of these faults in turn at each kind of write in each situation, and at every third
of the reads; most scenarios of comparisons have a fifth of that. `FAULT_MATRIX=all` tests each
scenario separately, with each fault at each request; CI does so every night.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest
from azure.data.tables import TableEntity

from shared.imports.workflow import upload_scan
from tests.faults.injection import Fault, Injection
from tests.faults.invariants import check
from tests.faults.scenario import Scenario, check_end, prepare
from tests.faults.scenarios import SCENARIOS
from tests.faults.selection import Selection, select
from tests.faults.simulation import Conditions, Simulation
from tests.faults.stored_state import StorageAccount

IS_EXHAUSTIVE = os.environ.get("FAULT_MATRIX") == "all"

CASES = [
    pytest.param(name, fault, id=f"{name}-{fault.name.lower()}")
    for name, scenario in SCENARIOS.items()
    for fault in scenario.faults
]


@pytest.fixture(scope="module", autouse=True)
def _fixed_upload_age() -> Iterator[None]:
    """The number of requests of a scenario must not depend on the time of the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upload_scan, "MARGIN", timedelta(hours=1))
        yield


@pytest.fixture(scope="module")
def selection(account: StorageAccount) -> Selection:
    return select(lambda scenario: _simulation(account, scenario), is_exhaustive=IS_EXHAUSTIVE)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_fault(account: StorageAccount, name: str) -> None:
    scenario = SCENARIOS[name]
    simulation = _simulation(account, scenario)
    prepare([(scenario, simulation)])
    _play(scenario, simulation)
    sizes = [len(simulation.imports_of_job(job)) for _, job in simulation.jobs()]
    assert sizes == list(scenario.sizes) if scenario.sizes else set(sizes) <= {1}


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_one_fault(account: StorageAccount, selection: Selection, name: str, fault: Fault) -> None:
    scenario = SCENARIOS[name]
    injections = [Injection(position, fault) for position in selection[name, fault]]
    simulations = [_simulation(account, scenario, injection) for injection in injections]
    prepare([(scenario, simulation) for simulation in simulations])
    for injection, simulation in zip(injections, simulations, strict=True):
        try:
            _play(scenario, simulation)
        except AssertionError as error:
            error.add_note(f"{name}: {injection}, {simulation.injector.request_at(injection)}")
            raise
        assert simulation.injector.request_at(injection), f"{injection} never happened"


def _simulation(account: StorageAccount, scenario: Scenario, *injections: Injection) -> Simulation:
    conditions = Conditions(echo=scenario.echo, settings=scenario.settings)
    return Simulation(account, injections, conditions)


def _play(scenario: Scenario, simulation: Simulation) -> None:
    with simulation:
        scenario.play(simulation)
        simulation.settle()
        if scenario.faults != tuple(Fault):
            # Processing of final imports may have been interrupted.
            simulation.sweep()
            simulation.sweep()
        try:
            _check(simulation, scenario)
        except AssertionError as error:
            reasons = [(record.file, record.failure_reason) for record in simulation.records()]
            error.add_note(str(reasons))
            raise


def _check(simulation: Simulation, scenario: Scenario) -> None:
    """Check the invariants and the scenario's end against hub and storage."""
    check(simulation)
    check_end(simulation, scenario)
    _final_records_do_not_change(simulation)


def _final_records_do_not_change(simulation: Simulation) -> None:
    """A final record does not change, also if the event of its upload is repeated."""
    before = _rows_of_imports(simulation)
    jobs = len(simulation.jobs())
    for name in simulation.uploaded:
        simulation.deliver(name)
    simulation.tick()
    assert _rows_of_imports(simulation) == before
    assert len(simulation.jobs()) == jobs


def _rows_of_imports(simulation: Simulation) -> list[TableEntity]:
    timers = ("(app)", "(sweep)")
    return [row for row in simulation.rows() if row["PartitionKey"] not in timers]
