"""The command that runs the emulator by itself."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from iothub_emulator.auth.roles import DEFAULT_ROLE, ROLES
from iothub_emulator.choices import Choices
from iothub_emulator.emulator import HubEmulator
from iothub_emulator.registry.limits import DEFAULT_LIMITS, Limits
from iothub_emulator.server import LOOPBACK
from iothub_emulator.tls import TRUST_VARIABLES

DEFAULT_PORT = 8081
#: For ``--role``.
NO_ROLE = "none"
#: About what a small job took in the az CLI's tests.
DEFAULT_JOB_SECONDS = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        hub = _emulator(arguments).start()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # The storage client logs several lines for each of its requests.
    logging.getLogger("azure").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        print(f"The hub emulator listens at {hub.url}")
        print(f"Connection string (development only): {hub.connection_string()}", flush=True)
        if arguments.tls:
            print(_how_to_use_tls(hub), flush=True)
        stop.wait()
    finally:
        hub.stop()
    return 0


def _emulator(arguments: argparse.Namespace) -> HubEmulator:
    """Raises ValueError for what the options say."""
    return HubEmulator(
        port=arguments.port,
        job_seconds=arguments.job_seconds,
        job_rate=arguments.job_rate,
        identity_connection_string=arguments.storage,
        host_name=arguments.host_name,
        tls=arguments.tls,
        ca_file=arguments.ca_file,
        default_role=None if arguments.role == NO_ROLE else arguments.role,
        trusted_issuers=arguments.issuer,
        local_auth=not arguments.no_local_auth,
        data=arguments.data,
        choices=Choices.read(dict(map(_switch, arguments.assume))),
        limits=Limits(identities=arguments.max_devices),
    )


def _switch(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--assume {text} is not of the form SWITCH=VALUE")
    return name, value


def _how_to_use_tls(hub: HubEmulator) -> str:
    trust = (f"  {name}={hub.ca_file}  ({who})" for name, who in TRUST_VARIABLES.items())
    return "\n".join(
        (
            "Clients trust its certificate by one of",
            *trust,
            "and get Entra ID tokens from it, for any tenant, client and secret, by",
            f"  AZURE_AUTHORITY_HOST={hub.url}  "
            '(without instance discovery, which the tenant "adfs" never has)',
        )
    )


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
        "--job-rate",
        type=float,
        default=0.0,
        metavar="N",
        help="devices per second that a job handles at most; live hubs were timed at 70",
    )
    parser.add_argument(
        "--data", type=Path, metavar="PATH", help="file to keep devices and jobs in (SQLite)"
    )
    parser.add_argument(
        "--max-devices",
        type=int,
        default=DEFAULT_LIMITS.identities,
        metavar="N",
        help="devices and modules that the hub has room for (default: %(default)s)",
    )
    parser.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="SWITCH=VALUE",
        help="what to do where nobody knows what a hub does; local/README.md lists the switches",
    )
    parser.add_argument(
        "--storage",
        metavar="CONNECTION_STRING",
        help="storage that the hub's managed identity can access",
    )
    _add_access(parser)
    return parser


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("access")
    access.add_argument("--tls", action="store_true", help="serve HTTPS instead of HTTP")
    access.add_argument(
        "--host-name",
        default=LOOPBACK,
        metavar="NAME",
        help="name in the connection string and the certificate; has to lead to %(default)s",
    )
    access.add_argument(
        "--ca-file",
        type=Path,
        metavar="PATH",
        help="with --tls: where to write the certificate to trust (default: a temporary file)",
    )
    access.add_argument(
        "--role",
        choices=(*ROLES, NO_ROLE),
        default=DEFAULT_ROLE,
        metavar="NAME",
        help=f"role of all Entra ID principals: {', '.join(ROLES)} or {NO_ROLE} "
        "(default: %(default)s)",
    )
    access.add_argument(
        "--issuer",
        action="append",
        default=[],
        metavar="PREFIX",
        help="take tokens of issuers that begin so, too, WITHOUT a look at their signature; "
        "https://sts.windows.net/ for those of Entra ID itself",
    )
    access.add_argument(
        "--no-local-auth", action="store_true", help="refuse all shared access signatures"
    )
