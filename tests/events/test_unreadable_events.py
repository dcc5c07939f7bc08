"""A misbehaving receiver delays a post until its deadline at most, and uses no memory."""

from __future__ import annotations

import gzip
import logging
import socket
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared import transport
from shared.errors import ImporterError
from shared.webhook import (
    MAX_RETRY_AFTER,
    Webhook,
    WebhookFailedError,
    WebhookRefusedError,
    WebhookUnavailableError,
    retry_after,
)
from tests.events.receiver import BrokenReceiver

EVENT = {"specversion": "1.0", "id": "0815-completed"}
KEY = "key-secret-0001"
SECRETS = ("path-secret", "query-secret", KEY)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

#: Bytes that the sockets of both sides buffer before the receiver is blocked.
BUFFERS = 32 << 20

#: Additional seconds on a machine under load.
TOLERANCE = 5

Answer = Callable[[BrokenReceiver, socket.socket], None]


class Identity:
    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token-secret-0001", int(time.time()) + 3600)


def post(url: str, event: dict[str, Any] = EVENT, times: int = 1) -> ImporterError | None:
    """Post an event; return the exception of the last post."""
    webhook = Webhook(SecretStr(url), SecretStr(KEY), Identity, RequestsTransport())
    error: ImporterError | None = None
    for _ in range(times):
        try:
            webhook.post(event)
        except ImporterError as raised:
            error = raised
    webhook.close()
    output = "".join(traceback.format_exception(error)) if error else ""
    assert [secret for secret in SECRETS if secret in output] == []
    return error


def exchange(respond: Answer, **options: Any) -> tuple[ImporterError | None, BrokenReceiver]:
    with BrokenReceiver(lambda connection: respond(receiver, connection), **options) as receiver:
        return post(receiver.url), receiver


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set a short deadline and check that the test meets it."""
    monkeypatch.setattr(transport, "WEBHOOK_DEADLINE", 0.4)
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < TOLERANCE


@pytest.fixture
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def endless(head: bytes, block: bytes) -> Answer:
    def respond(receiver: BrokenReceiver, connection: socket.socket) -> None:
        receiver.send(connection, head)
        receiver.send_endlessly(connection, block)

    return respond


BOMB = gzip.compress(b"\0" * (8 << 20))
BODIES = [
    (b"Content-Length: 9999999999999", b"x" * (1 << 20)),
    (b"Connection: close", b"x" * (1 << 20)),
    (b"Transfer-Encoding: chunked", b"100000\r\n%b\r\n" % (b"x" * (1 << 20))),
    (b"Transfer-Encoding: chunked", b"%s\r\n" % (b"f" * (1 << 20))),
    (b"Content-Encoding: gzip", BOMB),
    (b"Content-Length: 5, 6\r\nContent-Length: -1", b"x" * (1 << 20)),
]


@pytest.mark.parametrize(("headers", "block"), BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (b"200 OK", type(None)),
        (b"302 Found\r\nLocation: /", WebhookRefusedError),
        (b"401 No\r\nWWW-Authenticate: Bearer", WebhookRefusedError),
        (b"500 Oops", WebhookFailedError),
        (b"503 Busy", WebhookUnavailableError),
    ],
)
def test_response_body_is_not_read(
    little_memory: None, status: bytes, kind: type, headers: bytes, block: bytes
) -> None:
    begun = time.monotonic()
    error, receiver = exchange(endless(b"HTTP/1.1 %s\r\n%s\r\n\r\n" % (status, headers), block))
    assert isinstance(error, kind)
    assert receiver.sent <= BUFFERS
    assert time.monotonic() - begun < TOLERANCE


HEADS = {
    "a long line": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
    "many lines": (b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n" * 100),
    "a long status": (b"HTTP/1.1 200 ", b"x" * 1000),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", b"\0\xff"),
    "nothing but lines": (b"", b"\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("head", HEADS)
def test_endless_headers(little_memory: None, head: str) -> None:
    error, receiver = exchange(endless(*HEADS[head]))
    assert isinstance(error, WebhookUnavailableError)
    assert str(error).startswith("No answer from 127.0.0.1")
    assert receiver.sent <= BUFFERS


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"


def answering(*blocks: bytes) -> Answer:
    return lambda receiver, connection: receiver.send(connection, *blocks)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (b"HTTP/1.1 202 \r\n%s\r\n" % (b"X-Many: 1\r\n" * 5000), type(None)),
        (b"HTTP/1.0 204\nX: 1\n\n", type(None)),
        (INTERIM + b"HTTP/1.1 200 OK\r\n\r\n", type(None)),
        (b"HTTP/1.1 401 No\r\nWWW-Authenticate: %s\r\n\r\n" % (b"x" * 60_000), WebhookRefusedError),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\n", WebhookUnavailableError),
        (b"HTTP/1.1 200", WebhookUnavailableError),
        (b"", WebhookUnavailableError),
        (b"\r\n\r\n", WebhookUnavailableError),
        ("HTTP/1.1 ²00 OK\r\n\r\n".encode(), WebhookUnavailableError),
        (b"HTTP/1.1 999 Odd\r\n\r\n", WebhookUnavailableError),
    ],
)
def test_malformed_responses(response: bytes, kind: type) -> None:
    error, _ = exchange(answering(response))
    assert isinstance(error, kind)


def test_invalid_headers_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Libraries log them together with the address."""
    caplog.set_level(logging.INFO)
    invalid = b"HTTP/1.1 200 OK\r\nno header\r\nTransfer-Encoding: odd\r\n: 1\r\n\0: \xff\r\n\r\n"
    error, _ = exchange(answering(invalid))
    assert error is None
    assert [secret for secret in SECRETS if secret in caplog.text] == []


