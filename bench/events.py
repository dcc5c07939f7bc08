"""Delivers events of uploads from a process of its own, as the platform does."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from bench.environment import Traffic
from shared.imports.app import Importer, utc_now
from shared.settings import load_settings

__all__ = ["Delivery", "deliver"]

#: Events that are delivered at the same time.
_THREADS = 4


@dataclass(frozen=True)
class Delivery:
    """What the delivery of all events took."""

    begun_at: datetime
    ended_at: datetime
    cpu_seconds: float
    #: `METHOD path` of each.
    requests: list[str]


def deliver(environment: Mapping[str, str], names: Sequence[str]) -> Delivery:
    """Deliver one event of each upload; the environment holds the app's settings."""
    os.environ.update(environment)
    traffic = Traffic()
    importer = Importer(load_settings(), utc_now, traffic.transport)
    container = importer.services.settings.uploads.container
    begun_at, cpu = utc_now(), time.process_time()
    with ThreadPoolExecutor(_THREADS, "event") as pool:
        for _ in pool.map(lambda name: importer.on_upload(container, name), names):
            pass
    importer.close()
    return Delivery(begun_at, utc_now(), time.process_time() - cpu, traffic.requests)
