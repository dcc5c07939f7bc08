from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest
from azure.storage.blob import BlobServiceClient

from local.host import FunctionsHost, UsageError, lock
from local.host.invocation import Invoker, LoopThread
from local.host.schedule import Schedule
from local.host.timers import TimerLoop
from local.host.triggers import HostedFunction, TimerTrigger
from tests.host.conftest import HostFactory

NOON = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)  # a Monday


class Clock(threading.Event):
    """A clock that is also the stop event: waiting advances the time, and ``end`` sets it."""

    def __init__(self, end: datetime) -> None:
        super().__init__()
        self.time = NOON
        self.end = end

    def now(self) -> datetime:
        return self.time

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.time += timedelta(seconds=timeout)
        return self.is_set()

    def is_set(self) -> bool:
        return self.time > self.end


def seconds_of_ticks(
    expression: str, end: int, each_takes: int = 0, run_on_startup: bool = False, fail: bool = False
) -> list[float]:
    """Run a timer loop on the clock from noon; return the start of each tick in seconds."""
    clock, turn = Clock(NOON + timedelta(seconds=end)), threading.Event()
    turn.set()
    began: list[float] = []

    def poll(timer: func.TimerRequest) -> None:
        began.append((clock.time - NOON).total_seconds())
        clock.time += timedelta(seconds=each_takes)
        if fail:
            raise ConnectionError("hub is away")

    trigger = TimerTrigger("timer", Schedule(expression), run_on_startup)
    function = HostedFunction("poll", poll, ".", False, trigger)
    TimerLoop(function, trigger, Invoker(LoopThread()), clock.now).run(clock, turn)
    return began


class TestLoop:
    def test_ticks_follow_the_schedule(self) -> None:
        assert seconds_of_ticks("*/10 * * * * *", 30) == [10, 20, 30]

    def test_overrun_is_followed_by_one_tick_at_once(self) -> None:
        assert seconds_of_ticks("*/10 * * * * *", 80, each_takes=25) == [10, 35, 60]
        assert seconds_of_ticks("0 * * * * *", 300, each_takes=150) == [60, 210]

    def test_tick_that_ends_in_time_is_followed_by_none(self) -> None:
        assert seconds_of_ticks("*/10 * * * * *", 30, each_takes=9) == [10, 20, 30]

    def test_time_span(self) -> None:
        assert seconds_of_ticks("00:00:25", 80) == [25, 50, 75]

    def test_schedule_that_never_occurs(self) -> None:
        assert seconds_of_ticks("0 0 0 30 2 *", 100_000) == []

    def test_run_on_startup(self) -> None:
        assert seconds_of_ticks("0 * * * * *", 60, run_on_startup=True) == [0, 60]

    def test_failed_tick_is_lost(self) -> None:
        assert seconds_of_ticks("0 * * * * *", 120, fail=True) == [60, 120]


class TestSchedule:
    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("30 * * * * *", datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)),
            ("0 */5 * * * *", datetime(2026, 1, 5, 12, 5, tzinfo=UTC)),
            ("0 0 6-8 * * Mon-Fri", datetime(2026, 1, 6, 6, 0, tzinfo=UTC)),
            ("0 0 0 1 * Mon", datetime(2026, 6, 1, tzinfo=UTC)),
        ],
        ids=["second-first", "step", "names", "both-days-must-match"],
    )
    def test_next_occurrence(self, expression: str, expected: datetime) -> None:
        assert Schedule(expression).next_after(NOON) == expected


def timer_app(ticked: threading.Event) -> func.FunctionApp:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="%POLL_SCHEDULE%")
    def poll(timer: func.TimerRequest) -> bool:
        ticked.set()
        return timer.past_due

    return app


class TestHost:
    def test_ticks_by_the_setting_until_stopped(self) -> None:
        ticked = threading.Event()
        settings = {"POLL_SCHEDULE": "* * * * * *"}
        with FunctionsHost(timer_app(ticked), settings, {"version": "2.0"}):
            assert ticked.wait(5)

    def test_tick_by_hand(self) -> None:
        settings = {"POLL_SCHEDULE": "0 0 0 1 1 *"}
        host = FunctionsHost(timer_app(threading.Event()), settings, {"version": "2.0"})
        assert host.tick("poll") is False
        assert host.tick("poll", past_due=True) is True
        with pytest.raises(UsageError, match="'other'"):
            host.tick("other")

    def test_stop_does_not_wait_for_the_next_occurrence(self) -> None:
        settings = {"POLL_SCHEDULE": "0 0 0 1 1 *"}
        before = set(threading.enumerate())
        with FunctionsHost(timer_app(threading.Event()), settings, {"version": "2.0"}):
            pass
        assert set(threading.enumerate()) <= before

    def test_exception_of_a_tick_by_hand_propagates(self) -> None:
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        async def poll(timer: func.TimerRequest) -> None:
            raise ConnectionError("hub is away")

        host = FunctionsHost(app, {}, {"version": "2.0"})
        try:
            with pytest.raises(ConnectionError, match="hub is away"):
                host.tick("poll")
        finally:
            host.stop()


class TestLock:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lock, "RENEWAL_SECONDS", 0.1)

    def start(self, make_host: HostFactory) -> tuple[FunctionsHost, threading.Event]:
        ticked = threading.Event()
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="timer", schedule="* * * * * *")
        def poll(timer: func.TimerRequest) -> None:
            ticked.set()

        host = make_host(app)
        host.start()
        return host, ticked

    def test_one_of_two_hosts_runs_the_timers(self, make_host: HostFactory) -> None:
        first, ticked = self.start(make_host)
        assert ticked.wait(10)
        second, other_ticked = self.start(make_host)
        for _ in range(2):
            ticked.clear()
            assert ticked.wait(10)
        assert not other_ticked.is_set()
        first.stop()
        assert other_ticked.wait(10)
        second.stop()

    def test_timers_pause_after_a_crash_until_the_lease_ends(
        self, make_host: HostFactory, settings: dict[str, str], host_id: str
    ) -> None:
        host, ticked = self.start(make_host)
        assert ticked.wait(10)
        host.stop()
        with BlobServiceClient.from_connection_string(settings["AzureWebJobsStorage"]) as service:
            blob = service.get_blob_client("azure-webjobs-hosts", f"locks/{host_id}/host")
            crashed = blob.acquire_lease(15)
            _, ticked = self.start(make_host)
            assert not ticked.wait(2)
            crashed.break_lease(0)
            assert ticked.wait(10)
