"""Scenarios for fault injection: complete imports, each with its expected end."""

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
from shared.imports.model.states import ImportState
from tests.faults.former_version import former_rows
from tests.faults.injection import Fault
from tests.faults.simulation import Simulation, device
from tests.records import read_records


@dataclass(frozen=True)
class Scenario:
    """A sequence of invocations, and its expected end despite any fault."""

    #: Prepare uploads and hub; each step at least one second after the previous one.
    prepare: tuple[Callable[[Simulation], None], ...]
    #: The invocations in which the fault occurs. Earlier invocations that are part
    #: of another scenario run without a fault.
    play: Callable[[Simulation], None]
    #: The final state of each file's import, and of retries.
    states: Mapping[str, str]
    #: The devices in the registry at the end, with their tag n.
    devices: Mapping[str, int]
    echo: UriEcho = "output"
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Blobs in the upload container at the end; None means all.
    uploads: tuple[str, ...] | None = None
    #: Without a fault, the number of imports of each job at the hub; None means one.
    sizes: tuple[int, ...] | None = None
    #: Faults to inject. If only terminations are listed, the pairs cover the other faults.
    faults: tuple[Fault, ...] = tuple(Fault)


#: All uploads go to the hub "east", whether IOTHUB is one hub or an object of folders.
A, B, C = FILES = "east/a.ndjson", "east/b.ndjson", "east/c.ndjson"


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
    """The hub loses the request or its response, in addition to the fault."""
    simulation.hub.faults.add(kind, operation="createJob")
    simulation.without_fault(_take_upload)
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
    simulation.without_fault(_take_upload)
    _repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.tick()
    simulation.tick()


def _cancelled_in_queue(simulation: Simulation) -> None:
    simulation.hub.occupy_slot()
    simulation.without_fault(_take_upload)
    _repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.hub.free_slot()
    simulation.tick()


def _retried(simulation: Simulation) -> None:
    """The upload's job failed before the fault."""
    simulation.hub.faults.add("failJob")
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    _repeat_until_done(simulation, retry_imports(simulation, A))


def _refused_lines_retried(simulation: Simulation) -> None:
    """Only rejected lines are retried, and the hub now accepts them."""
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.hub.registry.delete(Key("pump-1"))
    _repeat_until_done(simulation, retry_imports(simulation, A))
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _after_sweep(simulation: Simulation) -> None:
    """The import is final; the faults occur during later processing."""
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.sweep()
    simulation.sweep()


def _after_retention(simulation: Simulation) -> None:
    """After the retention time of container and record."""
    simulation.without_fault(_take_upload)
    simulation.wait()
    simulation.without_fault(Importer.on_tick)
    simulation.without_fault(Importer.on_sweep)
    simulation.pass_time(timedelta(days=32))
    simulation.sweep()
    simulation.sweep()
    # Events are never this late.
    simulation.uploaded.remove(A)


def _take_upload(importer: Importer) -> None:
    _take(A)(importer)


def _take(*files: str) -> Callable[[Importer], None]:
    def take(importer: Importer) -> None:
        for file in files:
            importer.on_upload(importer.services.settings.uploads.container, file)

    return take


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
            _take(A, B, C),
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
    simulation.without_fault(_take(B, C))
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _group_behind_job(simulation: Simulation) -> None:
    """While the oldest file's job runs, the others gather."""
    simulation.without_fault(_take(A, B, C))
    simulation.wait()
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _start_group(simulation: Simulation) -> None:
    """Without faults, unless the hub has some."""
    simulation.without_fault(_take(B, C))
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
        _repeat_until_done(simulation, retry_imports(simulation, file))
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
    _repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.hub.free_slot()
    simulation.tick()


def _cancelled_with_job(simulation: Simulation) -> None:
    simulation.hub.faults.add("hangJob")
    simulation.job_hangs = True
    _start_group(simulation)
    _repeat_until_done(simulation, cancel_imports(simulation, A))
    simulation.tick()
    simulation.tick()


def _group_failed(simulation: Simulation) -> None:
    simulation.hub.faults.add("failJob")
    _start_group(simulation)
    simulation.wait()
    simulation.tick()
    # The process may have been killed before all of them had ended.
    simulation.without_fault(Importer.on_tick)
    _repeat_until_done(simulation, retry_imports(simulation, A))


