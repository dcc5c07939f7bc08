"""One fault at one request, under the pipelines of all SDKs."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport


class Fault(StrEnum):
    """What can happen to a request. Each strikes once, but for the outage."""

    REFUSED = "no connection, nothing is sent"
    LOST = "carried out, and the answer is lost"
    ERROR = "500, nothing is done"
    THROTTLED = "429, nothing is done"
    #: From this request to the end of the invocation no request arrives.
    OUTAGE = "no connection any more"
    KILLED_BEFORE = "the process is killed before it is sent"
    KILLED_AFTER = "the process is killed once it is carried out"
    #: The process stands still here while its lease expires and another one does everything.
    OVERTAKEN = "the lease expires, another process goes on"


class Killed(BaseException):
    """The process ends here: nothing of it may run on."""


class Injector:
    """Counts the requests of the processes under test and strikes at one of them."""

    def __init__(self, fault: Fault | None, position: int, overtake: Callable[[], None]) -> None:
        self._fault = fault
        self._position = position
        self._overtake = overtake
        self._lock = threading.Lock()
        self._is_out = False
        #: `METHOD path` of each request that was about to be sent.
        self.requests: list[str] = []

    @property
    def struck_at(self) -> str:
        """The request that was hit; "" if there were not so many."""
        return self.requests[self._position] if len(self.requests) > self._position else ""

    def invocation_ends(self) -> None:
        self._is_out = False

    def send(self, request: Any, send: Callable[[Any], Any]) -> Any:
        with self._lock:
            is_hit = self._fault is not None and len(self.requests) == self._position
            self.requests.append(f"{request.method} {urlsplit(request.url).path}")
        if is_hit and self._fault is Fault.OUTAGE:
            self._is_out = True
        if self._is_out:
            raise ServiceRequestError("injected: no connection")
        if not is_hit:
            return send(request)
        match self._fault:
            case Fault.REFUSED:
                raise ServiceRequestError("injected: no connection")
            case Fault.ERROR | Fault.THROTTLED:
                return send(_redirected(request, 500 if self._fault is Fault.ERROR else 429))
            case Fault.KILLED_BEFORE:
                raise Killed
            case Fault.OVERTAKEN:
                self._overtake()
                return send(request)
        response = send(request)
        response.internal_response.close()
        if self._fault is Fault.LOST:
            raise ServiceResponseError("injected: the connection was lost")
        raise Killed


class Transport(RequestsTransport):  # type: ignore[misc]
    """Sends by way of an injector."""

    def __init__(self, injector: Injector | None) -> None:
        # requests asks the environment for proxies and trust, a sixth of the time of each.
        super().__init__(use_env_settings=False)
        self._injector = injector

    def send(self, request: Any, **options: Any) -> Any:
        if self._injector is None:
            return super().send(request, **options)
        send = functools.partial(super().send, **options)
        return self._injector.send(request, send)


class _Answers(BaseHTTPRequestHandler):
    """Answers every request with the status in its path."""

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
    """A server for the answers that neither storage nor the emulator gives on demand."""

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
