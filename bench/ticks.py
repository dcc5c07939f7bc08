"""The cost of a tick by ended imports, waiting imports and other hubs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.environment import Cost, HubProcess, Scene
from bench.table_rows import (
    LINE,
    add_import,
    add_staged_import,
    fill_history,
    job_request,
    start_job,
)
from shared.imports.model.parts import HubJob
from shared.imports.model.states import ImportState

__all__ = [
    "BEHIND_BUSY",
    "BEHIND_JOB",
    "EVENT",
    "FIRST",
    "IDLE",
    "JOB",
    "Row",
    "by_history",
    "by_hubs",
    "by_queue",
]

IDLE, FIRST, JOB = "idle", "idle, the first", "a job runs"
EVENT = "an upload's event"
BEHIND_JOB, BEHIND_BUSY = "behind a job", "behind a busy hub"

#: The median of so many ticks counts.
_TICKS = 5


@dataclass(frozen=True)
class Row:
    """What one moment costs with so many of what is asked about."""

    what: str
    count: int
    cost: Cost


def by_history(storage: str, counts: Sequence[int]) -> tuple[list[Row], float]:
    """With so many imports that ended; also tells the seconds that writing the last took."""
    rows: list[Row] = []
    with _hung_job(storage) as (hub, job_id):
        for count in counts:
            with Scene(storage, hub.connection_string) as scene:
                start = time.perf_counter()
                fill_history(scene, count)
                seconds = time.perf_counter() - start
                rows.append(Row(IDLE, count, _tick(scene)))
                add_import(scene, scene.hub, 0, state=ImportState.RUNNING, job=HubJob(id=job_id))
                rows.append(Row(JOB, count, _tick(scene)))
                rows.append(Row(EVENT, count, _event(scene)))
    return rows, seconds


def by_queue(storage: str, counts: Sequence[int]) -> list[Row]:
    """With so many imports in the queue behind its head."""
    rows: list[Row] = []
    with _hung_job(storage) as (hub, job_id):
        for count in counts:
            with Scene(storage, hub.connection_string) as scene:
                add_import(scene, scene.hub, 0, state=ImportState.RUNNING, job=HubJob(id=job_id))
                _add_queue(scene, count)
                rows.append(Row(BEHIND_JOB, count, _tick(scene)))
    with HubProcess(storage) as hub:
        hub.occupy_slot()
        for count in counts:
            with Scene(storage, hub.connection_string) as scene:
                # The head too waits.
                add_staged_import(scene, scene.hub, 0)
                _add_queue(scene, count)
                rows.append(Row(BEHIND_BUSY, count, _tick(scene)))
    return rows


def by_hubs(storage: str, counts: Sequence[int], latency: float) -> list[Row]:
    """With so many hubs, and each request late. One emulator stands for all of them."""
    rows: list[Row] = []
    with _hung_job(storage) as (hub, job_id):
        for count in counts:
            hubs = [f"hub{number:04}" for number in range(count)]
            with Scene(storage, hub.connection_string, aliases=hubs) as scene:
                # So that the table is there.
                add_import(scene, "elsewhere", 0)
                scene.traffic.latency = latency
                rows.append(Row(FIRST, count, scene.cost(scene.importer.on_tick)))
                rows.append(Row(IDLE, count, _tick(scene)))
                scene.traffic.latency = 0
                for name in hubs:
                    add_import(scene, name, 0, state=ImportState.RUNNING, job=HubJob(id=job_id))
                scene.traffic.latency = latency
                rows.append(Row(JOB, count, _tick(scene)))
    return rows


def _tick(scene: Scene) -> Cost:
    """What a tick costs that finds all as the one before left it."""
    # The first one writes the job's row, the second what the hub says of the job.
    for _ in range(2):
        scene.importer.on_tick()
    return scene.cost(scene.importer.on_tick, _TICKS)


def _event(scene: Scene) -> Cost:
    """What an upload costs from its event until it waits in the queue."""
    names = [f"{number}.ndjson" for number in range(_TICKS)]
    for name in names:
        scene.upload(name, LINE % 0)
    uploads = iter(names)
    return scene.cost(lambda: scene.importer.on_upload(scene.container, next(uploads)), _TICKS)


def _add_queue(scene: Scene, count: int) -> None:
    for number in range(1, count + 1):
        add_import(scene, scene.hub, number, state=ImportState.QUEUED)


@contextlib.contextmanager
def _hung_job(storage: str) -> Iterator[tuple[HubProcess, str]]:
    """A hub with a job that does not end, and the job's id."""
    with HubProcess(storage) as hub, Scene(storage, hub.connection_string) as scene:
        hub.hang_next_job()
        yield hub, start_job(scene, job_request(scene))
