"""One tick: every hub is advanced side by side, and the tick stays while short jobs run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait

from shared import logs, telemetry
from shared.errors import TemporaryError
from shared.imports.services import Services
from shared.imports.workflow.hub_queue import HubQueue
from shared.invocation import in_this_invocation
from shared.transport import MAX_CONNECTIONS

__all__ = ["Tick"]

log = logs.logger(__name__)

#: Seconds that a tick waits for its hubs. A call of one may take a minute.
HUB_TIMEOUT = 20

Step = Callable[[str], bool]


class Tick:
    """A hub that takes long does not hold up the others.

    It continues in its thread, and later ticks leave it out until it is done.
    """

    def __init__(self, services: Services, hub_queue: HubQueue) -> None:
        self._settings = services.settings
        self._hubs = services.hubs.keys()
        self._hub_queue = hub_queue
        self._pool = ThreadPoolExecutor(min(MAX_CONNECTIONS, len(self._hubs)), "hub")
        #: Hubs that are being advanced.
        self._running: dict[str, Future[bool]] = {}

    def run(self) -> None:
        """Advance every hub; stay for a while with those whose jobs are short and many.

        Raises:
            TemporaryError: at least one hub failed; the others were advanced.
        """
        end = time.monotonic() + self._settings.schedules.tick_seconds
        failed: set[str] = set()
        hubs = self._advance(self._hubs, failed)
        while hubs and time.monotonic() + self._settings.schedules.job_poll_seconds <= end:
            time.sleep(self._settings.schedules.job_poll_seconds)
            hubs = self._advance(hubs, failed)
        if failed:
            raise TemporaryError(f"could not be advanced: {', '.join(sorted(failed))}; see the log")

    def close(self) -> None:
        self._pool.shutdown()

    def _advance(self, hubs: Collection[str], failed: set[str]) -> set[str]:
        """Advance each hub; adds to those that failed, returns those to ask again soon."""
        run = in_this_invocation(_logged(self._hub_queue.advance))
        started = {hub: self._pool.submit(run, hub) for hub in hubs if hub not in self._running}
        self._running |= started
        wait(started.values(), HUB_TIMEOUT)
        soon = set()
        for hub, future in list(self._running.items()):
            with logs.log_context(logs.LogContext(hub=hub)):
                if not future.done():
                    log.warning("the hub takes long; the others continue without it")
                    continue
                del self._running[hub]
                try:
                    if future.result():
                        soon.add(hub)
                except Exception:
                    log.exception("the hub could not be advanced")
                    failed.add(hub)
        return soon


def _logged(step: Step) -> Step:
    """A step whose log lines name the hub. Mostly it does nothing, so it makes no trace."""

    def run(hub: str) -> bool:
        with logs.log_context(logs.LogContext(hub=hub)), telemetry.suppress_sdk_spans():
            return step(hub)

    return run
