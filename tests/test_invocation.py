"""Log lines of the app's threads belong to the invocation that they work for."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.host.invocation import InvocationContext, invocation_id_of_thread
from shared.invocation import in_this_invocation, invocation
from tests.app import App, device


class Lines(logging.Handler):
    """Records log lines with the invocation that the worker assigns to each."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, str, str | None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        thread = str(record.threadName)
        self.records.append((record.getMessage(), thread, invocation_id_of_thread()))


@pytest.mark.parametrize("tick", ["tick", "sweep"])
def test_lines_of_pool_threads_carry_the_id_of_their_tick(app: App, tick: str) -> None:
    app.hub.occupy_slot()
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.hub.free_slot()
    if tick == "sweep":
        # A file whose validation was interrupted.
        app.upload("valves.ndjson", device("valve-1"))
        app.before_request = _terminate_at("devices.txt")
        with pytest.raises(KeyboardInterrupt):
            app.deliver("valves.ndjson")
        app.before_request = lambda _: None
        app.clock.ahead_minutes(6)
    lines = Lines()
    logging.getLogger("shared").addHandler(lines)
    host = Lines()
    logging.getLogger("local.host.invocation").addHandler(host)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    try:
        getattr(app, tick)()
        getattr(app, tick)()
    finally:
        logging.getLogger().setLevel(level)
        logging.getLogger("shared").removeHandler(lines)
        logging.getLogger("local.host.invocation").removeHandler(host)
    ids = [
        match[1]
        for text, _, _ in host.records
        if (match := re.search(r"Executing.* Id=(.*)\)", text))
    ]
    assert len(ids) == len(set(ids)) == 2
    assert {name for _, name, _ in lines.records} - {"MainThread"}
    assert {invocation_id for _, _, invocation_id in lines.records} <= set(ids)
    assert lines.records[0][2] == ids[0]


def _terminate_at(name: str) -> Callable[[str], None]:
    def terminate(request: str) -> None:
        if request.endswith(name):
            raise KeyboardInterrupt

    return terminate


def test_threads_of_different_invocations_do_not_mix() -> None:
    both = threading.Barrier(2)

    def read_id() -> str | None:
        both.wait(10)
        return invocation_id_of_thread()

    with ThreadPoolExecutor(2) as pool:
        futures = []
        for name in ("a", "b"):
            with invocation(InvocationContext("advance_hubs", "", name)):
                futures.append(pool.submit(in_this_invocation(read_id)))
        assert [future.result() for future in futures] == ["a", "b"]


def test_one_function_can_run_in_many_threads_at_once() -> None:
    both = threading.Barrier(2)
    with (
        invocation(InvocationContext("sweep", "", "a")),
        ThreadPoolExecutor(2) as pool,
    ):
        wait = in_this_invocation(lambda _: both.wait(10))
        assert sorted(pool.map(wait, range(2))) == [0, 1]
