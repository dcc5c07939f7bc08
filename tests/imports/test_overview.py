"""What the overview shows agrees, whatever changes between its requests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.operate.reader import Overview
from tests.app import App, device
from tests.web.guarded import deletion, guard


def read(app: App) -> Overview:
    return app.importer.reader.overview(ImportFilter(), 100, "", 1)


def deliver(app: App, name: str) -> ImportRecord:
    app.upload(name, device(name))
    app.deliver(name)
    return app.record(name)


def assert_agreement(overview: Overview) -> None:
    """Of every import, which are all on the page."""
    [queue] = overview.queues
    [today] = overview.days
    shown = overview.page.imports
    states = [record.state for record in shown]
    waiting = [record for record in shown if not record.state.is_final and record.state != "held"]
    assert queue.length == len(waiting)
    assert queue.running == states.count(ImportState.RUNNING)
    assert overview.held == states.count(ImportState.HELD)
    assert today.imports.total() == sum(state.is_final for state in states)
    if queue.head:
        head = next(record for record in shown if record.id == queue.head.id)
        assert (head.state, head.job.progress) == (queue.head.state, queue.head.job.progress)
        assert queue.waiting == len(waiting) - len({head.id} | ids_of(shown, ImportState.RUNNING))
    queued = [record for record in waiting if record.state is ImportState.QUEUED]
    queued.sort(key=lambda record: record.queue_key)
    positions = [record.queue_position for record in queued if record.queue_position]
    assert positions == sorted(positions)
    if positions and queue.running:
        assert positions[0] == 2


def ids_of(imports: object, state: ImportState) -> set[str]:
    assert isinstance(imports, list)
    return {record.id for record in imports if record.state is state}


def end_and_start(app: App) -> None:
    app.hub.wait_idle()
    app.tick()


def enter(app: App) -> None:
    deliver(app, f"{len(app.records()):02}-new.ndjson")


def cancel_last(app: App) -> None:
    queued = [record for record in app.records() if record.state is ImportState.QUEUED]
    app.importer.actions.cancel(max(queued, key=lambda record: record.queue_key))


def hold(app: App) -> None:
    name = f"{len(app.records()):02}-delete.ndjson"
    app.upload(name, deletion(0))
    app.deliver(name)
    app.finish()


@pytest.mark.parametrize("change", [end_and_start, enter, cancel_last, hold])
def test_a_change_between_two_requests(app: App, change: Callable[[App], None]) -> None:
    if change is hold:
        guard(app)
    # Every file of the test touches the device of its own; a hub has one job at a time.
    app.configure(JOB_FILES="1")
    for number in range(2):
        deliver(app, f"{number:02}.ndjson")
    assert_agreement(read(app))
    moments = count()
    while True:
        deliver(app, f"{len(app.records()):02}-next.ndjson")
        moment = Moment(app, next(moments), change)
        overview = read(app)
        app.before_request = lambda _: None
        if not moment.is_over:
            # Every request was the moment once.
            return
        assert_agreement(overview)


class Moment:
    """Changes something before the request with that number."""

    def __init__(self, app: App, number: int, change: Callable[[App], None]) -> None:
        self._app = app
        self._change = change
        self.requests_left = number
        self.is_over = False
        app.before_request = self._before

    def _before(self, _: str) -> None:
        if self.requests_left == 0:
            self.is_over = True
            self._app.before_request = lambda _: None
            self._change(self._app)
        self.requests_left -= 1
