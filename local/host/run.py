"""Run the functions app of the current folder until Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import azure.functions as func

from local.host.errors import HostError, UsageError
from local.host.host import FunctionsHost
from local.host.keys import Keys
from local.host.settings import load_settings
from local.host.triggers import HttpTrigger, TimerTrigger

__all__ = ["end_on_signal", "load_app", "main"]

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Host the app until SIGINT or SIGTERM; return the exit status."""
    options = _parse(argv)
    logging.basicConfig(
        level=logging.INFO, format="[%(asctime)s] %(levelname)s %(name)s: %(message)s"
    )
    # The SDKs log every request at INFO.
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        # As in Core Tools, environment variables override the file.
        for name, value in load_settings(options.settings).items():
            os.environ.setdefault(name, value)
        app = load_app(Path.cwd())
        host = FunctionsHost(
            app,
            os.environ,
            Path("host.json"),
            host_id=options.host_id,
            port=options.port,
            keys=None if options.no_keys else Keys(),
        )
        end_on_signal(host.stopping)
        with host:
            _show(host)
            host.stopping.wait()
    except HostError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def end_on_signal(stopping: threading.Event) -> None:
    """Set the event at the first SIGINT or SIGTERM, and end the process at the second."""

    def handle(*_: object) -> None:
        if stopping.is_set():
            os._exit(1)
        print("Waiting for running functions; Ctrl-C again ends them.", flush=True)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def load_app(folder: Path) -> func.FunctionApp:
    """Import ``function_app`` from a folder and return its one FunctionApp, whatever its name."""
    if not (folder / "function_app.py").is_file():
        raise UsageError(f"{folder} does not contain function_app.py")
    sys.path.insert(0, str(folder))
    module = importlib.import_module("function_app")
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionApp)]
    if len(apps) != 1:
        raise UsageError(
            f"function_app.py must contain exactly one FunctionApp, but has {len(apps)}"
        )
    return apps[0]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local host", description=__doc__)
    parser.add_argument(
        "--settings", type=Path, default=Path("local.settings.json"), help="default: %(default)s"
    )
    parser.add_argument(
        "--port", type=int, default=7071, help="default: %(default)s; 0 for any free port"
    )
    parser.add_argument(
        "--host-id",
        default="local",
        help="part of the names of queue and receipts (default: %(default)s)",
    )
    parser.add_argument("--no-keys", action="store_true", help="serve HTTP without keys")
    return parser.parse_args(argv)


def _show(host: FunctionsHost) -> None:
    print(f"Functions at {host.address}:", flush=True)
    for name, function in host.functions.items():
        match function.trigger:
            case HttpTrigger(route=route, methods=methods):
                detail = f"[{','.join(sorted(methods)) or 'ANY'}] {route}"
            case TimerTrigger(schedule=schedule):
                detail = f"timerTrigger {schedule.expression}"
            case blob:
                detail = f"blobTrigger {blob.path.container} ({blob.source.value})"
        print(f"  {name}: {detail}", flush=True)
    if host.keys:
        print("Keys until the host stops (header x-functions-key, or parameter code):", flush=True)
        print(f"  HTTP functions: {host.keys.host}", flush=True)
        print(f"  webhook of Event Grid (blobs_extension): {host.keys.system}", flush=True)
        print(f"  master key, for both: {host.keys.master}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
