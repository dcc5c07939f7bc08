"""Run an emulator of Azure IoT Hub on this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import math
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from azure.storage.blob import ContainerClient

from iothub_emulator.auth.access import DEFAULT_ROLE, POLICIES, ROLES
from iothub_emulator.auth.sas import policy_key
from iothub_emulator.choices import Choices
from iothub_emulator.emulator import HubEmulator
from iothub_emulator.registry.registry import DEFAULT_LIMITS, Limits
from iothub_emulator.server import LOOPBACK, TRUST_VARIABLES

T = TypeVar("T", int, float)

DEFAULT_PORT = 8081
#: For ``--role``.
NO_ROLE = "none"
#: About the duration of a small job in the tests of the az CLI.
DEFAULT_JOB_SECONDS = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # The storage client logs several lines for each of its requests.
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        hub = _emulator(arguments).start()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        print(f"IoT Hub emulator listening at {hub.url}")
        print(f"Connection string (development only): {hub.connection_string()}")
        others = (f"{name} {policy_key(name)}" for name in POLICIES if name != "iothubowner")
        print(f"Other policies with their keys: {', '.join(others)}", flush=True)
        if arguments.tls:
            print(_tls_instructions(hub), flush=True)
        stop.wait()
    finally:
        hub.stop()
    return 0


def _emulator(arguments: argparse.Namespace) -> HubEmulator:
    """Build the emulator; ValueError for invalid options."""
    if arguments.storage is not None:
        ContainerClient.from_connection_string(arguments.storage, "any").close()
    return HubEmulator(
        port=arguments.port,
        job_seconds=arguments.job_seconds,
        job_rate=arguments.job_rate,
        identity_connection_string=arguments.storage,
        host_name=arguments.host_name,
        tls=arguments.tls,
        default_role=None if arguments.role == NO_ROLE else arguments.role,
        trusted_issuers=arguments.issuer,
        local_auth=not arguments.no_local_auth,
        state=arguments.state,
        choices=Choices.read(dict(map(_switch, arguments.assume))),
        limits=Limits(identities=arguments.max_devices),
    )


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def _number(type_: type[T], maximum: float = math.inf) -> Callable[[str], T]:
    """Read an option that is not negative."""

    def number(text: str) -> T:
        value = type_(text)
        if not 0 <= value <= maximum:
            limit = "at least 0" if maximum == math.inf else f"between 0 and {maximum}"
            raise argparse.ArgumentTypeError(f"{text} is not {limit}")
        return value

    return number


def _switch(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--assume {text}: expected SWITCH=VALUE")
    return name, value


def _tls_instructions(hub: HubEmulator) -> str:
    trust = (f"  {name}={hub.ca_file}  ({client})" for name, client in TRUST_VARIABLES.items())
    return "\n".join(
        (
            "To trust the certificate, set one of these for the client (Java: see README.md):",
            *trust,
            "To get Entra ID tokens (any tenant, client id and secret), set:",
            f"  AZURE_AUTHORITY_HOST={hub.url}  "
            '(disable instance discovery, or use the tenant "adfs")',
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="iothub-emulator", description=__doc__)
    parser.add_argument(
        "--port",
        type=_number(int, 65535),
        default=DEFAULT_PORT,
        help="default: %(default)s; 0 for any free port",
    )
    parser.add_argument(
        "--state",
        type=_folder,
        metavar="FOLDER",
        help="where to keep devices, configurations, jobs and the CA (default: nowhere)",
    )
    parser.add_argument(
        "--max-devices",
        type=_number(int),
        default=DEFAULT_LIMITS.identities,
        metavar="N",
        help="upper limit of devices and modules (default: %(default)s)",
    )
    parser.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="SWITCH=VALUE",
        help="set a switch for behaviour of hubs that is not published; see README.md",
    )
    _add_jobs(parser)
    _add_access(parser)
    return parser


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    jobs = parser.add_argument_group("jobs")
    jobs.add_argument(
        "--job-seconds",
        type=_number(float),
        default=DEFAULT_JOB_SECONDS,
        metavar="S",
        help="minimum duration of a job in seconds (default: %(default)s)",
    )
    jobs.add_argument(
        "--job-rate",
        type=_number(float),
        default=0.0,
        metavar="N",
        help="maximum devices per second of a job (default: no limit); live hubs: about 70",
    )
    jobs.add_argument(
        "--storage",
        metavar="CONNECTION_STRING",
        help="storage account for jobs with identityBased authentication (default: refuse them)",
    )


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("access")
    access.add_argument("--tls", action="store_true", help="serve HTTPS instead of HTTP")
    access.add_argument(
        "--host-name",
        default=LOOPBACK,
        metavar="NAME",
        help="host name in connection string and certificate; must resolve to %(default)s",
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
        help="also accept tokens of issuers with this prefix, WITHOUT verifying the signature; "
        "https://sts.windows.net/ for the real Entra ID",
    )
    access.add_argument(
        "--no-local-auth", action="store_true", help="refuse all shared access signatures"
    )
