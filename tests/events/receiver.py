"""Event receivers: an HTTP server that stores posted events, and one that misbehaves."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["PATH", "BrokenReceiver", "Post", "Receiver"]

#: Path and query of a webhook are secrets.
PATH = "/hooks/path-secret-0001?code=query-secret-0001"


@dataclass(frozen=True)
class Post:
    """One request."""

    path: str
    headers: Message
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


class Receiver:
    """Respond with the first item of `answers`, otherwise the result of `judge`, by default 204."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        #: Status and headers of the next responses; status 0 closes the connection.
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        self.judge: Callable[[Post], int | tuple[int, dict[str, str]]] = lambda _: 204
        #: Set when a post arrives.
        self.received = threading.Event()
        #: If cleared, posts are accepted but not answered.
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_answer.set()
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{PATH}"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [post.event for post in self.posts]

    def start(self) -> None:
        """Listen; after a stop, on the same port."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._take(self, Post(self.path, self.headers, body))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Become unreachable."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, handler: BaseHTTPRequestHandler, post: Post) -> None:
        self.posts.append(post)
        self.received.set()
        self.may_answer.wait(30)
        answer = self.answers.popleft() if self.answers else self.judge(post)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        if status == 0:
            # Closes the connection without a response.
            handler.close_connection = True
            return
        # Like Express, the response contains the path.
        text = b"Cannot POST %s, sig=c2lnbmF0dXJl" % post.path.encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if status != 204:
            handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        if status != 204:
            # The app does not wait for the body.
            with contextlib.suppress(ConnectionError):
                handler.wfile.write(text)


class BrokenReceiver:
    """Accept connections and pass each to `answer`, by default after reading the post."""

    def __init__(self, answer: Callable[[socket.socket], None], *, reads: bool = True) -> None:
        self._answer, self._reads = answer, reads
        #: Requests, or connections if none is read.
        self.requests: list[bytes] = []
        #: Bytes of responses that the sockets accepted.
        self.sent = 0
        #: No client waits for responses any more.
        self.closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for connection in (self._server, *self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}{PATH}"

    def send(self, connection: socket.socket, *blocks: bytes, pause: float = 0) -> None:
        """Send blocks with pauses between them."""
        for block in blocks:
            connection.sendall(block)
            self.sent += len(block)
            self.closing.wait(pause)

    def send_endlessly(self, connection: socket.socket, block: bytes, pause: float = 0) -> None:
        while not self.closing.is_set():
            self.send(connection, block, pause=pause)

    def _begin(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self.closing.is_set():
                connection, _ = self._server.accept()
                self._connections.append(connection)
                self._begin(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            request = b""
            while self._reads and b"\r\n\r\n" not in request:
                block = connection.recv(65536)
                if not block:
                    return
                request += block
            self.requests.append(request)
            self._answer(connection)
