"""One process of the app: gets events on its standard input, and fires its own timers.

    python -m tests.races.worker CONTAINER TALLY SEED FAULTS [tick] [sweep]

A line of the input is the name of a blob that an event announces, or CALM: no more faults. The
output repeats the names of events that were handled, or given up. The end of the input ends the
process once it has handled what it was told.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from queue import Queue

from azure.core.exceptions import AzureError

from shared.errors import ImporterError
from shared.imports.app import Importer, utc_now
from shared.imports.workflow import job_follower as follower
from shared.imports.workflow import job_starter as queue
from shared.settings import load_settings
from tests.races.faulty import FaultyTransport, Tally

__all__ = ["CALM", "UNEXPECTED"]

#: On the input: the faults end.
CALM = "*calm*"
#: In the log: an exception that faults do not explain.
UNEXPECTED = "UNEXPECTED"

#: Events that are handled at the same time.
THREADS = 2
#: Times that the platform delivers an event whose function failed.
TRIES = 5
#: Less than the settings allow, so that the work of killed processes is resumed within the test.
#: The emulator answers each call at once.
LEASE_SECONDS = 2
#: The same of the time after which a job that has not appeared will not: its list does not lag.
LOG_GRACE = timedelta(seconds=3)
#: Seconds between runs of the timers.
TICK_PAUSE = 0.05
SWEEP_PAUSE = 2.0


class Watch(logging.Handler):
    """Marks exceptions in the log that are neither the SDK's nor the app's own."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            judge(record.exc_info[1])


def judge(error: BaseException) -> None:
    if not isinstance(error, AzureError | ImporterError):
        print(f"{UNEXPECTED} {error!r}", file=sys.stderr, flush=True)


class Worker:
    """The importer and the threads that call it."""

    def __init__(self, container: str, tally: Tally, seed: int, share: float) -> None:
        self._container = container
        self._transports: list[FaultyTransport] = []
        self._events: Queue[str | None] = Queue()
        self._stop = threading.Event()

        def transport() -> FaultyTransport:
            dice = random.Random(f"{seed}-{len(self._transports)}")
            self._transports.append(FaultyTransport(share, dice, tally))
            return self._transports[-1]

        settings = load_settings()
        retries = settings.retries.model_copy(update={"lease_seconds": LEASE_SECONDS})
        settings = replace(settings, retries=retries)
        self._importer = Importer(settings, utc_now, transport)

    def run(self, timers: set[str]) -> None:
        threads = [threading.Thread(target=self._handle_events) for _ in range(THREADS)]
        if "tick" in timers:
            threads.append(self._timer(self._importer.on_tick, TICK_PAUSE))
        if "sweep" in timers:
            threads.append(self._timer(self._importer.on_sweep, SWEEP_PAUSE))
        for thread in threads:
            thread.start()
        for line in sys.stdin:
            if line.strip() == CALM:
                for transport in self._transports:
                    transport.recover()
            else:
                self._events.put(line.strip())
        self._stop.set()
        for _ in range(THREADS):
            self._events.put(None)
        for thread in threads:
            thread.join()
        self._importer.close()

    def _timer(self, function: Callable[[], None], pause: float) -> threading.Thread:
        def fire() -> None:
            while not self._stop.wait(pause):
                _attempt(function)

        return threading.Thread(target=fire)

    def _handle_events(self) -> None:
        while (name := self._events.get()) is not None:
            for _ in range(TRIES):
                if _attempt(partial(self._importer.on_upload, self._container, name)):
                    break
                time.sleep(0.01)
            print(name, flush=True)


def _attempt(function: Callable[[], None]) -> bool:
    try:
        function()
    except Exception as error:
        judge(error)
        logging.exception("failed")
        return False
    return True


def main() -> None:
    container, tally, seed, share, *timers = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.getLogger().addHandler(Watch())
    FaultyTransport.never_wait()
    for module in (follower, queue):
        vars(module)["LOG_GRACE"] = LOG_GRACE
    Worker(container, Tally(Path(tally)), int(seed), float(share)).run(set(timers))


if __name__ == "__main__":
    main()
