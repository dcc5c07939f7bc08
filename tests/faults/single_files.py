"""Scenarios of files that get jobs of their own."""

from __future__ import annotations

from datetime import timedelta

from iothub_emulator.registry.identity import Key
from shared.device_files.mapping.file_mapping import mapping_path
from shared.imports.app import Importer
from tests.faults.injection import Fault
from tests.faults.scenario import (
    BOTH,
    RETRY_OF_A,
    A,
    B,
    Scenario,
    cancel_imports,
    repeat_until_done,
    retry_ended,
    take,
)
from tests.faults.simulation import Simulation, device


def _one_good_file(simulation: Simulation) -> None:
    simulation.upload(A, device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 1}))


def _mapped_file(simulation: Simulation) -> None:
    lines = [device("pump-1", tags={"n": 1}), device("pump-2", tags={"n": 1})]
    mapping = b'{"defaults": {"status": "enabled"}}'
    simulation.container.get_blob_client(mapping_path(A)).upload_blob(mapping)
    without_status = [
        {name: value for name, value in line.items() if name != "status"} for line in lines
    ]
    simulation.upload(A, *without_status)
    [import_id] = simulation.contents
    simulation.contents[import_id] = lines


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
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.tick()


def _busy_hub(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    simulation.without_fault(take(A))
    simulation.tick()
    simulation.hub.free_slot()
    simulation.tick()


def _reply_is_lost(simulation: Simulation) -> None:
    _start_without_answer(simulation, "dropReply")


def _call_never_arrives(simulation: Simulation) -> None:
    _start_without_answer(simulation, "refuse")


def _start_without_answer(simulation: Simulation, kind: str) -> None:
    """The hub loses the request or its response, in addition to the fault."""
    simulation.hub.faults.add(kind, operation="createJob")
    simulation.without_fault(take(A))
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _earlier_file(simulation: Simulation) -> None:
    simulation.upload(A, device("pump-1", tags={"n": 1}))


def _later_file(simulation: Simulation) -> None:
    simulation.upload(B, device("pump-1", tags={"n": 2}))


def _later_event_first(simulation: Simulation) -> None:
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
    simulation.without_fault(take(A))
    repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.tick()
    simulation.tick()


def _cancelled_in_queue(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    simulation.without_fault(take(A))
    repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.hub.free_slot()
    simulation.tick()


def _retried(simulation: Simulation) -> None:
    """The upload's job failed before the fault."""
    simulation.hub.faults.add("failJob")
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    retry_ended(simulation, A)


def _refused_lines_retried(simulation: Simulation) -> None:
    """Only rejected lines are retried, and the hub now accepts them."""
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.hub.registry.delete(Key("pump-1"))
    retry_ended(simulation, A)
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _after_sweep(simulation: Simulation) -> None:
    """The import is final; the faults occur during later processing."""
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.sweep()
    simulation.sweep()


def _after_retention(simulation: Simulation) -> None:
    """After the retention time of container and record."""
    simulation.without_fault(take(A))
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.without_fault(Importer.on_sweep)
    simulation.pass_time(timedelta(days=32))
    simulation.sweep()
    simulation.sweep()
    # Events are never this late.
    simulation.uploaded.remove(A)


RETENTION_SETTINGS = {
    "UPLOAD_RETENTION": "delete",
    "IMPORT_RETENTION_DAYS": "30",
    "RECORD_RETENTION_DAYS": "30",
}

SINGLE = {
    "clean": Scenario((_one_good_file,), _event_and_ticks, {A: "completed"}, BOTH),
    "rejected": Scenario((_broken_file,), _event_and_ticks, {A: "rejected"}, {}),
    "mapped": Scenario(
        (_mapped_file,),
        _event_and_ticks,
        {A: "completed"},
        BOTH,
        faults=(Fault.KILLED, Fault.FORBIDDEN, Fault.OVERTAKEN),
    ),
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
        (_earlier_file, _later_file),
        _later_event_first,
        {A: "completed", B: "completed"},
        {"pump-1": 2},
        sizes=(1, 1),
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
        _after_sweep,
        {A: "completed"},
        BOTH,
        settings={"UPLOAD_RETENTION": "delete"},
        uploads=(),
        faults=(Fault.KILLED,),
    ),
    "upload moved": Scenario(
        (_one_good_file,),
        _after_sweep,
        {A: "completed"},
        BOTH,
        settings={"UPLOAD_RETENTION": "move"},
        uploads=(),
        faults=(Fault.KILLED,),
    ),
    "outlived": Scenario(
        (_one_good_file,),
        _after_retention,
        {},
        BOTH,
        settings=RETENTION_SETTINGS,
        uploads=(),
        faults=(Fault.KILLED,),
    ),
}
