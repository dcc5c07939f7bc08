"""What the faults are injected into: whole imports, each with the end that it has to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.imports.importer import Importer
from tests.faults.world import World, device


@dataclass(frozen=True)
class Scenario:
    """What happens, and how it has to end whatever fails on the way."""

    #: Make the uploads and what the hub holds before; each step at least a second after the last.
    prepare: tuple[Callable[[World], None], ...]
    #: The invocations in the course of which the fault strikes. What comes before them and is part
    #: of another scenario happens without fault.
    play: Callable[[World], None]
    #: The final state of each file's import, and of those that try an import again.
    states: Mapping[str, str]
    #: The devices in the registry at the end, with their tag n.
    devices: Mapping[str, int]
    echo_uris: bool = True


def _one_good_file(world: World) -> None:
    world.upload("a.ndjson", device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 1}))


def _event_and_ticks(world: World) -> None:
    world.deliver("a.ndjson")
    world.tick()
    world.wait()
    world.tick()


def _broken_file(world: World) -> None:
    world.upload("a.ndjson", device("pump-1"), {"id": "pump 2"})


def _partly_refused(world: World) -> None:
    world.hub.registry.put(device("pump-1", tags={"n": 0}))
    world.upload(
        "a.ndjson",
        device("pump-1", tags={"n": 1}, importMode="create"),
        device("pump-2", tags={"n": 1}, importMode="create"),
    )


def _end_of_the_job(world: World) -> None:
    world.without_fault(_take_upload)
    world.wait()
    world.tick()


def _busy_hub(world: World) -> None:
    world.hub.occupy_slot()
    world.without_fault(_take_upload)
    world.tick()
    world.hub.free_slot()
    world.tick()


def _reply_is_lost(world: World) -> None:
    _start_without_answer(world, "dropReply")


def _call_never_arrives(world: World) -> None:
    _start_without_answer(world, "refuse")


def _start_without_answer(world: World, kind: str) -> None:
    """The hub itself loses the call or its answer; the fault comes on top of it."""
    world.hub.faults.add(kind, operation="createJob")
    world.without_fault(_take_upload)
    world.tick()
    world.wait()
    world.tick()


def _older_file(world: World) -> None:
    world.upload("a.ndjson", device("pump-1", tags={"n": 1}))


def _younger_file(world: World) -> None:
    world.upload("b.ndjson", device("pump-1", tags={"n": 2}))


def _younger_event_first(world: World) -> None:
    world.deliver("b.ndjson")
    world.deliver("a.ndjson")
    world.wait()
    world.tick()


def _no_events(world: World) -> None:
    world.sweep()


def _hanging_job(world: World) -> None:
    _one_good_file(world)
    world.hub.faults.add("hangJob")
    world.job_hangs = True


def _cancelled(world: World) -> None:
    world.without_fault(_take_upload)
    _until_it_holds(world, _cancel)
    world.tick()
    world.tick()


def _retried(world: World) -> None:
    """The job of the upload failed before the fault strikes."""
    world.hub.faults.add("failJob")
    world.without_fault(_take_upload)
    world.wait()
    world.without_fault(Importer.on_tick)
    _until_it_holds(world, _retry)


def _take_upload(importer: Importer) -> None:
    importer.on_upload(importer.services.settings.upload_container, "a.ndjson")


def _until_it_holds(world: World, verb: Callable[[Importer], object]) -> None:
    """An operator repeats a command that failed."""
    done: list[bool] = []

    def call(importer: Importer) -> None:
        verb(importer)
        done.append(True)

    while not done:
        world.invoke(call)


def _cancel(importer: Importer) -> None:
    [hub] = importer.services.hubs
    for record in importer.services.ledger.imports(hub):
        if not record.state.is_final:
            importer.operations.cancel(record)


def _retry(importer: Importer) -> None:
    [hub] = importer.services.hubs
    for record in importer.services.ledger.imports(hub):
        if not record.retry_of:
            importer.operations.retry(record)


BOTH = {"pump-1": 1, "pump-2": 1}

SCENARIOS = {
    "clean": Scenario((_one_good_file,), _event_and_ticks, {"a.ndjson": "completed"}, BOTH),
    "rejected": Scenario((_broken_file,), _event_and_ticks, {"a.ndjson": "rejected"}, {}),
    "partly refused": Scenario(
        (_partly_refused,),
        _end_of_the_job,
        {"a.ndjson": "completedWithErrors"},
        {"pump-1": 0, "pump-2": 1},
    ),
    "hub busy": Scenario((_one_good_file,), _busy_hub, {"a.ndjson": "completed"}, BOTH),
    "reply lost": Scenario((_one_good_file,), _reply_is_lost, {"a.ndjson": "completed"}, BOTH),
    "reply lost, no URIs": Scenario(
        (_one_good_file,), _reply_is_lost, {"a.ndjson": "completed"}, BOTH, echo_uris=False
    ),
    "call lost, no URIs": Scenario(
        (_one_good_file,), _call_never_arrives, {"a.ndjson": "completed"}, BOTH, echo_uris=False
    ),
    "younger event first": Scenario(
        (_older_file, _younger_file),
        _younger_event_first,
        {"a.ndjson": "completed", "b.ndjson": "completed"},
        {"pump-1": 2},
    ),
    "no events": Scenario((_one_good_file,), _no_events, {"a.ndjson": "completed"}, BOTH),
    "cancelled": Scenario((_hanging_job,), _cancelled, {"a.ndjson": "cancelled"}, {}),
    "retried": Scenario(
        (_one_good_file,),
        _retried,
        {"a.ndjson": "failed", "retry of a.ndjson": "completed"},
        BOTH,
    ),
}
