"""Selection of faults and requests, so that no two runs prove the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from iothub_emulator.choices import UriEcho
from tests.faults.injection import READS, Fault, is_to_storage
from tests.faults.scenario import Scenario, prepare
from tests.faults.scenarios import SCENARIOS
from tests.faults.simulation import Simulation

__all__ = ["Selection", "positions", "select"]

#: The positions of the requests for each fault, by scenario name.
Selection = dict[tuple[str, Fault], list[int]]

#: Differences between two requests of one kind.
_NAMES = (
    (re.compile(r"(Faults|uploads-|archive-)[0-9a-f]{12}"), r"\1"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24}"), "ID"),
    (re.compile(r"\b\d{10}\b|%3A\d+"), "N"),
    (re.compile(r"(report|problems|errors|mapping)-\w+"), r"\1"),
    (re.compile(r"(devices-\d+)-[0-9a-f]{12}"), r"\1"),
)


_WITH_JOB = ("job refused", "job asked", "job accepted")


@dataclass(frozen=True)
class Request:
    """A request that the app is about to send."""

    line: str
    #: Its method, service and target, without run-specific names.
    kind: str
    #: State and non-empty columns of each import and each job in the table; of several imports the
    #: states alone, as their jobs' columns say how far they are. Of several that are alike, two.
    imports: tuple[tuple[str, ...], ...]
    #: If an import may have a job: the number of jobs, and the containers they name.
    jobs: tuple[int, UriEcho] | None


def select(make: Callable[[Scenario], Simulation], *, is_exhaustive: bool) -> Selection:
    """Run each scenario without a fault, and select the requests.

    Exhaustive means each fault at each request where it can prove anything (see `positions`).
    Otherwise it occurs once per case (see `_case`), in the first scenario with that case; in
    scenarios with several imports the faults take turns.
    """
    taken: set[Hashable] = set()
    selection: Selection = {}
    for name, scenario in SCENARIOS.items():
        requests = _requests(make(scenario), scenario)
        lines = [request.line for request in requests]
        possible = {fault: positions(fault, lines) for fault in scenario.faults}
        if (scenario.sizes or scenario.sample > 1) and not is_exhaustive:
            possible = _by_turns(possible, requests, taken)
        for fault in scenario.faults:
            chosen = selection[name, fault] = []
            for position in possible[fault]:
                case = _case(fault, requests[position])
                if is_exhaustive or case not in taken:
                    chosen.append(position)
                taken.add(case)
            if not is_exhaustive:
                chosen[:] = chosen[:: scenario.sample]
    return selection


def _by_turns(
    possible: dict[Fault, list[int]], requests: Sequence[Request], taken: set[Hashable]
) -> dict[Fault, list[int]]:
    """One fault at each kind of write in each situation, and at every third of the reads."""
    chosen: dict[Fault, list[int]] = {fault: [] for fault in possible}
    turn = reads = 0
    for position, request in enumerate(requests):
        case = (request.kind, request.imports, request.jobs)
        faults = [fault for fault in possible if position in possible[fault]]
        if case in taken or not faults:
            continue
        taken.add(case)
        reads += request.line.startswith(READS)
        if not request.line.startswith(READS) or reads % 3 == 0:
            chosen[faults[turn % len(faults)]].append(position)
            turn += 1
    return chosen


def _requests(simulation: Simulation, scenario: Scenario) -> list[Request]:
    requests: list[Request] = []

    def observe(line: str) -> None:
        rows = Counter(_situation(simulation))
        imports = tuple(sorted(row for row, count in rows.items() for _ in range(min(count, 2))))
        may_have_job = any(state in _WITH_JOB for state, *_ in imports)
        jobs = (len(list(simulation.hub.jobs)), scenario.echo) if may_have_job else None
        requests.append(Request(line, _kind(line), imports, jobs))

    prepare([(scenario, simulation)])
    simulation.injector.observe = observe
    with simulation:
        scenario.play(simulation)
    return requests


def _situation(simulation: Simulation) -> Iterator[tuple[str, ...]]:
    rows = [row for row in simulation.rows() if row["RowKey"].startswith(("import-", "job-"))]
    are_several = sum(row["RowKey"].startswith("import-") for row in rows) > 1
    for row in rows:
        is_job = row["RowKey"].startswith("job-")
        columns = sorted(column for column, value in row.items() if value not in ("", None))
        state = f"job {row['state']}" if is_job else row["state"]
        yield (state, *([] if are_several and not is_job else columns))


def _kind(line: str) -> str:
    for pattern, name in _NAMES:
        line = pattern.sub(name, line)
    return line


def _case(fault: Fault, request: Request) -> Hashable:
    """The case that a run proves; see `test_matrix`."""
    if fault in (Fault.FORBIDDEN, Fault.UNAVAILABLE):
        # Either is sufficient: the app does not distinguish them.
        return "storage fails", request.kind, tuple(state for state, *_ in request.imports)
    if fault in (Fault.REFUSED, Fault.ERROR, Fault.THROTTLED) and is_to_storage(request.line):
        # The SDK repeats the request, regardless of the stored state.
        return fault, request.kind
    return fault, request.kind, request.imports, request.jobs


def positions(fault: Fault, requests: Sequence[str]) -> list[int]:
    """The requests at which the fault proves something that no other request does.

    A read has no effect that could be lost, so a lost response equals a refused connection. A
    process killed after a read leaves the same state as one killed after the previous write; for
    the same reason none is killed before a request. The SDKs repeat a request to storage that was
    refused, failed or throttled within one call, and the app does not notice: these alternate.
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
