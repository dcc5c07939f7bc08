"""Pairs of faults, with whatever else can happen to a world, chosen at random.

Each run has a seed of its own, which a failure names: repeat it alone by

    FAULT_SEED=<seed> FAULT_RUNS=1 pytest tests/faults/test_pairs.py

FAULT_RUNS=5000 looks for more than `make test` does; FAULT_SEED is then the seed of the first run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from shared.imports.model.record import ImportRecord
from tests.faults.disturbances import DISTURBANCES, NO_LOG, Certainty, Disturbance
from tests.faults.injection import Fault, Strike
from tests.faults.scenarios import SCENARIOS, Scenario, check_end, prepare
from tests.faults.soundness import Listener, Witness, check, ends_are_counted, name_of
from tests.faults.view import Account
from tests.faults.world import Manners, World, device

RUNS = int(os.environ.get("FAULT_RUNS", "200"))
#: The same in each process if it is given.
FIRST_SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**9))
#: Tests that share the runs, so that several processes can.
PARTS = 8
#: Worlds whose files are uploaded together, as the younger ones need another second.
BATCH = 25

#: Requests up to which faults strike; most scenarios make fewer, and faults add some.
LENGTH = 45
#: The file that nothing happens to where people are at work.
BYSTANDER = "east/z.ndjson"
#: Scenarios in which the hub's own trouble could hit it, if people ended the other import before.
HUB_TROUBLE = ("cancelled", "retried")


@dataclass
class Run:
    """All that is chosen for one run."""

    seed: int
    name: str
    scenario: Scenario
    manners: Manners
    strikes: list[Strike]
    certainty: Certainty
    #: Each with the request at which it acts.
    disturbances: list[tuple[int, Disturbance]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"FAULT_SEED={self.seed} FAULT_RUNS=1: {self.name}; {', '.join(map(str, self.strikes))}"
            f"; {', '.join(f'{one} at request {at}' for at, one in self.disturbances) or 'no more'}"
            f"; {self.manners}"
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
    certainty = max((one.certainty for _, one in disturbances), default=Certainty.END)
    if any(one.name == NO_LOG for _, one in disturbances):
        # A hub that names no containers and writes no logs tells nothing of a lost call.
        echo = "output"
    if echo == "none":
        # Two lost answers may leave nothing that says whose job it was.
        certainty = max(certainty, Certainty.COUNTS_UNKNOWN)
    manners = Manners(
        echo,
        scenario.settings,
        events_come_twice=rng.random() < 0.2,
        events_are_repeated=rng.random() < 0.5,
        app_ahead=rng.choice(skew) if are_apart else timedelta(),
        hub_ahead=rng.choice(skew) if are_apart else timedelta(),
        other_ahead=rng.choice(skew) if are_apart else timedelta(),
    )
    strikes = [_strike(rng) for _ in range(2)]
    return Run(seed, name, scenario, manners, strikes, certainty, disturbances)


def _strike(rng: random.Random) -> Strike:
    fault = rng.choice(list(Fault))
    return Strike(_position(rng), fault, rng.randint(1, 6) if fault.is_outage else 1)


def _position(rng: random.Random) -> int:
    """A request; early ones are more likely, as not all scenarios make so many."""
    return int(LENGTH * rng.random() ** 1.5)


@pytest.mark.parametrize("part", range(PARTS))
def test_pairs_of_faults(account: Account, part: int) -> None:
    seeds = range(FIRST_SEED + part, FIRST_SEED + RUNS, PARTS)
    print(f"seeds {seeds}")
    for start in range(0, len(seeds), BATCH):
        runs = [choose(seed) for seed in seeds[start : start + BATCH]]
        worlds = [_world(account, run) for run in runs]
        prepare([(run.scenario, world) for run, world in zip(runs, worlds, strict=True)])
        for run, world in zip(runs, worlds, strict=True):
            try:
                _play(run, world)
            except Exception as error:
                error.add_note(str(run))
                raise


def _world(account: Account, run: Run) -> World:
    world = World(account, run.strikes, run.manners)
    world.watch = Witness(world).look
    rng = random.Random(run.seed)
    for position, disturbance in run.disturbances:
        world.injector.add(Strike(position, _acting(disturbance, world, rng)))
    if run.certainty is Certainty.OTHERS and run.name not in HUB_TROUBLE:
        world.upload(BYSTANDER, device("pump-9", tags={"n": 1}))
    return world


def _acting(disturbance: Disturbance, world: World, rng: random.Random) -> Callable[[], None]:
    def act() -> None:
        try:
            disturbance.act(world, rng)
        except Exception as error:
            # The app would take it for its own.
            world.notes.append(f"{disturbance} did not work: {error!r}")
            world.is_broken = True

    return act


def _play(run: Run, world: World) -> None:
    with Listener() as listener, world:
        try:
            run.scenario.play(world)
            world.settle()
            world.injector.disarm()
            # Retention goes on where it was cut off.
            for _ in range(2 if run.scenario.settings else 1):
                world.sweep()
            _judge(run, world)
            assert not world.is_broken
            assert not listener.leaks
            if run.certainty is not Certainty.OTHERS:
                assert not listener.unexpected
        except Exception as error:
            for note in (*world.notes, *_ends(world)):
                error.add_note(note)
            error.add_note(f"struck: {[world.injector.struck_at(one) for one in run.strikes]}")
            raise


def _ends(world: World) -> list[str]:
    return [
        f"{one.hub} {one.id} {one.file}: {one.state}, {one.devices} {one.imported} {one.failed}, "
        f"{one.failure_reason}"
        for one in world.records()
    ]


def _judge(run: Run, world: World) -> None:
    check(world)
    records = world.records()
    if not (world.touched or world.are_counts_touched):
        ends_are_counted(records, world.rows(), is_swept=True)
    if run.certainty is Certainty.END:
        check_end(world, run.scenario)
    elif BYSTANDER in world.uploaded:
        [bystander] = [record for record in records if record.file == BYSTANDER]
        assert bystander.state == "completed", bystander.failure_reason
        assert (world.hub.registry.get("pump-9") or {})["tags"] == {"n": 1}
    elif run.certainty is not Certainty.OTHERS:
        for record in records:
            _is_almost_as_wanted(run, world, record)


def _is_almost_as_wanted(run: Run, world: World, record: ImportRecord) -> None:
    """The state of the scenario, unless it is said that it is not known what a job did."""
    file = f"retry of {record.file}" if record.retry_of else record.file
    if record.state == run.scenario.states.get(file) or record.has_unknown_counts:
        return
    is_elsewhere = record.hub != name_of(world.hub)
    assert run.certainty is Certainty.HUB, f"{file} is {record.state}"
    assert is_elsewhere, f"{file} is {record.state}"
