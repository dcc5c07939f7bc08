"""Random pairs of faults and other disturbances.

Each run has its own seed, which is shown with a failure. Repeat a single run by

    FAULT_SEED=<seed> FAULT_RUNS=1 pytest tests/faults/test_pairs.py

FAULT_RUNS=5000 runs more than `make test`, as CI does every night; FAULT_SEED is then the
seed of the first run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from shared.imports.model.record import ImportRecord
from tests.faults.disturbances import DISTURBANCES, NEXT, NO_LOG, Certainty, Disturbance
from tests.faults.injection import Fault, Injection
from tests.faults.invariants import (
    HistoryCheck,
    LogCapture,
    check,
    finished_imports_are_counted,
    name_of,
)
from tests.faults.scenario import Scenario, check_end, name_of_import, prepare
from tests.faults.scenarios import SCENARIOS
from tests.faults.simulation import Conditions, Simulation, device
from tests.faults.stored_state import StorageAccount

RUNS = int(os.environ.get("FAULT_RUNS", "100"))
#: The same in each process if set.
FIRST_SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**9))
#: Number of tests that share the runs, so that they can run in parallel.
PARTS = 4
#: Simulations whose files are uploaded together, as later uploads need another second.
BATCH = 25

#: Faults occur up to this request; most scenarios have fewer, and faults add some.
LENGTH = 45
#: A file that is not deleted or edited manually in runs with manual changes.
UNRELATED = "east/z.ndjson"
#: Scenarios without it: their hub fault could hit it if another import was ended manually before,
#: or it would be older than an import that the version before has started.
WITHOUT_UNRELATED = (
    *("cancelled", "retried", "group, cancelled", "group failed"),
    *("plan, cancelled", "plan, retried", "plan, export fails"),
    *("held without plan", "no backup"),
    *(name for name in SCENARIOS if name.startswith("taken over")),
)


@dataclass
class Run:
    """The random choices for one run."""

    seed: int
    name: str
    scenario: Scenario
    conditions: Conditions
    injections: list[Injection]
    certainty: Certainty
    #: Each with the request at which it acts.
    disturbances: list[tuple[int, Disturbance]] = field(default_factory=list)

    def __str__(self) -> str:
        disturbances = [f"{what} at request {at}" for at, what in self.disturbances]
        return (
            f"FAULT_SEED={self.seed} FAULT_RUNS=1: {self.name}; "
            f"{', '.join([*map(str, self.injections), *disturbances])}; {self.conditions}"
        )


def choose(seed: int) -> Run:
    rng = random.Random(seed)
    name = rng.choice(list(SCENARIOS))
    scenario = SCENARIOS[name]
    echo = scenario.echo if rng.random() < 0.6 else rng.choice(("output", "full", "none"))
    skew = [timedelta(), *(timedelta(minutes=minutes) for minutes in (-5, -1, 1, 5))]
    are_apart = rng.random() < 0.5
    disturbances = [
        (_position(rng) if rng.random() < 0.7 else 0, rng.choice(DISTURBANCES))
        for _ in range(rng.choice((0, 1, 1)))
    ]
    certainty = max((item.certainty for _, item in disturbances), default=Certainty.END)
    if any(item.name == NO_LOG for _, item in disturbances):
        # A hub that returns no containers and writes no logs cannot identify a lost request.
        echo = "output"
    if echo == "none":
        # After two lost responses the owner of a job may be unknown.
        certainty = max(certainty, Certainty.COUNTS_UNKNOWN)
    conditions = Conditions(
        echo,
        scenario.settings,
        events_come_twice=rng.random() < 0.2,
        events_are_repeated=rng.random() < 0.5,
        app_ahead=rng.choice(skew) if are_apart else timedelta(),
        hub_ahead=rng.choice(skew) if are_apart else timedelta(),
        other_ahead=rng.choice(skew) if are_apart else timedelta(),
    )
    injections = [_injection(rng) for _ in range(2)]
    return Run(seed, name, scenario, conditions, injections, certainty, disturbances)


def _injection(rng: random.Random) -> Injection:
    fault = rng.choice(list(Fault))
    return Injection(_position(rng), fault, rng.randint(1, 6) if fault.is_outage else 1)


def _position(rng: random.Random) -> int:
    """The position of a request; early ones are more likely, as scenarios differ in length."""
    return int(LENGTH * rng.random() ** 1.5)


@pytest.mark.parametrize("part", range(PARTS))
def test_pairs_of_faults(account: StorageAccount, part: int) -> None:
    seeds = range(FIRST_SEED + part, FIRST_SEED + RUNS, PARTS)
    print(f"seeds {seeds}")
    for start in range(0, len(seeds), BATCH):
        runs = [choose(seed) for seed in seeds[start : start + BATCH]]
        simulations = [_simulation(account, run) for run in runs]
        prepare(
            [(run.scenario, simulation) for run, simulation in zip(runs, simulations, strict=True)]
        )
        for run, simulation in zip(runs, simulations, strict=True):
            try:
                _play(run, simulation)
            except Exception as error:
                error.add_note(str(run))
                raise


def _simulation(account: StorageAccount, run: Run) -> Simulation:
    simulation = Simulation(account, run.injections, run.conditions)
    simulation.after_invocation = HistoryCheck(simulation).check
    rng = random.Random(run.seed)
    for position, disturbance in run.disturbances:
        simulation.injector.add(Injection(position, _acting(disturbance, simulation, rng)))
    if run.certainty is Certainty.OTHERS and run.name not in WITHOUT_UNRELATED:
        simulation.upload(UNRELATED, device("pump-9", tags={"n": 1}))
    return simulation


def _acting(
    disturbance: Disturbance, simulation: Simulation, rng: random.Random
) -> Callable[[], None]:
    def act() -> None:
        try:
            disturbance.act(simulation, rng)
        except Exception as error:
            # The app would match it as its own.
            simulation.notes.append(f"{disturbance} did not work: {error!r}")
            simulation.has_test_error = True

    return act


def _play(run: Run, simulation: Simulation) -> None:
    with LogCapture() as log_capture, simulation:
        try:
            run.scenario.play(simulation)
            simulation.settle()
            simulation.injector.disarm()
            # Retention continues where it was interrupted.
            for _ in range(2 if run.scenario.settings else 1):
                simulation.sweep()
            _check_end(run, simulation)
            assert not simulation.has_test_error
            assert not log_capture.leaks
            if run.certainty is not Certainty.OTHERS:
                assert not log_capture.unexpected
        except Exception as error:
            for note in (*simulation.notes, *_ends(simulation)):
                error.add_note(note)
            error.add_note(
                f"requests: {[simulation.injector.request_at(item) for item in run.injections]}"
            )
            raise


def _ends(simulation: Simulation) -> list[str]:
    return [
        f"{record.hub} {record.id} {record.file}: {record.state}, "
        f"{record.devices} {record.imported} {record.failed}, "
        f"{record.failure_reason}"
        for record in simulation.records()
    ]


def _check_end(run: Run, simulation: Simulation) -> None:
    check(simulation)
    records = simulation.records()
    if not (simulation.edited or simulation.are_counts_edited):
        finished_imports_are_counted(records, simulation.rows(), is_swept=True)
    if run.certainty is Certainty.END:
        check_end(simulation, run.scenario)
    elif UNRELATED in simulation.uploaded:
        [unrelated] = [record for record in records if record.file == UNRELATED]
        if unrelated.id in simulation.edited:
            # It was in a job whose row, container or file was edited.
            return
        assert unrelated.state == "completed", unrelated.failure_reason
        assert (simulation.hub.registry.get("pump-9") or {})["tags"] == {"n": 1}
    elif run.certainty is not Certainty.OTHERS:
        for record in records:
            _has_expected_or_unknown_end(run, simulation, record)


def _has_expected_or_unknown_end(run: Run, simulation: Simulation, record: ImportRecord) -> None:
    """The scenario's expected state, unless the result of a job is recorded as unknown."""
    file = name_of_import(simulation, record)
    if record.state == run.scenario.states.get(file) or record.has_unknown_counts:
        return
    if record.state == "superseded" and len(simulation.ids_of(file)) > 1:
        # Its file was overwritten while it was held.
        return
    if run.certainty is Certainty.OPERATOR and (
        record.state in ("cancelled", "superseded") or record.retry_of or file == NEXT
    ):
        return
    is_elsewhere = record.hub != name_of(simulation.hub)
    assert run.certainty is Certainty.HUB, f"{file} is {record.state}"
    assert is_elsewhere, f"{file} is {record.state}"
