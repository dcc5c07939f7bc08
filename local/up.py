"""Run Azurite, the IoT Hub emulator and the app until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Sequence

from local.azurite import AzuriteError
from local.host import HostError, Keys
from local.host.run import end_on_signal
from local.stack import SAMPLE_SETTINGS, Ports, Stack

__all__ = ["describe", "main", "wait_for_ctrl_c"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local up", description=__doc__)
    parser.add_argument(
        "--no-app",
        action="store_true",
        help="do not start the app; run it with another host, such as `func start`",
    )
    parser.add_argument(
        "--job-seconds",
        type=float,
        default=2.0,
        metavar="S",
        help="minimum duration of a hub job in seconds (default: %(default)s)",
    )
    parser.add_argument("--no-keys", action="store_true", help="serve HTTP without keys")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="[%(asctime)s] %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    try:
        with Stack(
            ports=Ports(),
            job_seconds=options.job_seconds,
            run_app=not options.no_app,
            keys=None if options.no_keys else Keys(),
        ) as stack:
            print(describe(stack), flush=True)
            wait_for_ctrl_c(stack)
    except (AzuriteError, HostError, OSError) as error:
        print(error)
        return 1
    return 0


def describe(stack: Stack) -> str:
    """List the addresses of the stack and the next step."""
    container = stack.settings["UPLOAD_CONTAINER"]
    if stack.host is None:
        remedy = f"copy {SAMPLE_SETTINGS.name} to local.settings.json and run: func start"
        app = [f"  app       not started: {remedy}"]
    else:
        app = [
            f"  app       {stack.host.address} (timer: {stack.settings['POLL_SCHEDULE']})",
            f"  dashboard {stack.host.link('/api/dashboard')}",
        ]
        if stack.host.keys:
            app.append(f"  key       {stack.host.keys.host} (for the API, as x-functions-key)")
    return "\n".join(
        (
            "",
            "The local stack is running. Ctrl-C stops it and deletes all data.",
            f"  storage   {stack.blobs.url}",
            f"  hub       {stack.hub.url} (emulator; control API at /emulator/)",
            *app,
            f"Upload a device file to the container {container} and follow its import:",
            f"  .venv/bin/device-importer upload FILE --watch --settings {SAMPLE_SETTINGS.name}",
            "",
        )
    )


def wait_for_ctrl_c(stack: Stack) -> None:
    """Wait for Ctrl-C, or for a failure that ends the functions host."""
    stop = stack.host.stopping if stack.host else threading.Event()
    end_on_signal(stop)
    stop.wait()
