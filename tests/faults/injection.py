"""Fault injection at requests, below the pipelines of all SDKs."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from local.azurite import ACCOUNT_NAME


class Fault(StrEnum):
    """Faults of a request. Each occurs once, except for outages."""

    REFUSED = "no connection, nothing is sent"
    LOST = "carried out, and the answer is lost"
    ERROR = "500, nothing is done"
    THROTTLED = "429, nothing is done"
    #: No request arrives from this one to the end of one or several invocations.
    OUTAGE = "no connection any more"
    #: During the outage storage answers every request like this; the hub works.
    FORBIDDEN = "storage answers 403"
    UNAVAILABLE = "storage answers 503"
    KILLED = "the process is killed once it is carried out"
    #: The process is suspended until its lease expires and another one has done all work.
    OVERTAKEN = "the lease expires, another process goes on"

    @property
    def is_outage(self) -> bool:
        return self in (Fault.OUTAGE, Fault.FORBIDDEN, Fault.UNAVAILABLE)


_STATUS = {
    Fault.ERROR: 500,
    Fault.THROTTLED: 429,
    Fault.FORBIDDEN: 403,
    Fault.UNAVAILABLE: 503,
}
READS = ("GET ", "HEAD ")


def is_to_storage(request: str) -> bool:
    return f" /{ACCOUNT_NAME}" in request


class Killed(BaseException):
    """Terminates the process."""


@dataclass(frozen=True)
class Injection:
    """A fault of a request, or another action in the simulation at that request."""

    #: Index of the request, from 0.
    position: int
    action: Fault | Callable[[], None]
    #: Number of invocations that an outage lasts.
    invocations: int = 1

    def __str__(self) -> str:
        name = self.action.name if isinstance(self.action, Fault) else str(self.action)
        return f"{name} at request {self.position}" + (
            f", for {self.invocations} invocations" if self.invocations > 1 else ""
        )


class Injector:
    """Counts the requests of the process under test and injects faults into some of them."""

    def __init__(self, injections: Sequence[Injection], overtake: Callable[[], None]) -> None:
        self._injections = list(injections)
        self._overtake = overtake
        self._lock = threading.Lock()
        self._outage: Injection | None = None
        self._outage_left = 0
        #: Whether the process under test was killed: none of its threads may continue.
        self.is_killed = False
        #: `METHOD path` of each request that was about to be sent.
        self.requests: list[str] = []
        #: Called with each of them before it is sent.
        self.observe: Callable[[str], None] = lambda _: None

    def add(self, injection: Injection) -> None:
        self._injections.append(injection)

    def disarm(self) -> None:
        """Remove all injections."""
        self._injections, self._outage = [], None

    def request_at(self, injection: Injection) -> str:
        """The affected request; "" if there were fewer requests."""
        return self.requests[injection.position] if len(self.requests) > injection.position else ""

    def invocation_ends(self) -> None:
        self._outage_left -= 1

    def send(self, request: Any, send: Callable[[Any], Any]) -> Any:
        with self._lock:
            if self.is_killed:
                raise Killed
            position = len(self.requests)
            line = f"{request.method} {urlsplit(request.url).path}"
            self.requests.append(line)
            hits = [injection for injection in self._injections if injection.position == position]
        self.observe(line)
        fault: Fault | None = None
        for injection in hits:
            if not isinstance(injection.action, Fault):
                injection.action()
            elif injection.action is Fault.OVERTAKEN:
                self._overtake()
            elif injection.action.is_outage:
                self._outage, self._outage_left = injection, injection.invocations
            else:
                fault = injection.action
        if self._outage and self._outage_left > 0 and isinstance(self._outage.action, Fault):
            if self._outage.action is Fault.OUTAGE:
                fault = Fault.REFUSED
            elif is_to_storage(line):
                fault = self._outage.action
        return self._send(request, send, fault)

    def _send(self, request: Any, send: Callable[[Any], Any], fault: Fault | None) -> Any:
        if fault is None:
            return send(request)
        if fault is Fault.REFUSED:
            raise ServiceRequestError("injected: no connection")
        if fault in _STATUS:
            response = send(_redirected(request, _STATUS[fault]))
            # The SDK of tables leaves the answer to a refused transaction unread, and its
            # connection to the garbage collector, which issues a warning later.
            response.internal_response.content  # noqa: B018
            return response
        response = send(request)
        response.internal_response.close()
        if fault is Fault.LOST:
            raise ServiceResponseError("injected: the connection was lost")
        self.is_killed = True
        raise Killed


class Transport(RequestsTransport):  # type: ignore[misc]
    """Send requests through an injector."""

    def __init__(self, injector: Injector | None) -> None:
        # requests reads proxies and certificates from the environment, a sixth of its time.
        super().__init__(use_env_settings=False)
        self._injector = injector

    def send(self, request: Any, **options: Any) -> Any:
        if self._injector is None:
            return super().send(request, **options)
        send = functools.partial(super().send, **options)
        return self._injector.send(request, send)


class _Answers(BaseHTTPRequestHandler):
    """Answer every request with the status in its path."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _answer

    def log_message(self, *_: object) -> None:
        pass


class Answers:
    """A server for responses that neither storage nor the emulator returns on demand."""

    address = ""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()
        type(self).address = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _redirected(request: Any, status: int) -> Any:
    elsewhere = copy.copy(request)
    elsewhere.url = f"{Answers.address}/{status}"
    return elsewhere
