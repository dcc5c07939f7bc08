"""What the faults are injected into: whole imports, each with the end that it has to have."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from iothub_emulator.choices import UriEcho
from iothub_emulator.registry.identity import Key
from shared.errors import NotPossibleError
from shared.imports.app import Importer
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
    echo: UriEcho = "output"
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Blobs in the upload container at the end; None for all of them.
    uploads: tuple[str, ...] | None = None
    #: Whether every fault is tried at every request of it.
    is_exhaustive: bool = True


#: Everything leads to the hub "east", whether IOTHUB is one hub or an object of folders.
A, B = "east/a.ndjson", "east/b.ndjson"


def _one_good_file(world: World) -> None:
    world.upload(A, device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 1}))


def _event_and_ticks(world: World) -> None:
    world.deliver(A)
    world.tick()
    world.wait()
    world.tick()


def _broken_file(world: World) -> None:
    world.upload(A, device("pump-1"), {"id": "pump 2"})


def _partly_refused(world: World) -> None:
    world.hub.registry.put(device("pump-1", tags={"n": 0}))
    world.upload(
        A,
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
    world.upload(A, device("pump-1", tags={"n": 1}))


def _younger_file(world: World) -> None:
    world.upload(B, device("pump-1", tags={"n": 2}))


def _younger_event_first(world: World) -> None:
    world.deliver(B)
    world.deliver(A)
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
    _until_it_holds(world, _cancel(world))
    world.tick()
    world.tick()


def _cancelled_in_queue(world: World) -> None:
    world.hub.occupy_slot()
    world.without_fault(_take_upload)
    _until_it_holds(world, _cancel(world))
    world.hub.free_slot()
    world.tick()


def _retried(world: World) -> None:
    """The job of the upload failed before the fault strikes."""
    world.hub.faults.add("failJob")
    world.without_fault(_take_upload)
    world.wait()
    world.without_fault(Importer.on_tick)
    _until_it_holds(world, _retry(world))


def _refused_lines_retried(world: World) -> None:
    """Only what the hub refused is tried again, and by now the hub takes it."""
    world.without_fault(_take_upload)
    world.wait()
    world.without_fault(Importer.on_tick)
    world.hub.registry.delete(Key("pump-1"))
    _until_it_holds(world, _retry(world))
    world.tick()
    world.wait()
    world.tick()


def _swept(world: World) -> None:
    """The import has ended; the faults strike in what is done to it later."""
    world.without_fault(_take_upload)
    world.wait()
    world.without_fault(Importer.on_tick)
    world.sweep()
    world.sweep()


def _outlived(world: World) -> None:
    """As long after the end of the import as its container and its record are kept."""
    world.without_fault(_take_upload)
    world.wait()
    world.without_fault(Importer.on_tick)
    world.without_fault(Importer.on_sweep)
    world.pass_time(timedelta(days=32))
    world.sweep()
    world.sweep()
    # No event is so late.
    world.uploaded.remove(A)


def _take_upload(importer: Importer) -> None:
    importer.on_upload(importer.services.settings.uploads.container, A)


def _until_it_holds(world: World, verb: Callable[[Importer], object]) -> None:
    """An operator repeats a command that failed, unless it is not possible, and not for ever."""
    for _ in range(16):
        done: list[bool] = []

        def call(importer: Importer, done: list[bool] = done) -> None:
            with contextlib.suppress(NotPossibleError):
                verb(importer)
            done.append(True)

        world.invoke(call)
        if done:
            return


def _cancel(world: World) -> Callable[[Importer], None]:
    ids = world.ids_of(A)

    def cancel(importer: Importer) -> None:
        for hub in _hubs(importer):
            for record in importer.services.store.all(hub):
                if record.id in ids and not record.state.is_final:
                    importer.actions.cancel(record)

    return cancel


def _hubs(importer: Importer) -> frozenset[str]:
    return importer.services.known_hubs.all() | importer.services.hubs.keys()


def _retry(world: World) -> Callable[[Importer], None]:
    ids = world.ids_of(A)

    def retry(importer: Importer) -> None:
        for hub in _hubs(importer):
            for record in importer.services.store.all(hub):
                if record.id in ids:
                    importer.actions.retry(record)

    return retry


BOTH = {"pump-1": 1, "pump-2": 1}
RETRY_OF_A = f"retry of {A}"
KEPT_FOR_A_MONTH = {
    "UPLOAD_RETENTION": "delete",
    "IMPORT_RETENTION_DAYS": "30",
    "RECORD_RETENTION_DAYS": "30",
}

SCENARIOS = {
    "clean": Scenario((_one_good_file,), _event_and_ticks, {A: "completed"}, BOTH),
    "rejected": Scenario((_broken_file,), _event_and_ticks, {A: "rejected"}, {}),
    "partly refused": Scenario(
        (_partly_refused,),
        _end_of_the_job,
        {A: "completedWithErrors"},
        {"pump-1": 0, "pump-2": 1},
    ),
    "hub busy": Scenario((_one_good_file,), _busy_hub, {A: "completed"}, BOTH),
    "reply lost": Scenario((_one_good_file,), _reply_is_lost, {A: "completed"}, BOTH),
    "reply lost, no URIs": Scenario(
        (_one_good_file,), _reply_is_lost, {A: "completed"}, BOTH, echo="none"
    ),
    "call lost, no URIs": Scenario(
        (_one_good_file,), _call_never_arrives, {A: "completed"}, BOTH, echo="none"
    ),
    "younger event first": Scenario(
        (_older_file, _younger_file),
        _younger_event_first,
        {A: "completed", B: "completed"},
        {"pump-1": 2},
    ),
    "no events": Scenario((_one_good_file,), _no_events, {A: "completed"}, BOTH),
    "cancelled": Scenario((_hanging_job,), _cancelled, {A: "cancelled"}, {}),
    "cancelled in queue": Scenario(
        (_one_good_file,), _cancelled_in_queue, {A: "cancelled"}, {}, is_exhaustive=False
    ),
    "retried": Scenario(
        (_one_good_file,),
        _retried,
        {A: "failed", RETRY_OF_A: "completed"},
        BOTH,
    ),
    "refused lines retried": Scenario(
        (_partly_refused,),
        _refused_lines_retried,
        {A: "completedWithErrors", RETRY_OF_A: "completed"},
        BOTH,
        is_exhaustive=False,
    ),
    "upload deleted": Scenario(
        (_one_good_file,),
        _swept,
        {A: "completed"},
        BOTH,
        settings={"UPLOAD_RETENTION": "delete"},
        uploads=(),
        is_exhaustive=False,
    ),
    "upload moved": Scenario(
        (_one_good_file,),
        _swept,
        {A: "completed"},
        BOTH,
        settings={"UPLOAD_RETENTION": "move"},
        uploads=(),
        is_exhaustive=False,
    ),
    "outlived": Scenario(
        (_one_good_file,),
        _outlived,
        {},
        BOTH,
        settings=KEPT_FOR_A_MONTH,
        uploads=(),
        is_exhaustive=False,
    ),
}


def prepare(scenarios: Sequence[tuple[Scenario, World]]) -> None:
    """Make the uploads; the younger ones of all worlds in a later second.

    Storage tells upload times in whole seconds.
    """
    for number in range(max((len(one.prepare) for one, _ in scenarios), default=0)):
        if number:
            now = int(time.time())
            while int(time.time()) == now:
                time.sleep(0.01)
        for scenario, world in scenarios:
            if number < len(scenario.prepare):
                scenario.prepare[number](world)


def check_end(world: World, scenario: Scenario) -> None:
    """The end that the scenario has to have, if nothing else than faults happened."""
    current = {}
    for record in reversed(world.records()):
        current[f"retry of {record.file}" if record.retry_of else record.file] = record
    states = {file: record.state.value for file, record in current.items()}
    reasons = {file: record.failure_reason for file, record in current.items()}
    assert states == scenario.states, reasons
    stored = {device: world.hub.registry.get(device) for device in ("pump-1", "pump-2")}
    assert {id_: line["tags"]["n"] for id_, line in stored.items() if line} == scenario.devices
    if scenario.uploads is not None:
        assert [name for name, _ in world.versions()] == list(scenario.uploads)
