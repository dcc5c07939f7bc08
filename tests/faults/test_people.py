"""People delete what one import consists of, after each write of it: nothing is applied twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.injection import READS, Strike
from tests.faults.scenarios import SCENARIOS, A, prepare
from tests.faults.soundness import Witness, check
from tests.faults.view import Account
from tests.faults.world import World, device

BYSTANDER = "east/z.ndjson"


def _delete_record(world: World, import_id: str) -> bool:
    return _delete_rows(world, "import-", import_id)


def _delete_claim(world: World, import_id: str) -> bool:
    return _delete_rows(world, import_id, import_id)


def _delete_marker(world: World, import_id: str) -> bool:
    return _delete_rows(world, "queue-", import_id)


def _delete_rows(world: World, start: str, import_id: str) -> bool:
    rows = [row for row in world.entities() if row["RowKey"].startswith(start)]
    rows = [row for row in rows if row["RowKey"].endswith(import_id)]
    for row in rows:
        world.table.delete_entity(row["PartitionKey"], row["RowKey"])
    return bool(rows)


def _delete_container(world: World, import_id: str) -> bool:
    containers = list(world.blobs.list_containers(f"import-{import_id}"))
    for container in containers:
        world.blobs.delete_container(container.name)
    return bool(containers)


DELETIONS: dict[str, Callable[[World, str], bool]] = {
    "record": _delete_record,
    "claim": _delete_claim,
    "marker": _delete_marker,
    "container": _delete_container,
}


@pytest.mark.parametrize("name", DELETIONS)
def test_one_thing_is_deleted_after_each_write(account: Account, name: str) -> None:
    scenario = SCENARIOS["clean"]
    with World(account) as world:
        prepare([(scenario, world)])
        scenario.play(world)
        requests = list(world.injector.requests)
    # What is deleted before a request that follows a write is there as that write left it.
    positions = [at for at in range(1, len(requests)) if not requests[at - 1].startswith(READS)]
    worlds = [World(account) for _ in positions]
    prepare([(scenario, world) for world in worlds])
    for position, world in zip(positions, worlds, strict=True):
        _play(world, position, name)


def _play(world: World, position: int, name: str) -> None:
    world.watch = Witness(world).look
    world.upload(BYSTANDER, device("pump-9", tags={"n": 1}))
    [(_, etag)] = [one for one in world.versions() if one[0] == A]
    import_id = world.id_of(A, etag)
    deleted: list[bool] = []

    def act() -> None:
        world.remember()
        world.touched.add(import_id)
        deleted.append(DELETIONS[name](world, import_id))

    world.injector.add(Strike(position, act))
    with world:
        try:
            SCENARIOS["clean"].play(world)
            world.settle()
            check(world)
            states = {record.file: record.state.value for record in world.records()}
            assert states.pop(BYSTANDER) == "completed"
            assert set(states.values()) <= {"completed", "completedWithErrors", "failed"}
            applied = [job for _, job in world.jobs() if import_id in job["inputBlobContainerUri"]]
            if states.get(A) == "completed":
                assert len(applied) == 1
            if not any(deleted):
                assert states == {A: "completed"}
        except AssertionError as error:
            request = world.injector.requests[position]
            error.add_note(f"{name} deleted at request {position}, {request}: {deleted}")
            raise
