"""Other events in a simulation: changed settings, slow hubs, deletions and edits by operators.

Each disturbance acts at one request of the app, as faults do, and says how much of a scenario's end
it leaves certain.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from shared.errors import NotPossibleError
from shared.imports.app import Importer
from tests.faults.manual_changes import cancel_jobs, delete_something, edit_something
from tests.faults.scenario import FILES, cancel_imports, retry_imports
from tests.faults.simulation import Simulation, device

__all__ = [
    "DISTURBANCES",
    "NEXT",
    "NO_LOG",
    "STALLS",
    "Certainty",
    "Disturbance",
]

NO_LOG = "no log comes"
#: An upload that comes while a process is stalled.
NEXT = "east/next.ndjson"


class Certainty(IntEnum):
    """How much of the scenario's expected end still applies; each includes the ones after it."""

    #: All of it.
    END = 0
    #: The result of a job may be unknown, and must be recorded as unknown.
    COUNTS_UNKNOWN = 1
    #: An operator cancelled imports, or retried them.
    OPERATOR = 2
    #: An upload first seen under other settings belongs to another hub, or to none.
    HUB = 3
    #: Edited imports become final and are not applied twice; others have their expected end.
    OTHERS = 4


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


# Processes that stall and go on later.


def stall_and_cancel(simulation: Simulation, rng: random.Random) -> None:
    """Before another process goes on, or after it has, an operator cancels what is open."""
    files = rng.choice([FILES, *((file,) for file in FILES)])
    cancel = _each(cancel_imports, simulation, files)
    is_first = rng.random() < 0.7
    simulation.notes.append(f"stalled; {files} cancelled {'first' if is_first else 'last'}")
    simulation.overtake(first=cancel if is_first else None, last=None if is_first else cancel)


def stall_and_retry(simulation: Simulation, _: random.Random) -> None:
    """Another process goes on, and an operator retries what can be retried; that is done, too."""
    retry = _each(retry_imports, simulation, FILES)

    def retry_and_tick(importer: Importer) -> None:
        retry(importer)
        importer.on_tick()

    simulation.notes.append("stalled; retried")
    simulation.overtake(first=_each(cancel_imports, simulation, FILES), last=retry_and_tick)


def stall_until_next_job(simulation: Simulation, _: random.Random) -> None:
    """Another process goes on, and the hub's slot is taken by the job of a later upload."""
    simulation.notes.append("stalled until the next job runs")
    hung_before = simulation.job_hangs

    def next_job(importer: Importer) -> None:
        simulation.upload(NEXT, device("pump-8", tags={"n": 1}))
        simulation.hub.faults.add("hangJob")
        simulation.job_hangs = True
        importer.on_upload(simulation.container.container_name, NEXT)
        importer.on_tick()

    def end() -> None:
        simulation.job_hangs = hung_before
        # Nor does any later job hang.
        simulation.hub.faults.clear()
        cancel_jobs(simulation)

    # By then the app has cancelled a job of the scenario that hangs.
    simulation.recoveries.append((3 if hung_before else 0, end))
    simulation.overtake(last=next_job)


def _each(
    action: Callable[..., Callable[[Importer], None]], simulation: Simulation, files: Sequence[str]
) -> Callable[[Importer], None]:
    """The action on each of some files, as far as it is possible."""

    def act(importer: Importer) -> None:
        for file in files:
            with contextlib.suppress(NotPossibleError):
                action(simulation, file)(importer)

    return act


STALLS = (stall_and_cancel, stall_and_retry, stall_until_next_job)

DISTURBANCES = (
    Disturbance("job lists lag", Certainty.COUNTS_UNKNOWN, _slow_lists),
    Disturbance("the log comes late", Certainty.COUNTS_UNKNOWN, _late_log),
    Disturbance(NO_LOG, Certainty.COUNTS_UNKNOWN, _no_log),
    Disturbance("foreign jobs", Certainty.COUNTS_UNKNOWN, _foreign_jobs),
    Disturbance("other routes to the hub", Certainty.END, _settings_change(*_SAME_HUB)),
    Disturbance("routes to another hub", Certainty.HUB, _settings_change(*_OTHER_HUB)),
    Disturbance("two versions, same hub", Certainty.END, _two_versions(*_SAME_HUB)),
    Disturbance("two versions, other hub", Certainty.HUB, _two_versions(*_OTHER_HUB)),
    Disturbance("stalled, cancelled meanwhile", Certainty.OPERATOR, stall_and_cancel),
    Disturbance("stalled, retried meanwhile", Certainty.OPERATOR, stall_and_retry),
    Disturbance("stalled until the next job", Certainty.OPERATOR, stall_until_next_job),
    Disturbance("deletion by hand", Certainty.OTHERS, delete_something),
    Disturbance("deletion by hand", Certainty.OTHERS, delete_something),
    Disturbance("edit by hand", Certainty.OTHERS, edit_something),
    Disturbance("edit by hand", Certainty.OTHERS, edit_something),
)
