"""HTTP connections to servers that may misbehave, such as receivers of events.

`requests` and urllib3 limit the time of each read from a socket, not of the whole exchange. They
also read the body of a redirect, keep cookies, and log the URL of an answer with invalid headers. A
connection of this module reads the answer itself, status line and headers only, and then closes.

Two steps have limits of their own: the name resolution of the operating system, which cannot be
interrupted, and what an HTTP proxy answers to CONNECT, where the limit is per line.
"""

from __future__ import annotations

import io
import re
import socket
import time
from http.client import HTTPException, RemoteDisconnected
from typing import Any

from azure.core.pipeline.transport import RequestsTransport
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from shared.transport import connect_by

__all__ = ["DEADLINE", "bound"]

#: Seconds from the start of a connection until status and headers of the answer are read.
DEADLINE = 20.0

#: Seconds to connect to one address; a host may have several.
CONNECT_TIMEOUT = 10.0

#: Bytes that are read of an answer: status line and headers, and answers 1xx before them.
MAX_HEAD = 64 * 1024

_BLOCK = 16 * 1024
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_RETRY_AFTER = re.compile(rb"^Retry-After:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def bound(transport: RequestsTransport) -> None:
    """Give a transport connections of this module.

    Each request gets a connection of its own. Of an answer, its status and `Retry-After` are left.
    """
    connect_by(transport, _Connection, _SecureConnection)


class _Connection(HTTPConnection):
    """A connection for one request."""

    #: By `time.monotonic`.
    _end = 0.0

    def _new_conn(self) -> socket.socket:
        """Connect as urllib3 does, but not to each address with the whole timeout."""
        self._end = time.monotonic() + DEADLINE
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        problem: OSError = OSError("no address")
        for family, kind, protocol, _, address in addresses:
            wire = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    wire.setsockopt(*option)
                wire.settimeout(min(CONNECT_TIMEOUT, self._left()))
                wire.connect(address)
                # The handshake of TLS as a whole has this timeout, not each read of it.
                wire.settimeout(self._left())
            except OSError as error:
                wire.close()
                problem = error
            else:
                return wire
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, "timed out") from problem
        raise NewConnectionError(self, "not connected") from problem

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._left())
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Read the head of the answer, and close the connection.

        Raises:
            OSError: there is no complete head by the deadline.
            HTTPException: the head is too large or is not HTTP.
        """
        status, headers = self._read_head()
        self.close()
        retry_after = _RETRY_AFTER.search(headers)
        return HTTPResponse(
            io.BytesIO(),
            {"Retry-After": retry_after[1].decode("latin-1")} if retry_after else {},
            status,
            preload_content=False,
        )

    def _read_head(self) -> tuple[int, bytes]:
        head = bytearray()
        size = 0
        while True:
            self.sock.settimeout(self._left())
            block = self.sock.recv(min(_BLOCK, MAX_HEAD - size))
            if not block:
                raise RemoteDisconnected("the connection ended before the headers did")
            size += len(block)
            # The end may have begun in the block before.
            start = max(0, len(head) - 3)
            head += block
            while end := _END.search(head, start):
                line = _STATUS.match(head)
                if not line:
                    raise HTTPException("the answer is not HTTP")
                status = int(line[1])
                if status >= 200:
                    return status, bytes(head[: end.end()])
                del head[: end.end()]
                start = 0
            if size == MAX_HEAD:
                raise HTTPException("the headers of the answer are too large")

    def _left(self) -> float:
        """Seconds until the deadline.

        Raises:
            TimeoutError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class _SecureConnection(_Connection, HTTPSConnection):
    pass
