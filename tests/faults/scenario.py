"""What a scenario of fault injection is, and what operators and the platform do in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from iothub_emulator.choices import UriEcho
from shared.errors import NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from tests.faults.injection import Fault
from tests.faults.simulation import Simulation
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
    #: Checks more of the end.
    check: Callable[[Simulation], None] = lambda _: None
    #: What somebody decides in the end about an import that is held.
    decide: Callable[[Importer], object] | None = None
    #: Without a fault, the number of imports of each job at the hub; None means one.
    sizes: tuple[int, ...] | None = None
    #: Faults to inject. If only terminations are listed, the pairs cover the other faults.
    faults: tuple[Fault, ...] = tuple(Fault)
    #: `make test` has the faults at every such one of the requests, by turns.
    sample: int = 1


#: All uploads go to the hub "east", whether IOTHUB is one hub or an object of folders.
A, B, C = FILES = "east/a.ndjson", "east/b.ndjson", "east/c.ndjson"
RETRY_OF_A, RETRY_OF_B = f"retry of {A}", f"retry of {B}"

DEVICES = ("pump-1", "pump-2", "pump-3", "pump-4")
#: Devices with their tag n.
BOTH = {"pump-1": 1, "pump-2": 1}
#: Faults after which a process goes on with what another one left.
INTERRUPTIONS = (Fault.LOST, Fault.KILLED, Fault.OVERTAKEN)


def take(*files: str) -> Callable[[Importer], None]:
    def take(importer: Importer) -> None:
        for file in files:
            importer.on_upload(importer.services.settings.uploads.container, file)

    return take


def repeat_until_done(simulation: Simulation, command: Callable[[Importer], object]) -> None:
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


def retry_ended(simulation: Simulation, *files: str) -> None:
    """Retry imports once they have ended, and repeat that if it fails."""
    ids = [id_ for file in files for id_ in simulation.ids_of(file)]
    for _ in range(10):
        if all(one.state.is_final for one in simulation.records() if one.id in ids):
            break
        # After a fault, the clock of another process may be behind a back-off.
        simulation.pass_time(timedelta(minutes=2))
        simulation.without_fault(Importer.on_tick)
    repeat_until_done(simulation, retry_imports(simulation, *files))


def prepare(scenarios: Sequence[tuple[Scenario, Simulation]]) -> None:
    """Create the uploads; the later ones of all simulations in a later second.

    Storage returns upload times in whole seconds.
    """
    for scenario, simulation in scenarios:
        simulation.decide = scenario.decide
    for number in range(max((len(scenario.prepare) for scenario, _ in scenarios), default=0)):
        if number:
            next_second()
        for scenario, simulation in scenarios:
            if number < len(scenario.prepare):
                scenario.prepare[number](simulation)


def next_second() -> None:
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)


def name_of_import(simulation: Simulation, record: ImportRecord) -> str:
    """The name of its file; of a retry or an undo also that."""
    kind, parent = ("undo", record.undo_of) if record.undo_of else ("retry", record.retry_of)
    if not parent:
        return record.file
    former = next((one for one in simulation.records() if one.id == parent), None)
    return f"{kind} of {name_of_import(simulation, former) if former else record.file}"


def check_end(simulation: Simulation, scenario: Scenario) -> None:
    """Check the scenario's expected end, if nothing but faults occurred."""
    current = {}
    for record in reversed(simulation.records()):
        current[name_of_import(simulation, record)] = record
    states = {file: record.state.value for file, record in current.items()}
    reasons = {file: record.failure_reason for file, record in current.items()}
    assert states == scenario.states, reasons
    stored = {device: simulation.hub.registry.get(device) for device in DEVICES}
    assert {id_: line["tags"]["n"] for id_, line in stored.items() if line} == scenario.devices
    if scenario.uploads is not None:
        assert [name for name, _ in simulation.versions()] == list(scenario.uploads)
    scenario.check(simulation)
