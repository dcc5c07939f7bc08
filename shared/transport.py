"""HTTP transports of the SDK clients, and limits that `requests` and urllib3 lack.

They limit the time of each read from a socket, not of a whole exchange:

- `call_deadline` limits a call to a hub: a timer shuts the socket down, which ends the read.
- `read_only_heads` is for servers that may misbehave, the receivers of events. The libraries also
  read the body of a redirect, keep cookies, and log the URL of an answer with invalid headers. Here
  a connection reads status line and headers itself, and then closes. Two steps are not limited by
  its deadline: name resolution by the operating system, which cannot be interrupted, and an HTTP
  proxy's answer to CONNECT, where each line has the limit.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException, RemoteDisconnected
from typing import Any

from azure.core.pipeline.transport import RequestsTransport
from requests import PreparedRequest, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

__all__ = [
    "MAX_CONNECTIONS",
    "WEBHOOK_DEADLINE",
    "Call",
    "call_deadline",
    "enable_deadlines",
    "pooled_transport",
    "read_only_heads",
]

#: Pooled connections per host: the maximum number of threads that use a client at the same time.
MAX_CONNECTIONS = 64

#: Seconds from the start of a connection until status and headers of the answer are read.
WEBHOOK_DEADLINE = 20.0
#: Seconds to connect to one address; a host may have several.
WEBHOOK_CONNECT_TIMEOUT = 10.0
#: Maximum bytes of an answer's head: status line, headers, and answers 1xx before them.
MAX_HEAD = 64 * 1024

_BLOCK = 16 * 1024
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_RETRY_AFTER = re.compile(rb"^Retry-After:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def pooled_transport() -> RequestsTransport:
    """Create a transport for many threads: the SDK's own pools only ten connections."""
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    return RequestsTransport(session=session)


def enable_deadlines(transport: RequestsTransport) -> None:
    """Make the transport's calls subject to `call_deadline`."""
    _mount(transport, _InterruptibleConnection, _InterruptibleSecureConnection)


def read_only_heads(transport: RequestsTransport) -> None:
    """Make the transport read status and `Retry-After` only, within `WEBHOOK_DEADLINE`.

    Each request uses a new connection.
    """
    _mount(transport, _HeadConnection, _SecureHeadConnection)


def _mount(
    transport: RequestsTransport, plain: type[HTTPConnection], secure: type[HTTPSConnection]
) -> None:
    transport.open()
    for scheme in ("http://", "https://"):
        transport.session.mount(scheme, _Adapter(plain, secure))


class _Adapter(HTTPAdapter):
    """Opens connections of these classes."""

    def __init__(self, plain: type[HTTPConnection], secure: type[HTTPSConnection]) -> None:
        self._plain, self._secure = plain, secure
        super().__init__(pool_maxsize=MAX_CONNECTIONS)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, *args: Any, **kwargs: Any
    ) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(request, *args, **kwargs)
        pool.ConnectionCls = self._secure if pool.scheme == "https" else self._plain
        return pool


class Call:
    """A call that can be interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False
        #: Whether a part of the request was handed to the connection.
        self.was_sent = False

    @property
    def is_over(self) -> bool:
        """Whether it was interrupted: then a truncated answer may look complete."""
        with self._lock:
            return self._is_over

    def use(self, connection: Any) -> None:
        with self._lock:
            self._socket = connection
            if self._is_over:
                self._shut_down()

    def interrupt(self) -> None:
        with self._lock:
            self._is_over = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not `SSLSocket.shutdown`, which changes what the reading thread uses.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Current(threading.local):
    call: Call | None = None


_current = _Current()


@contextlib.contextmanager
def call_deadline(seconds: float) -> Iterator[Call]:
    """Interrupt the call that this thread makes within the block after this time."""
    call = Call()
    timer = threading.Timer(seconds, call.interrupt)
    timer.daemon = True
    _current.call = call
    timer.start()
    try:
        yield call
    finally:
        timer.cancel()
        _current.call = None


class _InterruptibleConnection(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        finally:
            # What is sent to a proxy is not the request.
            self._note_sent(was_sent=False)
        self._register()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self._note_sent(was_sent=True)
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        self._register()
        return super().getresponse()

    def _note_sent(self, *, was_sent: bool) -> None:
        if _current.call is not None:
            _current.call.was_sent = was_sent

    def _register(self) -> None:
        if _current.call is not None:
            _current.call.use(self.sock)


class _InterruptibleSecureConnection(_InterruptibleConnection, HTTPSConnection):
    pass


class _HeadConnection(HTTPConnection):
    """A connection for one request."""

    #: By `time.monotonic`.
    _end = 0.0

    def _new_conn(self) -> socket.socket:
        """Connect as urllib3 does, but with one timeout for all addresses together."""
        self._end = time.monotonic() + WEBHOOK_DEADLINE
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        problem: OSError = OSError("no address")
        for family, kind, protocol, _, address in addresses:
            connection = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    connection.setsockopt(*option)
                connection.settimeout(min(WEBHOOK_CONNECT_TIMEOUT, self._remaining()))
                connection.connect(address)
                # This timeout limits the TLS handshake as a whole, not each read.
                connection.settimeout(self._remaining())
            except OSError as error:
                connection.close()
                problem = error
            else:
                return connection
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, "timed out") from problem
        raise NewConnectionError(self, "not connected") from problem

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._remaining())
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Read the head of the answer, and close the connection.

        Raises:
            OSError: no complete head by the deadline.
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
            self.sock.settimeout(self._remaining())
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

    def _remaining(self) -> float:
        """Seconds until the deadline.

        Raises:
            TimeoutError: the deadline has passed.
        """
        remaining = self._end - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining


class _SecureHeadConnection(_HeadConnection, HTTPSConnection):
    pass
