"""Requests to storage and hub in each phase of an import.

The limits are requirements; raising one affects cost and throttling.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.imports.workflow import upload_scan as uploads
from tests.app import App, device

NAME = "pumps.ndjson"


@pytest.mark.parametrize("hub", [{"job_seconds": 1.0}], indirect=True)
def test_request_count_of_an_import(app: App) -> None:
    # The first import creates the table.
    app.upload("first.ndjson", device("pump-0"))
    app.deliver("first.ndjson")
    app.finish()

    with app.counting() as idle:
        app.tick()
    app.upload(NAME, device("pump-1", authentication={"type": "certificateAuthority"}))
    with app.counting() as started:
        app.deliver(NAME)
    assert app.record(NAME).state == "running"
    with app.counting() as running:
        app.tick()
    app.hub.wait_idle()
    with app.counting() as ended:
        app.tick()
    assert app.record(NAME).state == "completed"

    for moment, requests in zip(
        ("event to job started", "tick while it runs", "its end", "idle tick"),
        (started, running, ended, idle),
        strict=True,
    ):
        print(f"{moment}: {len(requests)}", *requests, sep="\n  ")
    assert len(started) <= 15
    assert len(running) <= 3
    assert len(ended) <= 7
    assert len(idle) == 1


def test_queued_imports_add_no_requests_to_a_tick(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick checks only the first import of the queue."""
    # Uploads appear a few seconds old.
    monkeypatch.setattr(uploads, "MARGIN", timedelta(seconds=-60))
    app.hub.occupy_slot()
    # The first tick of a minute stores its timestamp.
    app.tick()
    costs = []
    for waiting in range(3):
        app.upload(f"{waiting}.ndjson", device(f"pump-{waiting}"))
        app.deliver(f"{waiting}.ndjson")
        with app.counting() as requests:
            app.tick()
        costs.append(len(requests))
    assert costs[0] == costs[1] == costs[2]