def _refused_by_hub(simulation: Simulation) -> None:
    """The hub refuses each job with a line of the oldest file."""
    simulation.refuse_jobs_with("pump-1")
    simulation.without_fault(_take(B, C))
    simulation.tick()
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _staged_file_deleted(simulation: Simulation) -> None:
    simulation.without_fault(_take(B, C))
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
    simulation.without_fault(_take(B, C))
    simulation.upload(B, device("pump-2", tags={"n": 2}))
    simulation.without_fault(_take(B))
    simulation.tick()
    simulation.wait()
    simulation.tick()


def _repeat_until_done(simulation: Simulation, command: Callable[[Importer], object]) -> None:
    """Repeat a failed operator command, unless it is impossible, a limited number of times."""
    for _ in range(16):
        done: list[bool] = []

        def call(importer: Importer, done: list[bool] = done) -> None:
            with contextlib.suppress(NotPossibleError):
                command(importer)
            done.append(True)

        simulation.invoke(call)
        if done:
            return


def cancel_imports(simulation: Simulation, *files: str) -> Callable[[Importer], None]:
    """Cancel open imports, each with the job that is shown at the hub; look again if it is over."""
    ids = [id_ for file in files for id_ in simulation.ids_of(file)]

    def cancel(importer: Importer) -> None:
        for attempt in (1, 2):
            with contextlib.ExitStack() as stack:
                if attempt == 1:
                    stack.enter_context(contextlib.suppress(NotPossibleError))
                for hub in _hubs(importer):
                    for record in read_records(importer.services, hub):
                        if record.id in ids and not record.state.is_final:
                            is_at_hub = record.state is not ImportState.QUEUED
                            job = record.job_record if is_at_hub else ""
                            importer.actions.cancel(record, job)

    return cancel


def _hubs(importer: Importer) -> frozenset[str]:
    return importer.services.known_hubs.all() | importer.services.hubs.keys()


def retry_imports(simulation: Simulation, *files: str) -> Callable[[Importer], None]:
    ids = [id_ for file in files for id_ in simulation.ids_of(file)]

    def retry(importer: Importer) -> None:
        for hub in _hubs(importer):
            for record in read_records(importer.services, hub):
                if record.id in ids:
                    importer.actions.retry(record)

    return retry


DEVICES = ("pump-1", "pump-2", "pump-3", "pump-4")


def _all(state: str) -> dict[str, str]:
    return dict.fromkeys(FILES, state)


BOTH = {"pump-1": 1, "pump-2": 1}
ALL = {**BOTH, "pump-3": 1}
RETRY_OF_A, RETRY_OF_B = f"retry of {A}", f"retry of {B}"
GROUP = (_oldest_of_group, _younger_of_group)
#: Faults after which a process goes on with what another one left.
INTERRUPTIONS = (Fault.LOST, Fault.KILLED, Fault.OVERTAKEN)
RETENTION_SETTINGS = {
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


def prepare(scenarios: Sequence[tuple[Scenario, Simulation]]) -> None:
    """Create the uploads; the later ones of all simulations in a later second.

    Storage returns upload times in whole seconds.
    """
    for number in range(max((len(scenario.prepare) for scenario, _ in scenarios), default=0)):
        if number:
            now = int(time.time())
            while int(time.time()) == now:
                time.sleep(0.01)
        for scenario, simulation in scenarios:
            if number < len(scenario.prepare):
                scenario.prepare[number](simulation)


def check_end(simulation: Simulation, scenario: Scenario) -> None:
    """Check the scenario's expected end, if nothing but faults occurred."""
    current = {}
    for record in reversed(simulation.records()):
        current[f"retry of {record.file}" if record.retry_of else record.file] = record
    states = {file: record.state.value for file, record in current.items()}
    reasons = {file: record.failure_reason for file, record in current.items()}
    assert states == scenario.states, reasons
    stored = {device: simulation.hub.registry.get(device) for device in DEVICES}
    assert {id_: line["tags"]["n"] for id_, line in stored.items() if line} == scenario.devices
    if scenario.uploads is not None:
        assert [name for name, _ in simulation.versions()] == list(scenario.uploads)
