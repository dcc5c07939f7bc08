"""Small imports per second, beside the hub's own maximum."""

from __future__ import annotations

import multiprocessing
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from bench.environment import Cost, HubProcess, Scene
from bench.events import Delivery, deliver
from bench.table_rows import job_request, lines, start_job
from shared.device_files.mapping.file_mapping import MAPPING_NAME
from shared.hub.jobs import JobProperties
from shared.imports.model.states import ImportState
from shared.imports.operate.import_filter import ImportFilter

__all__ = ["Pace", "ceiling", "throughput"]

#: Files that are uploaded at the same time.
_UPLOADS = 4
#: Seconds between two looks at a job.
_POLL = 0.01
#: Each file has a job of its own, as each job by hand has one.
_ALONE: dict[str, Any] = {
    "TICK_SECONDS": "20",
    "JOB_POLL_SECONDS": str(_POLL),
    "JOB_FILES": "1",
}


@dataclass(frozen=True)
class Pace:
    """So many imports in a row."""

    count: int
    #: Of which some may have had several imports.
    jobs: int
    cost: Cost
    #: Medians of seconds: of a job, and from a job's end to the next one's start, by the hub's
    #: clock.
    job_seconds: float
    gap_seconds: float
    #: Seconds from the first event to the last.
    event_seconds: float = 0
    #: Those that had ended by then.
    ended_before: int = 0
    #: Requests by kind.
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return self.count / self.cost.seconds

    @property
    def rate_after_events(self) -> float:
        """Of those that ended when nothing was left but to start and follow jobs."""
        return (self.count - self.ended_before) / (self.cost.seconds - self.event_seconds)


def ceiling(storage: str, hub: HubProcess, count: int, devices: int = 1) -> Pace:
    """Jobs by hand, one after another, with one staged file: all that the hub can do.

    Args:
        devices: in the file.
    """
    with Scene(storage, hub.connection_string) as scene:
        request = job_request(scene, devices)
        jobs: list[JobProperties] = []

        def run() -> None:
            client = scene.importer.services.hubs[scene.hub]
            for _ in range(count):
                job_id = start_job(scene, request)
                while not (job := client.get_job(job_id)).status.is_final:
                    time.sleep(_POLL)
                jobs.append(job)

        cost = scene.cost(run)
    return _pace([(job.start_time_utc, job.end_time_utc) for job in jobs], count, cost)


def throughput(
    storage: str,
    hub: HubProcess,
    count: int,
    devices: int = 1,
    settings: Mapping[str, Any] = MappingProxyType(_ALONE),
) -> Pace:
    """Uploads, from the first event to the last record, with ticks throughout.

    Args:
        devices: in each upload.
    """
    with (
        Scene(storage, hub.connection_string, **settings) as scene,
        # As in Azure, events and timers are in processes of their own.
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as events,
    ):
        names = [f"{number:07}.ndjson" for number in range(count)]
        with ThreadPoolExecutor(_UPLOADS) as pool:
            files = (lines(number * devices, devices) for number in range(count))
            for _ in pool.map(scene.upload, names, files):
                pass
        # The process is there when time begins.
        events.submit(deliver, scene.environment, ()).result()

        def run() -> Delivery:
            delivering = events.submit(deliver, scene.environment, names)
            while not delivering.done() or scene.importer.services.queue_rows.oldest(scene.hub):
                scene.importer.on_tick()
                time.sleep(_POLL)
            return delivering.result()

        delivery, cost = scene.measured(run)
        requests = [*delivery.requests, *scene.traffic.requests]
        records = scene.importer.reader.page(ImportFilter(), count).imports
    ended = [record.finished_at for record in records if record.state is ImportState.COMPLETED]
    assert len(ended) == count, "not all imports were completed"
    return _pace(
        {(record.job.start_time_utc, record.job.end_time_utc) for record in records},
        count,
        replace(
            cost,
            requests=len(requests),
            cpu_seconds=cost.cpu_seconds + delivery.cpu_seconds,
        ),
        event_seconds=(delivery.ended_at - delivery.begun_at).total_seconds(),
        ended_before=sum(1 for time in ended if time and time <= delivery.ended_at),
        kinds=Counter(map(_kind, requests)),
    )


def _pace(
    jobs: Iterable[tuple[datetime | None, datetime | None]], count: int, cost: Cost, **more: Any
) -> Pace:
    spans = sorted((start, end) for start, end in jobs if start and end)
    gaps = [(start - end).total_seconds() for (_, end), (start, _) in pairwise(spans)]
    return Pace(
        count=count,
        jobs=len(spans),
        cost=cost,
        job_seconds=statistics.median((end - start).total_seconds() for start, end in spans),
        gap_seconds=statistics.median(gaps) if gaps else 0,
        **more,
    )


def _kind(request: str) -> str:
    """What a request is for, without the names of this or that import."""
    method, path = request.split(" ", 1)
    if path.startswith("/jobs"):
        return f"hub {method} job"
    _, _, name, *blob = path.split("/")
    if name.startswith(("Imports", "Tables", "$batch")):
        is_query = name.endswith("()")
        return f"table {'transaction' if name == '$batch' else 'query' if is_query else method}"
    if name.startswith("uploads-"):
        if blob and blob[-1] == MAPPING_NAME:
            return f"{method} mapping"
        return f"{method} upload" if blob else "list uploads"
    what = re.sub(r"-[0-9a-f]{12}(?=\.)", "", blob[0]) if blob else ""
    return f"{method} import container{f', {what}' if what else ''}"
