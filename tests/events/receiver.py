"""A receiver of events: a small HTTP server that keeps what is posted and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["PATH", "Post", "Receiver"]

#: As webhooks have them: path and query are as good as a password.
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
    """Answers what stands first in `answers`, else as `judge` says, by default 204."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        #: Status and headers of the next answers; status 0 hangs up.
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        self.judge: Callable[[Post], int] = lambda _: 204
        #: A post has come since it was last cleared.
        self.got_one = threading.Event()
        #: Cleared: posts are taken and not answered.
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
        """Listen, after a stop at the same port."""
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
        """Be out of reach."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, handler: BaseHTTPRequestHandler, post: Post) -> None:
        self.posts.append(post)
        self.got_one.set()
        self.may_answer.wait(30)
        status, headers = self.answers.popleft() if self.answers else (self.judge(post), {})
        if status == 0:
            # Hangs up without a word.
            handler.close_connection = True
            return
        # As Express does: the path comes back.
        text = b"Cannot POST %s, sig=c2lnbmF0dXJl" % post.path.encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if status != 204:
            handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        if status != 204:
            handler.wfile.write(text)
