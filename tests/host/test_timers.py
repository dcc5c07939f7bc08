from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from local.host import FunctionsHost, UsageError
from local.host.invocation import Invoker, LoopThread
from local.host.timers import TimerLoop
from local.host.triggers import HostedFunction, Schedule, TimerTrigger

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
        return self.time > self.end


def seconds_of_ticks(
    expression: str, end: int, each_takes: int = 0, run_on_startup: bool = False, fail: bool = False
) -> list[float]:
    """Run a timer loop on the clock from noon; return the start of each tick in seconds."""
    clock = Clock(NOON + timedelta(seconds=end))
    began: list[float] = []

    def poll(timer: func.TimerRequest) -> None:
        began.append((clock.time - NOON).total_seconds())
        clock.time += timedelta(seconds=each_takes)
        if fail:
            raise ConnectionError("hub is away")

    trigger = TimerTrigger("timer", Schedule(expression), run_on_startup)
    function = HostedFunction("poll", poll, ".", False, trigger)
    TimerLoop(function, trigger, Invoker(LoopThread()), clock.now).run(clock)
    return began


class TestLoop:
    def test_ticks_follow_the_schedule(self) -> None:
        assert seconds_of_ticks("*/10 * * * * *", 30) == [10, 20, 30]

    def test_ticks_do_not_overlap_and_missed_ones_are_skipped(self) -> None:
        assert seconds_of_ticks("*/10 * * * * *", 80, each_takes=25) == [10, 40, 70]

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
