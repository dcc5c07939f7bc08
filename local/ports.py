"""The loopback ports of the local stack."""

from __future__ import annotations

import argparse
import socket
from dataclasses import astuple, dataclass
from typing import Final, Self

__all__ = ["PortInUseError", "Ports", "add_port_base"]

_LOOPBACK: Final = "127.0.0.1"
_OPTION: Final = "--port-base"
#: What listens on each port, in the order of the fields of `Ports`.
_SERVICES: Final = ("app", "IoT Hub emulator", "blob storage", "queue storage", "table storage")
_HIGHEST: Final = 65535 - len(_SERVICES) + 1


class PortInUseError(Exception):
    """Another program listens on a port of the stack; the message has the port and the remedy."""


@dataclass(frozen=True)
class Ports:
    """Loopback ports; 0 for any free port. The defaults match the sample settings."""

    functions: int = 7071
    hub: int = 8081
    blob: int = 10000
    queue: int = 10001
    table: int = 10002

    @classmethod
    def any_free(cls) -> Self:
        return cls(0, 0, 0, 0, 0)

    @classmethod
    def from_base(cls, base: int | None) -> Self:
        """Consecutive ports from `base`; 0: any free ports; None: the defaults."""
        if base is None:
            return cls()
        return cls(*range(base, base + len(_SERVICES))) if base else cls.any_free()

    def check(self, *, with_app: bool = True) -> None:
        """Fail early where a port is in use, with one message for all of them.

        Raises:
            PortInUseError: another program listens on a port.
        """
        wanted = list(zip(astuple(self), _SERVICES, strict=True))[0 if with_app else 1 :]
        used = [f"{port} ({service})" for port, service in wanted if _is_used(port)]
        if used:
            raise PortInUseError(
                f"Port in use: {', '.join(used)}. Stop the program that listens there, such as "
                f"another local stack, or choose other ports: {_OPTION} N (0: any free ports; "
                f'with make: ARGS="{_OPTION} 0").'
            )


def add_port_base(parser: argparse.ArgumentParser) -> None:
    """Add the option for ports; None: not given."""
    defaults = Ports()
    parser.add_argument(
        _OPTION,
        type=_base,
        metavar="N",
        help="first of five consecutive ports: app, hub, blob, queue and table storage; 0 for any "
        f"free ports (default: {', '.join(map(str, astuple(defaults)))})",
    )


def _base(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= _HIGHEST:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a port from 0 to {_HIGHEST}, not {text!r}")


def _is_used(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket() as probe:
        # As servers do: a port whose last connections are closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return True
    return False
