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
from tests.faults.injection import Fault
from tests.faults.simulation import Simulation, device


@dataclass(frozen=True)
class Scenario:
    """What happens, and how it has to end whatever fails on the way."""

    #: Make the uploads and what the hub holds before; each step at least a second after the last.
    prepare: tuple[Callable[[Simulation], None], ...]
    #: The invocations in the course of which the fault strikes. What comes before them and is part
    #: of another scenario happens without fault.
    play: Callable[[Simulation], None]
    #: The final state of each file's import, and of those that try an import again.
    states: Mapping[str, str]
    #: The devices in the registry at the end, with their tag n.
    devices: Mapping[str, int]
    echo: UriEcho = "output"
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Blobs in the upload container at the end; None for all of them.
    uploads: tuple[str, ...] | None = None
    #: What is tried. Deaths leave what is half done; where only they are, the pairs try the rest.
    faults: tuple[Fault, ...] = tuple(Fault)


#: Everything leads to the hub "east", whether IOTHUB is one hub or an object of folders.
A, B = "east/a.ndjson", "east/b.ndjson"


def _one_good_file(simulation: Simulation) -> None:
    simulation.upload(A, device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 1}))


def _event_and_ticks(simulation: Simulation) -> None:
    simulation.deliver(A)
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _broken_file(simulation: Simulation) -> None:
    simulation.upload(A, device("pump-1"), {"id": "pump 2"})


def _partly_refused(simulation: Simulation) -> None:
    simulation.hub.registry.put(device("pump-1", tags={"n": 0}))
    simulation.upload(
        A,
        device("pump-1", tags={"n": 1}, importMode="create"),
        device("pump-2", tags={"n": 1}, importMode="create"),
    )


def _end_of_the_job(simulation: Simulation) -> None:
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.tick()


def _busy_hub(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    simulation.without_fault(_take_upload)
    simulation.tick()
    simulation.hub.free_slot()
    simulation.tick()


def _reply_is_lost(simulation: Simulation) -> None:
    _start_without_answer(simulation, "dropReply")


def _call_never_arrives(simulation: Simulation) -> None:
    _start_without_answer(simulation, "refuse")


def _start_without_answer(simulation: Simulation, kind: str) -> None:
    """The hub itself loses the call or its answer; the fault comes on top of it."""
    simulation.hub.faults.add(kind, operation="createJob")
    simulation.without_fault(_take_upload)
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _older_file(simulation: Simulation) -> None:
    simulation.upload(A, device("pump-1", tags={"n": 1}))


def _younger_file(simulation: Simulation) -> None:
    simulation.upload(B, device("pump-1", tags={"n": 2}))


def _younger_event_first(simulation: Simulation) -> None:
    simulation.deliver(B)
    simulation.deliver(A)
    simulation.wait()
    simulation.tick()


def _no_events(simulation: Simulation) -> None:
    simulation.sweep()


def _hanging_job(simulation: Simulation) -> None:
    _one_good_file(simulation)
    simulation.hub.faults.add("hangJob")
    simulation.job_hangs = True


def _cancelled(simulation: Simulation) -> None:
    simulation.without_fault(_take_upload)
    _until_it_holds(simulation, _cancel(simulation))
    simulation.tick()
    simulation.tick()


def _cancelled_in_queue(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    simulation.without_fault(_take_upload)
    _until_it_holds(simulation, _cancel(simulation))
    simulation.hub.free_slot()
    simulation.tick()


def _retried(simulation: Simulation) -> None:
    """The job of the upload failed before the fault strikes."""
    simulation.hub.faults.add("failJob")
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    _until_it_holds(simulation, _retry(simulation))


def _refused_lines_retried(simulation: Simulation) -> None:
    """Only what the hub refused is tried again, and by now the hub takes it."""
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.hub.registry.delete(Key("pump-1"))
    _until_it_holds(simulation, _retry(simulation))
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _swept(simulation: Simulation) -> None:
    """The import has ended; the faults strike in what is done to it later."""
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.sweep()
    simulation.sweep()


def _outlived(simulation: Simulation) -> None:
    """As long after the end of the import as its container and its record are kept."""
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.without_fault(Importer.on_sweep)
    simulation.pass_time(timedelta(days=32))
    simulation.sweep()
    simulation.sweep()
    # No event is so late.
    simulation.uploaded.remove(A)


def _take_upload(importer: Importer) -> None:
    importer.on_upload(importer.services.settings.uploads.container, A)


def _until_it_holds(simulation: Simulation, verb: Callable[[Importer], object]) -> None:
    """An operator repeats a command that failed, unless it is not possible, and not for ever."""
    for _ in range(16):
        done: list[bool] = []

        def call(importer: Importer, done: list[bool] = done) -> None:
            with contextlib.suppress(NotPossibleError):
                verb(importer)
            done.append(True)

        simulation.invoke(call)
        if done:
            return


def _cancel(simulation: Simulation) -> Callable[[Importer], None]:
    ids = simulation.ids_of(A)

    def cancel(importer: Importer) -> None:
        for hub in _hubs(importer):
            for record in importer.services.store.all(hub):
                if record.id in ids and not record.state.is_final:
                    importer.actions.cancel(record)

    return cancel


def _hubs(importer: Importer) -> frozenset[str]:
    return importer.services.known_hubs.all() | importer.services.hubs.keys()


def _retry(simulation: Simulation) -> Callable[[Importer], None]:
    ids = simulation.ids_of(A)

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
        (_one_good_file,), _cancelled_in_queue, {A: "cancelled"}, {}, faults=(Fault.KILLED,)
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
        faults=(Fault.KILLED,),
    ),
    "upload deleted": Scenario(
        (_one_good_file,),
        _swept,
        {A: "completed"},
        BOTH,
        settings={"UPLOAD_RETENTION": "delete"},
        uploads=(),
        faults=(Fault.KILLED,),
    ),
    "upload moved": Scenario(
        (_one_good_file,),
        _swept,
        {A: "completed"},
        BOTH,
        settings={"UPLOAD_RETENTION": "move"},
        uploads=(),
        faults=(Fault.KILLED,),
    ),
    "outlived": Scenario(
        (_one_good_file,),
        _outlived,
        {},
        BOTH,
        settings=KEPT_FOR_A_MONTH,
        uploads=(),
        faults=(Fault.KILLED,),
    ),
}


def prepare(scenarios: Sequence[tuple[Scenario, Simulation]]) -> None:
    """Make the uploads; the younger ones of all simulations in a later second.

    Storage tells upload times in whole seconds.
    """
    for number in range(max((len(one.prepare) for one, _ in scenarios), default=0)):
        if number:
            now = int(time.time())
            while int(time.time()) == now:
                time.sleep(0.01)
        for scenario, simulation in scenarios:
            if number < len(scenario.prepare):
                scenario.prepare[number](simulation)


def check_end(simulation: Simulation, scenario: Scenario) -> None:
    """The end that the scenario has to have, if nothing else than faults happened."""
    current = {}
    for record in reversed(simulation.records()):
        current[f"retry of {record.file}" if record.retry_of else record.file] = record
    states = {file: record.state.value for file, record in current.items()}
    reasons = {file: record.failure_reason for file, record in current.items()}
    assert states == scenario.states, reasons
    stored = {device: simulation.hub.registry.get(device) for device in ("pump-1", "pump-2")}
    assert {id_: line["tags"]["n"] for id_, line in stored.items() if line} == scenario.devices
    if scenario.uploads is not None:
        assert [name for name, _ in simulation.versions()] == list(scenario.uploads)
