"""Errors of connections are explained in words, without objects of Python or URLs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest

from shared.errors import ImporterError, cause_of, error_text, first_line


def failure(url: str) -> AzureError:
    """The error of a request as the SDKs raise it."""
    with RequestsTransport(connection_timeout=0.2, read_timeout=0.2) as transport:
        with pytest.raises(AzureError) as caught:
            transport.send(HttpRequest("GET", url))
        return caught.value


def answering(answer: Callable[[socket.socket], object]) -> AzureError:
    """The error of a request to a server that accepts one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        error = failure(f"http://127.0.0.1:{server.getsockname()[1]}/path?sig=secret")
        thread.join()
    return error


def test_a_refused_connection() -> None:
    error = failure("http://127.0.0.1:1/path?sig=secret")
    # That is why.
    assert "HTTPConnection(" in str(error)
    assert first_line(error) == cause_of(error) == "connection refused"


def test_an_unknown_host() -> None:
    text = error_text(failure("http://no-such-host.invalid/"))
    assert text
    assert "HTTPConnection" not in text
    assert "no-such-host" not in text


def test_a_server_that_closes_the_connection() -> None:
    error = answering(lambda connection: connection.recv(1000))
    assert error_text(error) == "the connection was closed without an answer"


def test_a_server_that_does_not_answer() -> None:
    ended = threading.Event()

    def wait(connection: socket.socket) -> None:
        # Until the client gives up.
        while connection.recv(1000):
            pass
        ended.set()

    assert error_text(answering(wait)) == "timed out"
    assert ended.is_set()


def test_a_server_without_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        error = failure(f"https://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()
    assert error_text(error).startswith("TLS: ")


def test_other_errors_keep_their_message() -> None:
    assert first_line(HttpResponseError("The container is being deleted.\nRequestId: 1")) == (
        "The container is being deleted."
    )
    own = ImporterError("The hub does not answer.")
    own.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert first_line(own) == "The hub does not answer."
    assert first_line(OSError(28, "No space left on device", "a.csv")) == "no space left on device"
    assert first_line(ZeroDivisionError()) == "ZeroDivisionError"
