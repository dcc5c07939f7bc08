"""Which fault strikes at which request, so that no two runs prove the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from iothub_emulator.choices import UriEcho
from tests.faults.injection import READS, Fault, is_to_storage
from tests.faults.scenarios import SCENARIOS, Scenario, prepare
from tests.faults.simulation import Simulation

__all__ = ["Selection", "positions", "select"]

#: The positions of the requests at which each fault strikes, by the name of the scenario.
Selection = dict[tuple[str, Fault], list[int]]

#: What differs between two requests of one kind.
_NAMES = (
    (re.compile(r"(Faults|uploads-|archive-)[0-9a-f]{12}"), r"\1"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24}"), "ID"),
    (re.compile(r"\b\d{10}\b|%3A\d+"), "N"),
    (re.compile(r"(report|problems|errors)-\w+"), r"\1"),
)


@dataclass(frozen=True)
class Request:
    """A request of the app that is about to leave."""

    line: str
    #: Its method, service and what it is about, without the names of one run.
    kind: str
    #: Of each import in the table: its state and the columns that are set.
    imports: tuple[tuple[str, ...], ...]
    #: Where an import may have a job: how many the hub has, and which containers it names.
    jobs: tuple[int, UriEcho] | None


def select(make: Callable[[Scenario], Simulation], *, is_exhaustive: bool) -> Selection:
    """Play each scenario without a fault, and choose.

    Exhaustive is each fault at each request where it can prove anything (see `positions`).
    Otherwise it strikes once for each case (see `_case`), in the first scenario that has it.
    """
    taken: set[Hashable] = set()
    selection: Selection = {}
    for name, scenario in SCENARIOS.items():
        requests = _requests(make(scenario), scenario)
        for fault in scenario.faults:
            chosen = selection[name, fault] = []
            for position in positions(fault, [request.line for request in requests]):
                case = _case(fault, requests[position])
                if is_exhaustive or case not in taken:
                    chosen.append(position)
                taken.add(case)
    return selection


def _requests(simulation: Simulation, scenario: Scenario) -> list[Request]:
    requests: list[Request] = []

    def observe(line: str) -> None:
        imports = tuple(sorted(_imports(simulation)))
        may_have_job = any(state in ("starting", "running") for state, *_ in imports)
        jobs = (len(list(simulation.hub.jobs)), scenario.echo) if may_have_job else None
        requests.append(Request(line, _kind(line), imports, jobs))

    prepare([(scenario, simulation)])
    simulation.injector.observe = observe
    with simulation:
        scenario.play(simulation)
    return requests


def _imports(simulation: Simulation) -> Iterator[tuple[str, ...]]:
    for row in simulation.rows():
        if row["RowKey"].startswith("import-"):
            columns = (column for column, value in row.items() if value not in ("", None))
            yield (row["state"], *sorted(columns))


def _kind(line: str) -> str:
    for pattern, name in _NAMES:
        line = pattern.sub(name, line)
    return line


def _case(fault: Fault, request: Request) -> Hashable:
    """What a run proves; `test_matrix` says it in full."""
    if fault in (Fault.FORBIDDEN, Fault.UNAVAILABLE):
        # Either will do: the app does not tell them apart.
        return "storage fails", request.kind, tuple(state for state, *_ in request.imports)
    if fault in (Fault.REFUSED, Fault.ERROR, Fault.THROTTLED) and is_to_storage(request.line):
        # The SDK repeats the request, whatever is stored.
        return fault, request.kind
    return fault, request.kind, request.imports, request.jobs


def positions(fault: Fault, requests: Sequence[str]) -> list[int]:
    """The requests at which the fault proves something that it does not prove elsewhere.

    A read has no effect that could be lost, so a lost answer is a refused connection, and a process
    that is killed after a read leaves what one leaves that was killed after the write before; for
    the same reason none is killed before a request. The SDKs repeat a request to storage that was
    refused, failed or throttled within one call, and the app does not notice: these take turns.
    """
    if fault in (Fault.LOST, Fault.KILLED):
        return [at for at, line in enumerate(requests) if not line.startswith(READS)]
    if fault in (Fault.FORBIDDEN, Fault.UNAVAILABLE):
        turn = int(fault is Fault.UNAVAILABLE)
        return [at for at, line in enumerate(requests) if is_to_storage(line) and at % 2 == turn]
    if fault in (Fault.OUTAGE, Fault.OVERTAKEN):
        return list(range(len(requests)))
    turn = (Fault.REFUSED, Fault.ERROR, Fault.THROTTLED).index(fault)
    return [at for at, line in enumerate(requests) if not is_to_storage(line) or at % 3 == turn]
