"""Scenarios of several files in one job, and of what the version before left."""

from __future__ import annotations

from collections.abc import Callable

from iothub_emulator.registry.identity import Key
from shared.imports.app import Importer
from tests.faults.former_version import former_rows
from tests.faults.injection import Fault
from tests.faults.scenario import (
    BOTH,
    FILES,
    INTERRUPTIONS,
    RETRY_OF_A,
    RETRY_OF_B,
    A,
    B,
    C,
    Scenario,
    cancel_imports,
    repeat_until_done,
    retry_ended,
    take,
)
from tests.faults.simulation import Simulation, device

# What the version before left.


def _taken_over(
    state: str, *, has_job: bool = False, is_cancelled: bool = False
) -> Callable[[Simulation], None]:
    """It left the oldest import in that state, and the others in the queue."""

    def play(simulation: Simulation) -> None:
        if is_cancelled:
            simulation.hub.faults.add("hangJob")
            simulation.job_hangs = True
        [head] = simulation.ids_of(A)
        former_rows(
            simulation,
            take(A, B, C),
            head,
            state,
            has_job=has_job,
            is_cancelled=is_cancelled,
        )
        simulation.tick()
        simulation.wait()
        simulation.tick()

    return play


# Several files in one job: the younger ones wait until a tick has validated the oldest.


def _oldest_of_group(simulation: Simulation) -> None:
    simulation.upload(A, device("pump-1", tags={"n": 1}))


def _younger_of_group(simulation: Simulation) -> None:
    simulation.upload(B, device("pump-2", tags={"n": 1}))
    simulation.upload(C, device("pump-3", tags={"n": 1}))


def _group_is_started(simulation: Simulation) -> None:
    simulation.without_fault(take(B, C))
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _group_behind_job(simulation: Simulation) -> None:
    """While the oldest file's job runs, the others gather."""
    simulation.without_fault(take(A, B, C))
    simulation.wait()
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _start_group(simulation: Simulation) -> None:
    """Without faults, unless the hub has some."""
    simulation.without_fault(take(B, C))
    simulation.without_fault(Importer.on_tick)


def _partly_refused_oldest(simulation: Simulation) -> None:
    for id_ in ("pump-1", "pump-2"):
        simulation.hub.registry.put(device(id_, tags={"n": 0}))
    simulation.upload(
        A,
        device("pump-1", tags={"n": 1}, importMode="create"),
        device("pump-4", tags={"n": 1}, importMode="create"),
    )


def _partly_refused_younger(simulation: Simulation) -> None:
    simulation.upload(B, device("pump-2", tags={"n": 1}, importMode="create"))
    simulation.upload(C, device("pump-3", tags={"n": 1}))


def _group_ends(simulation: Simulation) -> None:
    _start_group(simulation)
    simulation.wait()
    simulation.tick()


