"""Data of an import is deleted manually after each write: no device is applied twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iothub_emulator.registry.identity import Key
from shared.imports.operate.undo import undo_id
from tests.faults.decisions import undo_ended
from tests.faults.injection import READS, Injection
from tests.faults.invariants import HistoryCheck, check
from tests.faults.scenario import A, name_of_import, prepare
from tests.faults.scenarios import SCENARIOS
from tests.faults.simulation import Conditions, Simulation, device
from tests.faults.stored_state import StorageAccount, container_of_job
from tests.faults.test_matrix import IS_EXHAUSTIVE

#: Each with the part of the writes after which `make test` deletes something.
NAMES = {"clean": 1, "plan by export": 6, "held, approved": 8, "undone": 12}
UNRELATED = "east/z.ndjson"


def _delete_record(simulation: Simulation, import_id: str) -> bool:
    return _delete_rows(simulation, "import-", import_id)


def _delete_claim(simulation: Simulation, import_id: str) -> bool:
    return _delete_rows(simulation, import_id, import_id)


def _delete_queue_row(simulation: Simulation, import_id: str) -> bool:
    return _delete_rows(simulation, "queue-", import_id)


def _delete_rows(simulation: Simulation, start: str, import_id: str) -> bool:
    rows = [row for row in simulation.rows() if row["RowKey"].startswith(start)]
    rows = [row for row in rows if row["RowKey"].endswith(import_id)]
    for row in rows:
        simulation.table.delete_entity(row["PartitionKey"], row["RowKey"])
    return bool(rows)


def _delete_job_row(simulation: Simulation, import_id: str) -> bool:
    return _delete_rows(simulation, "job-", import_id)


def _delete_held_row(simulation: Simulation, import_id: str) -> bool:
    return _delete_rows(simulation, "held-", import_id)


def _delete_backup(simulation: Simulation, import_id: str) -> bool:
    containers = list(simulation.blobs.list_containers(f"backup-{import_id}"))
    for container in containers:
        simulation.blobs.delete_container(container.name)
    return bool(containers)


def _delete_snapshot(simulation: Simulation, import_id: str) -> bool:
    """The container of an export."""
    containers = list(simulation.blobs.list_containers(f"import-{import_id}-snapshot"))
    for container in containers:
        simulation.blobs.delete_container(container.name)
    return bool(containers)


def _delete_container(simulation: Simulation, import_id: str) -> bool:
    containers = list(simulation.blobs.list_containers(f"import-{import_id}"))
    for container in containers:
        simulation.blobs.delete_container(container.name)
    return bool(containers)


#: Each returns whether there was anything to delete.
DELETIONS: dict[str, Callable[[Simulation, str], bool]] = {
    "record": _delete_record,
    "claim": _delete_claim,
    "queue row": _delete_queue_row,
    "container": _delete_container,
    "job row": _delete_job_row,
    "export": _delete_snapshot,
    "held row": _delete_held_row,
    "backup": _delete_backup,
}
#: Scenarios that do not have it.
WITHOUT = {
    "job row": ("clean",),
    "export": ("clean",),
    "held row": ("clean", "plan by export", "undone"),
    "backup": ("clean", "plan by export"),
}
CASES = [
    (scenario, name)
    for scenario in NAMES
    for name in DELETIONS
    if scenario not in WITHOUT.get(name, ())
]


@pytest.mark.parametrize(("scenario", "name"), CASES)
def test_data_deleted_after_each_write(account: StorageAccount, scenario: str, name: str) -> None:
    with _simulation(account, scenario) as simulation:
        prepare([(SCENARIOS[scenario], simulation)])
        SCENARIOS[scenario].play(simulation)
        requests = simulation.injector.requests
    # A deletion before the request after a write affects the state left by that write.
    positions = [at for at in range(1, len(requests)) if not requests[at - 1].startswith(READS)]
    if not IS_EXHAUSTIVE:
        step = NAMES[scenario]
        positions = positions[list(DELETIONS).index(name) % step :: step]
    was_deleted = [_play(account, scenario, position, name) for position in positions]
    assert any(was_deleted)


def _simulation(account: StorageAccount, scenario: str) -> Simulation:
    return Simulation(account, (), Conditions(settings=SCENARIOS[scenario].settings))


def _play(account: StorageAccount, name_of_scenario: str, position: int, name: str) -> bool:
    """Return whether there was anything to delete; if not, the run stops."""
    scenario = SCENARIOS[name_of_scenario]
    simulation = _simulation(account, name_of_scenario)
    simulation.after_invocation = HistoryCheck(simulation).check
    prepare([(scenario, simulation)])
    simulation.upload(UNRELATED, device("pump-9", tags={"n": 1}))
    [import_id] = simulation.ids_of(A)
    import_name = A
    if scenario.states.keys() == {A, f"undo of {A}"}:
        import_id, import_name = undo_id(import_id, 1), f"undo of {A}"
    was_deleted: list[bool] = []

    def delete() -> None:
        simulation.note_imports()
        simulation.edited.add(import_id)
        was_deleted.append(DELETIONS[name](simulation, import_id))

    simulation.injector.add(Injection(position, delete))
    with simulation:
        try:
            scenario.play(simulation)
            if not any(was_deleted):
                return False
            simulation.settle()
            check(simulation)
            states = {
                name_of_import(simulation, record): record.state.value
                for record in simulation.records()
            }
            assert states.pop(UNRELATED) == "completed"
            assert set(states.values()) <= {"completed", "completedWithErrors", "failed"}
            containers = [
                container_of_job(job)
                for _, job in simulation.jobs()
                if import_id in job["inputBlobContainerUri"]
            ]
            assert len(containers) == len(set(containers))
            assert len(containers) <= _most_jobs(import_name)
            if states.get(import_name) == "completed":
                assert len(containers) == _most_jobs(import_name)
        except AssertionError as error:
            request = simulation.injector.requests[position]
            error.add_note(f"{name} deleted at request {position}, {request}")
            raise
    return True


def _most_jobs(import_name: str) -> int:
    """An undo has a job of its own for modules of devices that it makes again."""
    return 1 if import_name == A else 2


def test_an_undo_whose_record_was_deleted_is_not_applied_again(account: StorageAccount) -> None:
    """A further undo has an id and a plan of its own."""
    scenario = SCENARIOS["undone"]
    with _simulation(account, "undone") as simulation:
        prepare([(scenario, simulation)])
        scenario.play(simulation)
        simulation.settle()
        [import_id] = simulation.ids_of(A)
        first, second = (undo_id(import_id, number) for number in (1, 2))
        jobs = len(simulation.jobs())
        simulation.note_imports()
        simulation.edited.add(first)
        assert _delete_record(simulation, first)
        # Somebody deletes the device again, so that there is something to do.
        simulation.hub.registry.delete(Key("pump-1"))
        undo_ended(simulation, A)
        simulation.settle()
        states = {record.id: record.state.value for record in simulation.records()}
        assert states == {import_id: "completed", first: "failed", second: "completed"}
        containers = [container_of_job(job) for _, job in simulation.jobs()[jobs:]]
        assert containers == [f"import-{second}", f"import-{second}-modules"]
        assert simulation.hub.registry.get("pump-1", "m1") is not None