def test_cookies_are_not_kept() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: tracked=%s\r\n\r\n" % (b"x" * 4000)
    with BrokenReceiver(lambda connection: receiver.send(connection, cookie)) as receiver:
        assert post(receiver.url, times=3) is None
    assert len(receiver.requests) == 3
    assert not any(b"tracked" in request for request in receiver.requests)


def dribbling(done: bytes, rest: bytes) -> Answer:
    def respond(receiver: BrokenReceiver, connection: socket.socket) -> None:
        receiver.send(connection, done)
        while True:
            receiver.send(connection, *(bytes([byte]) for byte in rest), pause=0.02)

    return respond


def send_nothing(receiver: BrokenReceiver, _: socket.socket) -> None:
    receiver.closing.wait(30)


SLOW: dict[str, Answer] = {
    "no answer": send_nothing,
    "a slow status": dribbling(b"HTTP/1.1 200 ", b"x"),
    "slow headers": dribbling(b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n"),
    "a slow header": dribbling(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "slow interim answers": dribbling(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
}


@pytest.mark.parametrize("case", SLOW)
def test_slow_response_stops_at_the_deadline(short_deadline: None, case: str) -> None:
    error, receiver = exchange(SLOW[case])
    assert isinstance(error, WebhookUnavailableError)
    assert str(error) == "No answer from 127.0.0.1 (timed out)."
    assert len(receiver.requests) == 1


def test_slow_body_is_ignored(short_deadline: None) -> None:
    error, _ = exchange(dribbling(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x"))
    assert error is None


#: A TLS handshake record that is never completed.
RECORD = b"\x16\x03\x03\x40\x00"


@pytest.mark.parametrize(
    "handshake", [send_nothing, dribbling(RECORD, b"\x02")], ids=["none", "slow"]
)
def test_endless_tls_handshake(short_deadline: None, handshake: Answer) -> None:
    with BrokenReceiver(
        lambda connection: handshake(receiver, connection), reads=False
    ) as receiver:
        error = post(receiver.url.replace("http:", "https:"))
    assert isinstance(error, WebhookUnavailableError)
    assert "timed out" in str(error)


def test_receiver_that_does_not_read(short_deadline: None) -> None:
    with BrokenReceiver(
        lambda connection: send_nothing(receiver, connection), reads=False
    ) as receiver:
        error = post(receiver.url, {**EVENT, "data": "x" * BUFFERS})
    assert isinstance(error, WebhookUnavailableError)


def test_many_addresses_without_a_response(
    short_deadline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "WEBHOOK_CONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        # Linux drops further connections.
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(address)
        found = (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [found] * 1000)
        error = post(f"http://receiver.example:{address[1]}/path-secret")
        for connection in waiting:
            connection.close()
    assert isinstance(error, WebhookUnavailableError)
    assert str(error) == "No connection to receiver.example (timed out)."


def test_second_address_responds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        closed_address = closed.getsockname()
    response = b"HTTP/1.1 200 OK\r\n\r\n"
    with BrokenReceiver(lambda connection: receiver.send(connection, response)) as receiver:
        url = receiver.url
        open_address = ("127.0.0.1", int(url.split(":")[2].split("/")[0]))
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)
            for address in (closed_address, open_address)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        assert post(url.replace("127.0.0.1", "receiver.example")) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5),
        ("007", 7),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("²", None),
        ("٣", None),
        ("-1", None),
        ("1.5", None),
        ("1e9", None),
        ("inf", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 10000 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER),
        ("Thu, 01 Jan 2026 00:00:00 +9999999999", None),
        ("Thursday, 01-Jan-26 00:01:30 GMT", 90),
        ("Thu Jan  1 00:01:30 2026", 90),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


DATES = st.datetimes(timezones=st.timezones() | st.just(UTC)).map(format_datetime)
ODD_DATES = st.tuples(
    st.sampled_from(["Mon, ", "Monday, ", "", ","]),
    st.from_regex(r"[0-9]{0,25}[ -]Jan[ -]-?[0-9]{0,25} [0-9:]{0,12} ?([+-][0-9]{0,25}|GMT|EST)?"),
).map("".join)


@given(st.text() | st.from_regex(r"[-+]?[0-9]+(\.[0-9]*)?") | DATES | ODD_DATES)
@example("")
def test_any_retry_after_is_bounded(value: str) -> None:
    for now in (NOW, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        seconds = retry_after(value, now)
        assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(st.integers(min_value=0), st.text(" \t", max_size=3))
def test_seconds_are_honored(seconds: int, space: str) -> None:
    expected = min(seconds, MAX_RETRY_AFTER)
    assert retry_after(f"{space}{seconds}{space}", NOW) == expected


@given(st.timedeltas(timedelta(days=-1), timedelta(days=1)))
def test_dates_are_honored(delay: timedelta) -> None:
    delay = timedelta(seconds=delay // timedelta(seconds=1))
    value = format_datetime(NOW + delay, usegmt=True)
    assert retry_after(value, NOW) == min(max(0, delay.total_seconds()), MAX_RETRY_AFTER)