def _refused_lines_of_group_retried(simulation: Simulation) -> None:
    """Each file has its own retry; these share a job, too."""
    _start_group(simulation)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    for id_ in ("pump-1", "pump-2"):
        simulation.hub.registry.delete(Key(id_))
    for file in (A, B):
        retry_ended(simulation, file)
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _group_at_busy_hub(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    _start_group(simulation)
    simulation.tick()
    simulation.hub.free_slot()
    simulation.tick()


def _group_without_answer(kind: str) -> Callable[[Simulation], None]:
    def play(simulation: Simulation) -> None:
        simulation.hub.faults.add(kind, operation="createJob")
        _start_group(simulation)
        simulation.tick()
        simulation.wait()
        simulation.tick()

    return play


def _cancelled_before_job(simulation: Simulation) -> None:
    """The group is dissolved: one import is cancelled, the others share another job."""
    simulation.hub.occupy_slot()
    _start_group(simulation)
    repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.hub.free_slot()
    simulation.tick()


def _cancelled_with_job(simulation: Simulation) -> None:
    simulation.hub.faults.add("hangJob")
    simulation.job_hangs = True
    _start_group(simulation)
    repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.tick()
    simulation.tick()


def _group_failed(simulation: Simulation) -> None:
    simulation.hub.faults.add("failJob")
    _start_group(simulation)
    simulation.wait()
    simulation.tick()
    # The process may have been killed before all of them had ended.
    simulation.without_fault(Importer.on_tick)
    retry_ended(simulation, A)


def _refused_by_hub(simulation: Simulation) -> None:
    """The hub refuses each job with a line of the oldest file."""
    simulation.refuse_jobs_with("pump-1")
    simulation.without_fault(take(B, C))
    simulation.tick()
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _staged_file_deleted(simulation: Simulation) -> None:
    simulation.without_fault(take(B, C))
    [import_id] = simulation.ids_of(B)
    simulation.blobs.get_blob_client(f"import-{import_id}", "devices.txt").delete_blob()
    simulation.tick()
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _record_deleted(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    _start_group(simulation)
    [import_id] = simulation.ids_of(B)
    simulation.edited.add(import_id)
    for row in simulation.rows():
        if row["RowKey"].startswith("import-") and row["RowKey"].endswith(import_id):
            simulation.table.delete_entity(row["PartitionKey"], row["RowKey"])
    simulation.hub.free_slot()
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _upload_overwritten(simulation: Simulation) -> None:
    """The new version has a device of the former one, so it waits for another job."""
    simulation.without_fault(take(B, C))
    simulation.upload(B, device("pump-2", tags={"n": 2}))
    simulation.without_fault(take(B))
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _all(state: str) -> dict[str, str]:
    return dict.fromkeys(FILES, state)


ALL = {**BOTH, "pump-3": 1}
GROUP = (_oldest_of_group, _younger_of_group)

GROUPS = {
    "group": Scenario(GROUP, _group_is_started, _all("completed"), ALL, sizes=(3,)),
    "group behind a job": Scenario(
        GROUP, _group_behind_job, _all("completed"), ALL, faults=INTERRUPTIONS, sizes=(1, 2)
    ),
    "group, partly refused": Scenario(
        (_partly_refused_oldest, _partly_refused_younger),
        _group_ends,
        {**_all("completed"), A: "completedWithErrors", B: "completedWithErrors"},
        {"pump-1": 0, "pump-2": 0, "pump-3": 1, "pump-4": 1},
        sizes=(3,),
    ),
    "group, refused lines retried": Scenario(
        (_partly_refused_oldest, _partly_refused_younger),
        _refused_lines_of_group_retried,
        {
            **{A: "completedWithErrors", B: "completedWithErrors", C: "completed"},
            **{RETRY_OF_A: "completed", RETRY_OF_B: "completed"},
        },
        {**ALL, "pump-4": 1},
        sizes=(3, 2),
        faults=INTERRUPTIONS,
    ),
    "group, hub busy": Scenario(GROUP, _group_at_busy_hub, _all("completed"), ALL, sizes=(3,)),
    "group, reply lost": Scenario(
        GROUP, _group_without_answer("dropReply"), _all("completed"), ALL, sizes=(3,)
    ),
    "group, call lost, no URIs": Scenario(
        GROUP, _group_without_answer("refuse"), _all("completed"), ALL, echo="none", sizes=(3,)
    ),
    "group, one cancelled": Scenario(
        GROUP,
        _cancelled_before_job,
        {**_all("completed"), A: "cancelled"},
        {"pump-2": 1, "pump-3": 1},
        sizes=(2,),
        # A process that stalls between two steps of the cancel may find the import in another job.
        faults=(Fault.LOST, Fault.KILLED),
    ),
    "group, cancelled": Scenario(GROUP, _cancelled_with_job, _all("cancelled"), {}, sizes=(3,)),
    "group failed": Scenario(
        GROUP,
        _group_failed,
        {**_all("failed"), RETRY_OF_A: "completed"},
        {"pump-1": 1},
        sizes=(3, 1),
        faults=INTERRUPTIONS,
    ),
    "group, refused by the hub": Scenario(
        GROUP,
        _refused_by_hub,
        {**_all("completed"), A: "failed"},
        {"pump-2": 1, "pump-3": 1},
        sizes=(1, 1),
        faults=INTERRUPTIONS,
    ),
    "group, staged file deleted": Scenario(
        GROUP,
        _staged_file_deleted,
        {**_all("completed"), B: "failed"},
        {"pump-1": 1, "pump-3": 1},
        sizes=(1, 1),
        faults=INTERRUPTIONS,
    ),
    "group, record deleted": Scenario(
        GROUP,
        _record_deleted,
        {**_all("completed"), B: "failed"},
        {"pump-1": 1, "pump-3": 1},
        sizes=(1, 1),
        faults=INTERRUPTIONS,
    ),
    "group, upload overwritten": Scenario(
        GROUP,
        _upload_overwritten,
        _all("completed"),
        {**ALL, "pump-2": 2},
        sizes=(3, 1),
        faults=INTERRUPTIONS,
    ),
    "taken over, queued": Scenario(
        GROUP, _taken_over("queued"), _all("completed"), ALL, sizes=(1, 1, 1), faults=INTERRUPTIONS
    ),
    "taken over, starting": Scenario(
        GROUP,
        _taken_over("starting", has_job=True),
        _all("completed"),
        ALL,
        sizes=(1, 1, 1),
        faults=INTERRUPTIONS,
    ),
    # It is not known whether the hub was asked.
    "taken over, starting without a job": Scenario(
        GROUP,
        _taken_over("starting"),
        {**_all("completed"), A: "failed"},
        {"pump-2": 1, "pump-3": 1},
        sizes=(1, 1),
        faults=INTERRUPTIONS,
    ),
    "taken over, running": Scenario(
        GROUP,
        _taken_over("running", has_job=True),
        _all("completed"),
        ALL,
        echo="none",
        sizes=(1, 1, 1),
        faults=INTERRUPTIONS,
    ),
    "taken over, being cancelled": Scenario(
        GROUP,
        _taken_over("running", has_job=True, is_cancelled=True),
        {**_all("completed"), A: "cancelled"},
        {"pump-2": 1, "pump-3": 1},
        sizes=(1, 1, 1),
        faults=INTERRUPTIONS,
    ),
}
