"""Timer triggers: one loop per function without overlapping ticks."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from azure.functions import meta

from local.host.invocation import Invoker
from local.host.triggers import HostedFunction, Schedule, TimerTrigger

__all__ = ["TimerLoop", "timer_request"]

logger = logging.getLogger(__name__)


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
    """Runs the ticks of one function.

    The next occurrence is computed at the end of a tick, so occurrences during a long tick are
    skipped (WebJobs extensions, TimerListener). A failed tick is logged and not repeated.
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

    def run(self, stop: threading.Event) -> None:
        """Tick according to the schedule until the event is set."""
        if self._trigger.run_on_startup:
            self._try_tick()
        while not self._wait(stop):
            self._try_tick()

    def _wait(self, stop: threading.Event) -> bool:
        """Wait for the next occurrence; return True if the loop must end."""
        now = self._now()
        return stop.wait((self._trigger.schedule.next_after(now) - now).total_seconds())

    def _try_tick(self) -> None:
        try:
            self.tick()
        except Exception:
            logger.warning("a tick of '%s' failed and is not repeated", self._function.name)
