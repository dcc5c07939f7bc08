"""Run Azurite, the IoT Hub emulator and the app until Ctrl-C.

The screen shows one line for each change of an import; the log goes to a file.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from azure.core.exceptions import AzureError

from cli.output import Output
from cli.watch_source import OpenImports
from cli.watch_view import LineView
from local.azurite import AzuriteError
from local.host import HostError, Keys
from local.host.run import end_on_signal
from local.ports import PortInUseError, Ports, add_port_base
from local.stack import Stack, StackError
from local.state import StateError, check_state
from shared.errors import ImporterError
from shared.imports.app import importer

__all__ = ["describe", "main", "wait_for_ctrl_c"]

SETTINGS_FILE, LOG_FILE = "local.settings.json", "stack.log"

#: Seconds between two looks at the imports and the parts of the stack.
_INTERVAL = 0.5
_LOG_FORMAT = "[%(asctime)s] %(levelname)s %(name)s: %(message)s"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    try:
        ports = Ports.from_base(options.port_base)
        ports.check(with_app=not options.no_app)
        if options.state is not None:
            options.state.mkdir(parents=True, exist_ok=True)
            check_state(options.state / SETTINGS_FILE, ports)
        folder = options.state or Path(tempfile.mkdtemp(prefix="device-importer-"))
        _log_to(folder / LOG_FILE, on_screen=options.log)
        status = _run(options, ports, folder)
    except (HostError, OSError, PortInUseError, StateError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.state is None and status == 0:
        shutil.rmtree(folder, ignore_errors=True)
    elif status:
        print(f"The log is in {folder / LOG_FILE}", file=sys.stderr)
    return status


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local up", description=__doc__)
    add = parser.add_argument
    add_port_base(parser)
    add(
        "--state",
        type=_folder,
        metavar="DIR",
        help="keep the data of storage and hub in this folder, for the next run with the same "
        "ports (default: in memory, until the stack stops)",
    )
    add("--log", action="store_true", help="also show the log of all parts on the screen")
    add(
        "--no-app",
        action="store_true",
        help="do not start the app; run it with another host, such as `func start`",
    )
    add(
        "--job-seconds",
        type=float,
        default=2.0,
        metavar="S",
        help="minimum duration of a hub job in seconds (default: %(default)s)",
    )
    add("--no-keys", action="store_true", help="serve HTTP without keys")
    return parser.parse_args(argv)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def _log_to(file: Path, *, on_screen: bool) -> None:
    """Write the log to a file, and to the screen as well if wanted."""
    handlers: list[logging.Handler] = [logging.FileHandler(file, encoding="utf-8")]
    if on_screen:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, handlers=handlers)
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _run(options: argparse.Namespace, ports: Ports, folder: Path) -> int:
    """Run the stack until Ctrl-C or a failure; returns the exit status."""
    stack = Stack(
        ports=ports,
        job_seconds=options.job_seconds,
        run_app=not options.no_app,
        keys=None if options.no_keys else Keys(),
        state=options.state,
    )
    try:
        with stack:
            log, state = folder / LOG_FILE, options.state
            print(describe(stack, folder, log=log, state=state), flush=True)
            try:
                wait_for_ctrl_c(stack)
            except StackError as error:
                # Before the other parts stop, which can take a while.
                print(f"{error} The stack stops.", file=sys.stderr, flush=True)
                return 1
    except (AzuriteError, HostError, PortInUseError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def describe(
    stack: Stack, folder: Path, *, log: Path | None = None, state: Path | None = None
) -> str:
    """List the addresses of the stack, its files and the next step.

    Args:
        folder: where the settings for commands are written.
        log: file of the log, if there is one.
        state: folder that keeps the data; None if it is deleted.
    """
    settings = folder / SETTINGS_FILE
    stack.write_settings(settings)
    container = stack.settings["UPLOAD_CONTAINER"]
    facts = [
        f"storage   {stack.blobs.url}",
        f"hub       {stack.hub.url} (emulator; control API at /emulator/)",
    ]
    if stack.host is None:
        copy = f"copy {shlex.quote(str(settings))} to {SETTINGS_FILE}"
        facts.append(f"app       not started: {copy} and run: func start")
    else:
        facts += [
            f"app       {stack.host.address} (timer: {stack.settings['POLL_SCHEDULE']})",
            f"dashboard {stack.host.link('/api/dashboard')}",
        ]
        if stack.host.keys:
            facts.append(f"key       {stack.host.keys.host} (for the API, as x-functions-key)")
    if log is not None:
        facts.append(f"log       {log} (also on the screen with --log)")
    data = f"keeps its data in {state}" if state else "deletes all data"
    return "\n".join(
        (
            "",
            f"The local stack is running. Ctrl-C stops it and {data}.",
            *(f"  {fact}" for fact in facts),
            f"Upload a device file to the container {container} and follow its import:",
            "  .venv/bin/device-importer upload FILE --watch "
            f"--settings {shlex.quote(str(settings))}",
            "",
        )
    )


def wait_for_ctrl_c(stack: Stack) -> None:
    """Show the changes of imports until Ctrl-C, or a failure that ends the functions host.

    Raises:
        StackError: storage or hub has ended.
    """
    stop = stack.host.stopping if stack.host else threading.Event()
    end_on_signal(stop)
    changes = _Changes() if stack.host else None
    while not stop.wait(_INTERVAL):
        stack.check()
        if changes is not None:
            changes.show()


class _Changes:
    """A line for each change of an import, as `device-importer watch` has them."""

    def __init__(self) -> None:
        app = importer()
        self._imports = OpenImports(app, ())
        self._view = LineView(Output("text"), app.services.clock)

    def show(self) -> None:
        try:
            self._view.show(self._imports.read())
        except (AzureError, ImporterError) as error:
            # The app has the same difficulty, and logs more of it.
            logging.getLogger(__name__).warning("no imports: %s", type(error).__name__)
