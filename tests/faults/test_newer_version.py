"""A newer version of the app writes rows of a group, or of an import that is held, at any time,
and is rolled back later.

Such rows are left alone, whatever this version does with others.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from azure.data.tables import TableEntity, UpdateMode

from shared.imports.store.rows import SCHEMA
from tests.faults.injection import READS, Injection
from tests.faults.invariants import HistoryCheck, check
from tests.faults.scenario import B, Scenario, check_end, prepare
from tests.faults.scenarios import SCENARIOS
from tests.faults.simulation import Conditions, Simulation
from tests.faults.stored_state import StorageAccount
from tests.faults.test_matrix import IS_EXHAUSTIVE

NAMES = ("group", "group, hub busy")


def _member(simulation: Simulation, row: TableEntity) -> bool:
    key: str = row["RowKey"]
    return key.startswith("import-") and key.endswith(simulation.ids_of(B)[0])


def _job(_: Simulation, row: TableEntity) -> bool:
    return bool(row["RowKey"].startswith("job-"))


def _all(_: Simulation, row: TableEntity) -> bool:
    return bool(row["RowKey"].startswith(("import-", "job-", "queue-", "held-")))


#: Which rows the newer version has written.
ROWS: dict[str, Callable[[Simulation, TableEntity], bool]] = {
    "a member": _member,
    "the job": _job,
    "all": _all,
}


HELD = "held, approved"
CASES = [*((name, kind) for kind in ROWS for name in NAMES), (HELD, "the job"), (HELD, "all")]


def _simulation(account: StorageAccount, name: str) -> Simulation:
    return Simulation(account, (), Conditions(settings=SCENARIOS[name].settings))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_rows_of_a_newer_version_are_left_alone(
    account: StorageAccount, name: str, kind: str
) -> None:
    scenario = SCENARIOS[name]
    with _simulation(account, name) as simulation:
        prepare([(scenario, simulation)])
        scenario.play(simulation)
        requests = simulation.injector.requests
    positions = [at for at in range(1, len(requests)) if not requests[at - 1].startswith(READS)]
    # The queue waits for some minutes behind such rows.
    runs = [(position, late) for position in positions for late in (False, True)]
    if not IS_EXHAUSTIVE:
        turns = 2 * len(ROWS) - 1
        runs = runs[list(ROWS).index(kind) :: 3 * turns if name == HELD else turns]
    simulations = [_simulation(account, name) for _ in runs]
    prepare([(scenario, simulation) for simulation in simulations])
    were_written = [
        _play(simulation, scenario, kind, position, is_late=is_late)
        for (position, is_late), simulation in zip(runs, simulations, strict=True)
    ]
    assert any(were_written)


def _play(
    simulation: Simulation, scenario: Scenario, kind: str, position: int, *, is_late: bool
) -> bool:
    """Return whether there were such rows; if not, the run stops."""
    simulation.after_invocation = HistoryCheck(simulation).check
    written: dict[tuple[str, str], str] = {}

    def write() -> None:
        for row in simulation.rows():
            if ROWS[kind](simulation, row):
                key = (row["PartitionKey"], row["RowKey"])
                written[key] = _write_schema(simulation, *key, SCHEMA + 1)

    def roll_back() -> None:
        for key, etag in written.items():
            row = simulation.table.get_entity(*key)
            assert row.metadata["etag"] == etag, f"{key} was changed"
            _write_schema(simulation, *key, SCHEMA)

    # The order is not kept for longer than the queue waits.
    simulation.are_app_rows_edited = is_late
    simulation.injector.add(Injection(position, write))
    with simulation:
        try:
            scenario.play(simulation)
            if not written:
                return False
            simulation.recoveries.append((7 if is_late else 1, roll_back))
            simulation.settle()
            check(simulation)
            check_end(simulation, scenario)
        except Exception as error:
            request = simulation.injector.requests[position]
            error.add_note(f"{kind} at request {position}, {request}; late: {is_late}")
            raise
    return True


def _write_schema(simulation: Simulation, partition: str, row_key: str, schema: int) -> str:
    entity = {"PartitionKey": partition, "RowKey": row_key, "schema": schema}
    return str(simulation.table.update_entity(entity, mode=UpdateMode.MERGE)["etag"])
