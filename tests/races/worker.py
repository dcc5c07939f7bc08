"""One process of the app: reads events from standard input, and runs its own timers.

    python -m tests.races.worker CONTAINER COUNTS_FILE SEED FAULTS [tick] [sweep]

A line of the input is the name of a blob that an event announces, or NO_MORE_FAULTS. The output
repeats the names of events that were handled or given up. At the end of the input the process
handles the events that it has, and ends.
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
from shared.imports.workflow import job_ends, job_follower, job_starter, planning
from shared.settings import load_settings
from tests.races.faulty_transport import FaultyTransport, RequestCounts

__all__ = ["NO_MORE_FAULTS", "UNEXPECTED"]

#: On the input: the faults end.
NO_MORE_FAULTS = "*no more faults*"
#: In the log: an exception that no fault explains.
UNEXPECTED = "UNEXPECTED"

#: Number of concurrent events.
THREADS = 2
#: Delivery attempts of the platform for a failing event.
ATTEMPTS = 5
#: Less than the settings allow, so that the work of killed processes is resumed within the test.
#: The emulator responds immediately.
LEASE_SECONDS = 2
#: The emulator's job list has no delay, so the deadline for a job to appear is short too.
LOG_GRACE = timedelta(seconds=3)
#: Seconds between runs of the timers.
TICK_PAUSE = 0.05
SWEEP_PAUSE = 2.0


class UnexpectedErrors(logging.Handler):
    """Marks exceptions in the log that are neither the SDK's nor the app's own."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            report_unexpected(record.exc_info[1])


def report_unexpected(error: BaseException) -> None:
    if not isinstance(error, AzureError | ImporterError):
        print(f"{UNEXPECTED} {error!r}", file=sys.stderr, flush=True)


class Worker:
    """The importer and the threads that call it."""

    def __init__(
        self, container: str, counts_file: RequestCounts, seed: int, fraction: float
    ) -> None:
        self._container = container
        self._transports: list[FaultyTransport] = []
        self._events: Queue[str | None] = Queue()
        self._stop = threading.Event()

        def transport() -> FaultyTransport:
            rng = random.Random(f"{seed}-{len(self._transports)}")
            self._transports.append(FaultyTransport(fraction, rng, counts_file))
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
            if line.strip() == NO_MORE_FAULTS:
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
            for _ in range(ATTEMPTS):
                if _attempt(partial(self._importer.on_upload, self._container, name)):
                    break
                time.sleep(0.01)
            print(name, flush=True)


def _attempt(function: Callable[[], None]) -> bool:
    try:
        function()
    except Exception as error:
        report_unexpected(error)
        logging.exception("failed")
        return False
    return True


def main() -> None:
    container, counts_file, seed, fraction, *timers = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.getLogger().addHandler(UnexpectedErrors())
    FaultyTransport.never_wait()
    for module in (job_ends, job_follower, job_starter, planning):
        vars(module)["LOG_GRACE"] = LOG_GRACE
    Worker(container, RequestCounts(Path(counts_file)), int(seed), float(fraction)).run(set(timers))


if __name__ == "__main__":
    main()
