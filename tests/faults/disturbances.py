"""Other events in a simulation: changed settings, slow hubs, deletions and edits by operators.

Each disturbance acts at one request of the app, as faults do, and says how much of a scenario's end
it leaves certain.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from tests.faults.manual_changes import delete_something, edit_something
from tests.faults.simulation import Simulation

__all__ = ["DISTURBANCES", "NO_LOG", "Certainty", "Disturbance"]

NO_LOG = "no log comes"


class Certainty(IntEnum):
    """How much of the scenario's expected end still applies; each includes the ones after it."""

    #: All of it.
    END = 0
    #: The result of a job may be unknown, and must be recorded as unknown.
    COUNTS_UNKNOWN = 1
    #: An upload first seen under other settings belongs to another hub, or to none.
    HUB = 2
    #: Edited imports become final and are not applied twice; others have their expected end.
    OTHERS = 3


@dataclass(frozen=True)
class Disturbance:
    name: str
    #: The remaining certainty.
    certainty: Certainty
    act: Callable[[Simulation, random.Random], None]

    def __str__(self) -> str:
        return self.name


# The hub.


def _slow_lists(simulation: Simulation, rng: random.Random) -> None:
    """New jobs appear in lists, or by id, after a delay."""
    job_answers = simulation.hub.job_answers
    job_answers.list_lag = timedelta(seconds=rng.choice([0, 20, 60]))
    job_answers.get_lag = timedelta(seconds=rng.choice([0, 20, 60]))


def _late_log(simulation: Simulation, _: random.Random) -> None:
    simulation.hub.faults.add("lateLog")

    def write() -> None:
        simulation.wait()
        # The container may have been deleted manually.
        with contextlib.suppress(Exception):
            simulation.hub.write_late_logs()

    simulation.recoveries.append((0, write))


def _no_log(simulation: Simulation, _: random.Random) -> None:
    simulation.hub.faults.add("noLog")


def _foreign_jobs(simulation: Simulation, rng: random.Random) -> None:
    """Jobs of other applications, which occupy the slot or have ended."""
    for _ in range(rng.randint(1, 2)):
        uri = rng.choice(["", "https://theirs.blob.core.windows.net/devices"])
        status = rng.choice(["running", "completed", "failed", "cancelled"])
        if status == "running" and not simulation.hub.jobs._history.is_idle():
            status = "completed"
        simulation.hub.jobs.add_foreign(status, input_uri=uri, output_uri=uri)
        simulation.notes.append(f"a foreign job, {status}, {uri!r}")
    simulation.recoveries.append((0, simulation.hub.free_slot))


# The settings.


def _routes(simulation: Simulation, kind: str) -> str:
    """The value of IOTHUB; uploads are in the folder "east"."""
    policy = "registryReadWrite"
    east, west = (
        hub.connection_string(policy) for hub in (simulation.hub, simulation.start_west())
    )
    return {
        "one hub": east,
        "the same folder": json.dumps({"east": east}),
        "a second hub": json.dumps({"west": west, "east": east}),
        "folder renamed": json.dumps({"north": east}),
        "hub removed": json.dumps({"west": west}),
        "another hub": west,
        "hubs swapped": json.dumps({"west": east, "east": west}),
    }[kind]


_SAME_HUB = ("one hub", "the same folder", "a second hub")
_OTHER_HUB = ("folder renamed", "hub removed", "another hub", "hubs swapped")


def _settings_change(*kinds: str) -> Callable[[Simulation, random.Random], None]:
    """Deploy the app with other settings, and later with the original ones."""

    def act(simulation: Simulation, rng: random.Random) -> None:
        former = simulation.settings
        simulation.deploy(simulation.with_hubs(_routes(simulation, rng.choice(kinds))))
        settings_with_both_hubs = simulation.with_hubs(_routes(simulation, "a second hub"))
        simulation.recoveries += [
            (0, lambda: simulation.deploy(former)),
            # Uploads first seen under the other settings wait for their hub.
            (1, lambda: simulation.deploy(settings_with_both_hubs)),
        ]

    return act


def _two_versions(*kinds: str) -> Callable[[Simulation, random.Random], None]:
    """Another process with other settings does all pending work."""

    def act(simulation: Simulation, rng: random.Random) -> None:
        kind = rng.choice(kinds)
        simulation.notes.append(f"overtaken by a process with {kind}")
        simulation.overtake(simulation.with_hubs(_routes(simulation, kind)))
        settings_with_both_hubs = simulation.with_hubs(_routes(simulation, "a second hub"))
        simulation.recoveries.append((1, lambda: simulation.deploy(settings_with_both_hubs)))

    return act


DISTURBANCES = (
    Disturbance("job lists lag", Certainty.COUNTS_UNKNOWN, _slow_lists),
    Disturbance("the log comes late", Certainty.COUNTS_UNKNOWN, _late_log),
    Disturbance(NO_LOG, Certainty.COUNTS_UNKNOWN, _no_log),
    Disturbance("foreign jobs", Certainty.COUNTS_UNKNOWN, _foreign_jobs),
    Disturbance("other routes to the hub", Certainty.END, _settings_change(*_SAME_HUB)),
    Disturbance("routes to another hub", Certainty.HUB, _settings_change(*_OTHER_HUB)),
    Disturbance("two versions, same hub", Certainty.END, _two_versions(*_SAME_HUB)),
    Disturbance("two versions, other hub", Certainty.HUB, _two_versions(*_OTHER_HUB)),
    Disturbance("deletion by hand", Certainty.OTHERS, delete_something),
    Disturbance("deletion by hand", Certainty.OTHERS, delete_something),
    Disturbance("edit by hand", Certainty.OTHERS, edit_something),
    Disturbance("edit by hand", Certainty.OTHERS, edit_something),
)
