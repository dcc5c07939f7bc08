"""Timer triggers: one loop per function without overlapping ticks."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from azure.functions import meta

from local.host.invocation import Invoker
from local.host.schedule import Schedule
from local.host.triggers import HostedFunction, TimerTrigger

__all__ = ["TimerLoop", "timer_request"]

logger = logging.getLogger(__name__)

#: Seconds between checks whether this host runs the timers.
_TURN_INTERVAL: Final = 0.5
#: Seconds; a thread cannot wait for a schedule that never occurs.
_LONGEST_WAIT: Final = 3600.0


def timer_request(schedule: Schedule, now: datetime, *, past_due: bool) -> Any:
    """Build the TimerRequest as the worker does."""
    info = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {
            "Last": now.isoformat(),
            "Next": schedule.next_after(now).isoformat(),
            "LastUpdated": now.isoformat(),
        },
        "IsPastDue": past_due,
    }
    registry = meta.get_binding_registry()  # type: ignore[no-untyped-call]
    converter: Any = registry.get("timerTrigger")
    return converter.decode(meta.Datum(json.dumps(info), "json"), trigger_metadata={})


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TimerLoop:
    """Runs the ticks of one function, never two at once.

    A tick that overran an occurrence is followed by one immediately (WebJobs extensions,
    TimerListener). A failed tick is logged and not repeated.
    """

    def __init__(
        self,
        function: HostedFunction,
        trigger: TimerTrigger,
        invoker: Invoker,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._function = function
        self._trigger = trigger
        self._invoker = invoker
        self._now = now

    def tick(self, *, past_due: bool = False) -> Any:
        """Invoke once immediately; exceptions of the function propagate."""
        request = timer_request(self._trigger.schedule, self._now(), past_due=past_due)
        return self._invoker.invoke(self._function, request, "Timer fired")

    def run(self, stop: threading.Event, turn: threading.Event) -> None:
        """Tick according to the schedule until ``stop`` is set, and only while ``turn`` is set."""
        due: datetime | None = None
        starting = self._trigger.run_on_startup
        while not stop.is_set():
            if not turn.wait(_TURN_INTERVAL):
                due = None
                continue
            now = self._now()
            if due is None:
                due = now if starting else self._trigger.schedule.next_after(now)
                starting = False
            if due > now:
                stop.wait(min((due - now).total_seconds(), _LONGEST_WAIT))
                continue
            due = self._trigger.schedule.next_after(now)
            self._try_tick()

    def _try_tick(self) -> None:
        try:
            self.tick()
        except Exception:
            logger.warning("a tick of '%s' failed and is not repeated", self._function.name)
