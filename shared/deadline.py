"""A deadline for a whole HTTP exchange, however slowly the server sends.

`requests` and urllib3 limit the time of each read from a socket only. Here a timer shuts the socket
down, which ends the read that waits on it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from azure.core.pipeline.transport import RequestsTransport
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from shared.transport import connect_by

__all__ = ["deadline", "interruptible"]


class _Call:
    """A request that may be interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether it was interrupted: then the answer may end early and yet look complete."""
        with self._lock:
            return self._is_over

    def uses(self, wire: socket.socket | None) -> None:
        with self._lock:
            self._socket = wire
            if self._is_over:
                self._shut_down()

    def interrupt(self) -> None:
        with self._lock:
            self._is_over = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Past `SSLSocket.shutdown`, which changes what the reading thread works with.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_current = threading.local()


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[_Call]:
    """Interrupt the request that this thread makes within the block, once the time is over."""
    call = _Call()
    timer = threading.Timer(seconds, call.interrupt)
    timer.daemon = True
    _current.call = call
    timer.start()
    try:
        yield call
    finally:
        timer.cancel()
        _current.call = None


def interruptible(transport: RequestsTransport) -> None:
    """Give a transport connections that heed `deadline`."""
    connect_by(transport, _Connection, _SecureConnection)


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _note(self.sock)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        _note(self.sock)
        return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    pass


def _note(wire: Any) -> None:
    call: _Call | None = getattr(_current, "call", None)
    if call is not None:
        call.uses(wire)
