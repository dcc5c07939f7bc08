"""Every fault at every request of whole imports: nothing is lost, nothing twice, in order.

Each scenario is played once to count the requests that leave the process. Then it is played again
for each of them, with one fault there; after that all events are announced again and the timers
tick until nothing is open. How it ends must not depend on the fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from shared.imports.workflow import upload_scan as uploads
from tests.faults.injection import Fault, Strike, positions
from tests.faults.scenarios import SCENARIOS, Scenario, check_end, prepare
from tests.faults.soundness import check, ends_are_counted
from tests.faults.view import Account
from tests.faults.world import Manners, World


@pytest.fixture(autouse=True)
def _uploads_are_young(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many requests a scenario makes must not depend on when its world has its turn."""
    monkeypatch.setattr(uploads, "MARGIN", timedelta(hours=1))


#: In the others only deaths are tried: they leave what is half done, and pairs have the rest.
CASES = [
    pytest.param(name, fault, id=f"{name}-{fault.name.lower()}")
    for name, scenario in SCENARIOS.items()
    for fault in (Fault if scenario.is_exhaustive else (Fault.KILLED,))
]


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_every_fault_at_every_request(account: Account, name: str, fault: Fault) -> None:
    scenario = SCENARIOS[name]
    with _world(account, scenario) as world:
        prepare([(scenario, world)])
        scenario.play(world)
        requests = list(world.injector.requests)
        _settle(world, scenario)
        _check(world, scenario)
    strikes = [Strike(position, fault) for position in positions(fault, requests)]
    worlds = [_world(account, scenario, strike) for strike in strikes]
    prepare([(scenario, world) for world in worlds])
    missed = []
    for strike, world in zip(strikes, worlds, strict=True):
        with world:
            scenario.play(world)
            _settle(world, scenario)
            struck_at = world.injector.struck_at(strike)
            try:
                _check(world, scenario)
            except AssertionError as error:
                error.add_note(f"{name}: {strike}, {struck_at}")
                error.add_note(str([(one.file, one.failure_reason) for one in world.records()]))
                raise
            if not struck_at:
                missed.append(strike)
    assert not missed


def _world(account: Account, scenario: Scenario, *strikes: Strike) -> World:
    return World(account, strikes, Manners(echo=scenario.echo, settings=scenario.settings))


def _settle(world: World, scenario: Scenario) -> None:
    world.settle()
    # What is done to imports that have ended, which may have been cut off.
    if not scenario.is_exhaustive:
        for _ in range(2):
            world.sweep()


def _check(world: World, scenario: Scenario) -> None:
    """The invariants, against what hub and storage hold."""
    check(world)
    check_end(world, scenario)
    rows = world.rows()
    ends_are_counted(world.records(), rows)
    _nothing_changes(world, rows)


def _nothing_changes(world: World, rows: Iterable[dict[str, Any]]) -> None:
    """A final record stays as it is, whatever is announced again."""
    before = [row for row in rows if row["PartitionKey"] not in ("(app)", "(sweep)")]
    jobs = len(world.jobs())
    for name in world.uploaded:
        world.deliver(name)
    world.tick()
    after = [row for row in world.rows() if row["PartitionKey"] not in ("(app)", "(sweep)")]
    assert after == before
    assert len(world.jobs()) == jobs
