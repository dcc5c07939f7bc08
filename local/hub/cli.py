"""The command that runs the emulator by itself."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Sequence

from local.hub.emulator import HubEmulator

DEFAULT_PORT = 8081
#: About what a small job took in the az CLI's tests.
DEFAULT_JOB_SECONDS = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # The storage client logs several lines for each of its requests.
    logging.getLogger("azure").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with HubEmulator(
        port=arguments.port,
        job_seconds=arguments.job_seconds,
        echo_uris=not arguments.no_echo_uris,
        identity_connection_string=arguments.storage,
    ) as hub:
        print(f"The hub emulator listens at http://{hub.address}")
        print(f"Connection string (development only): {hub.connection_string()}", flush=True)
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local hub", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument(
        "--job-seconds",
        type=float,
        default=DEFAULT_JOB_SECONDS,
        metavar="S",
        help="least time from a job's creation to its end",
    )
    parser.add_argument(
        "--no-echo-uris",
        action="store_true",
        help="jobs do not show the container URIs that they were created with",
    )
    parser.add_argument(
        "--storage",
        metavar="CONNECTION_STRING",
        help="storage that the hub's managed identity can access",
    )
    return parser
