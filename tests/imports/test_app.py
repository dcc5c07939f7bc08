"""One importer per process; stack depth does not depend on the queue length."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.imports import app as module
from shared.imports.store import queue_rows
from shared.imports.workflow import hub_queue
from shared.imports.workflow import upload_scan as uploads
from tests.app import App, device


def test_threads_share_one_importer(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.importer
    monkeypatch.setattr(module, "_importer", None)
    together = threading.Barrier(8)

    def make(_: int) -> module.Importer:
        together.wait()
        return module.importer()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    try:
        assert len(set(map(id, made))) == 1
    finally:
        made[0].close()


def test_stack_depth_is_constant_if_all_queued_imports_fail(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    for queue_module in (queue_rows, hub_queue):
        monkeypatch.setattr(queue_module, "MAX_ROWS", 2)
    # Uploads appear a few seconds old, so the container is scanned once.
    monkeypatch.setattr(uploads, "MARGIN", timedelta(seconds=-60))
    app.hub.occupy_slot()
    for number in range(12):
        app.upload(f"{number}.ndjson", device(f"pump-{number}"))
        app.deliver(f"{number}.ndjson")
    for record in app.records():
        app.container_of(record).delete_blob("devices.txt")
    app.hub.free_slot()
    app.clock.ahead_minutes(5)
    depths: list[int] = []

    def note_depth(request: str) -> None:
        if request.startswith("HEAD") and request.endswith("/devices.txt"):
            depths.append(len(inspect.stack(0)))

    app.before_request = note_depth
    app.tick()
    assert {record.state for record in app.records()} == {"failed"}
    assert len(depths) == 12
    # The first one had a job, which the busy hub refused.
    assert len(set(depths[1:])) == 1
