"""Sending an event: signature, credentials of a topic, and handling of each response."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from pydantic import SecretStr

from shared import transport
from shared.errors import ImporterError, SettingsError
from shared.webhook import (
    Webhook,
    WebhookFailedError,
    WebhookRefusedError,
    WebhookUnavailableError,
    signature,
    signing_key,
)
from tests.events.receiver import PATH, Post, Receiver

EVENT = {"specversion": "1.0", "id": "0815-completed", "data": {"file": "pümps.ndjson"}}
KEY = "key-secret-0001"
TOPIC = "https://fleet.westeurope-1.eventgrid.azure.net/api/events?api-version=2018-01-01"
SECRETS = ("path-secret", "query-secret", KEY, "c2lnbmF0dXJl", "api-version")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Identity:
    """A managed identity that topics accept."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken("token-0001", int(time.time()) + 3600)


class NoIdentity(Identity):
    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        raise ClientAuthenticationError("no identity here: token-secret-0001")


class RedirectedTransport(RequestsTransport):  # type: ignore[misc]
    """Redirect connections to a topic's host to the receiver."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver

    def send(self, request: Any, **kwargs: Any) -> Any:
        path = request.url.split("/", 3)[3]
        request.url = f"{self._receiver.url.removesuffix(PATH)}/{path}"
        return super().send(request, **kwargs)


Make = Callable[..., Webhook]


@pytest.fixture
def make(receiver: Receiver) -> Iterator[Make]:
    """Create webhooks for the receiver, or with `url` for a topic that is redirected to it."""
    made: list[Webhook] = []

    def make(
        key: str | None = None,
        url: str = "",
        identity: Identity | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Webhook:
        transport = RedirectedTransport(receiver) if url else RequestsTransport()
        webhook = Webhook(
            SecretStr(url or receiver.url),
            SecretStr(key) if key else None,
            lambda: identity or Identity(),
            transport,
            clock,
        )
        made.append(webhook)
        return webhook

    yield make
    for webhook in made:
        webhook.close()


def failure(webhook: Webhook) -> Any:
    """Post the event; return the exception, which must not contain a secret."""
    with pytest.raises(ImporterError) as caught:
        webhook.post(EVENT)
    output = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    assert [secret for secret in SECRETS if secret in output] == []
    assert webhook.host in str(caught.value)
    return caught.value


def is_signed(post: Post, secret: bytes, tolerance: float = 300) -> bool:
    """Verify a signature as specified by Standard Webhooks."""
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode()
    expected = base64.b64encode(hmac.new(secret, signed + post.body, hashlib.sha256).digest())
    is_fresh = abs(time.time() - int(post.headers["webhook-timestamp"])) <= tolerance
    versions = [part.split(",", 1) for part in post.headers["webhook-signature"].split(" ")]
    return is_fresh and any(
        version == "v1" and hmac.compare_digest(value.encode(), expected)
        for version, value in versions
    )


def test_event_in_structured_mode(receiver: Receiver, make: Make) -> None:
    make().post(EVENT)
    [post] = receiver.posts
    assert post.event == EVENT
    assert post.path == PATH
    assert post.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert "iot-hub-device-importer" in post.headers["User-Agent"]
    names = {name.lower() for name in post.headers}
    assert not names & {"webhook-id", "webhook-signature", "authorization", "aeg-sas-key"}


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        (KEY, KEY.encode()),
        ("schlüssel", "schlüssel".encode()),
        ("whsec_" + base64.b64encode(b"\x00\xff" * 12).decode(), b"\x00\xff" * 12),
        (f"{KEY}\n", KEY.encode()),
    ],
)
def test_event_is_signed(receiver: Receiver, make: Make, key: str, secret: bytes) -> None:
    make(key).post(EVENT)
    [post] = receiver.posts
    assert post.headers["webhook-id"] == EVENT["id"]
    assert is_signed(post, secret)
    assert not is_signed(post, b"another")
    assert not is_signed(Post(post.path, post.headers, post.body + b" "), secret)


def test_repeated_event_keeps_its_id_and_has_a_new_timestamp(
    receiver: Receiver, make: Make
) -> None:
    times = iter([1614265330.9, 1614265390.0])
    webhook = make(KEY, clock=lambda: next(times))
    webhook.post(EVENT)
    webhook.post(EVENT)
    first, second = receiver.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == (
        *("1614265330", "1614265390"),
    )


def test_published_signature_vector() -> None:
    """The test vector of the Standard Webhooks libraries."""
    secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    event_id, sent_at, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    signed = signature(signing_key(f"whsec_{secret}"), event_id, sent_at, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    mac = hmac.new(
        base64.b64decode(secret), b"%s.%d.%s" % (event_id.encode(), sent_at, body), "sha256"
    )
    assert signed == "v1," + base64.b64encode(mac.digest()).decode()


def test_invalid_secret(make: Make) -> None:
    with pytest.raises(SettingsError, match="EVENTS_KEY") as caught:
        make(f"whsec_{KEY}!")
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("cloud", ["azure.net", "azure.us", "azure.cn"])
def test_topic_accepts_its_key(receiver: Receiver, make: Make, cloud: str) -> None:
    make(KEY, TOPIC.replace("azure.net", cloud).replace("fleet", "Fleet")).post(EVENT)
    [post] = receiver.posts
    assert post.event == EVENT
    assert post.path == "/api/events?api-version=2018-01-01"
    assert post.headers["aeg-sas-key"] == KEY
    assert post.headers["webhook-signature"] is None


def test_topic_accepts_a_token(receiver: Receiver, make: Make) -> None:
    identity = Identity()
    webhook = make(url=TOPIC, identity=identity)
    webhook.post(EVENT)
    [post] = receiver.posts
    assert post.headers["Authorization"] == "Bearer token-0001"
    assert identity.scopes == ["https://eventgrid.azure.net/.default"]


def test_hosts_similar_to_topics_are_not_topics(receiver: Receiver, make: Make) -> None:
    make(KEY, "https://eventgrid.azure.net.example.com/hook").post(EVENT)
    [post] = receiver.posts
    assert post.headers["aeg-sas-key"] is None
    assert is_signed(post, KEY.encode())


def test_no_token(make: Make) -> None:
    error = failure(make(url=TOPIC, identity=NoIdentity()))
    assert isinstance(error, WebhookRefusedError)
    assert "managed identity" in str(error)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_accepted(receiver: Receiver, make: Make, status: int) -> None:
    receiver.answers.append((status, {}))
    make().post(EVENT)


@pytest.mark.parametrize("status", [408, 429, 501, 502, 503, 504])
def test_unavailable(receiver: Receiver, make: Make, status: int) -> None:
    receiver.answers.append((status, {}))
    error = failure(make(KEY))
    assert isinstance(error, WebhookUnavailableError)
    assert str(error) == f"127.0.0.1 answers HTTP {status}."
    assert error.retry_after is None
    assert len(receiver.posts) == 1


def test_receiver_fails_for_one_event(receiver: Receiver, make: Make) -> None:
    receiver.answers.append((500, {}))
    error = failure(make(KEY))
    assert isinstance(error, WebhookFailedError)
    assert str(error) == "127.0.0.1 answers HTTP 500. Check the receiver's log."


def test_event_that_cannot_be_sent(receiver: Receiver, make: Make) -> None:
    webhook = make(KEY)
    with pytest.raises(WebhookFailedError, match=r"127\.0\.0\.1 \(UnicodeEncodeError\)"):
        webhook.post({**EVENT, "id": "€"})
    assert receiver.posts == []


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (301, "Set EVENTS_URL to the final URL"),
        (307, "Set EVENTS_URL to the final URL"),
        (400, "CloudEvents 1.0"),
        (401, "EVENTS_KEY"),
        (403, "EVENTS_KEY"),
        (404, "EVENTS_URL"),
        (410, "EVENTS_URL"),
        (413, "CloudEvents 1.0"),
    ],
)
def test_refused(receiver: Receiver, make: Make, status: int, remedy: str) -> None:
    for key in (None, KEY):
        receiver.answers.append((status, {"Location": "/hooks/elsewhere-path-secret"}))
        error = failure(make(key))
        assert isinstance(error, WebhookRefusedError)
        assert str(error).startswith(f"127.0.0.1 answers HTTP {status}. ")
        assert remedy in str(error)
    assert len(receiver.posts) == 2


def test_rejected_by_a_topic(receiver: Receiver, make: Make) -> None:
    for status in (401, 403):
        for key in (None, KEY):
            receiver.answers.append((status, {"WWW-Authenticate": 'Bearer realm="x"'}))
            error = failure(make(key, TOPIC))
            assert isinstance(error, WebhookRefusedError)
            assert "EventGrid Data Sender" in str(error)
            assert "EVENTS_KEY" in str(error)
    receiver.answers.append((400, {}))
    assert "Cloud Event Schema v1.0" in str(failure(make(KEY, TOPIC)))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (format_datetime(datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC), usegmt=True), 90.0),
        (format_datetime(datetime(2025, 1, 1, tzinfo=UTC), usegmt=True), 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_of_a_response(
    receiver: Receiver, make: Make, value: str, seconds: float | None
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    receiver.answers.append((503, {"Retry-After": value}))
    assert failure(make(clock=now.timestamp)).retry_after == seconds


def test_connection_refused(receiver: Receiver, make: Make) -> None:
    webhook = make(KEY)
    receiver.stop()
    error = failure(webhook)
    receiver.start()
    assert isinstance(error, WebhookUnavailableError)
    assert str(error) == "No connection to 127.0.0.1 (connection refused)."


def test_unresolvable_host_name(make: Make) -> None:
    webhook = Webhook(
        SecretStr(f"https://no-such-host.invalid{PATH}"), None, Identity, RequestsTransport()
    )
    error = failure(webhook)
    webhook.close()
    assert isinstance(error, WebhookUnavailableError)
    assert str(error).startswith("No connection to no-such-host.invalid (")


def test_receiver_that_closes_the_connection(receiver: Receiver, make: Make) -> None:
    receiver.answers.append((0, {}))
    error = failure(make(KEY))
    assert isinstance(error, WebhookUnavailableError)
    assert str(error).startswith("No answer from 127.0.0.1")


def test_receiver_that_never_responds(
    receiver: Receiver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "WEBHOOK_DEADLINE", 0.1)
    receiver.may_answer.clear()
    begun = time.monotonic()
    error = failure(make(KEY))
    assert isinstance(error, WebhookUnavailableError)
    assert str(error) == "No answer from 127.0.0.1 (timed out)."
    assert time.monotonic() - begun < 5


def serve_tls(receiver: Receiver) -> trustme.CA:
    """Enable TLS for the receiver; return the authority of its certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = receiver._server
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    return authority


def test_tls(
    receiver: Receiver, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_tls(receiver).cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    webhook = Webhook(
        SecretStr(receiver.url.replace("http:", "https:")), None, Identity, RequestsTransport()
    )
    webhook.post(EVENT)
    webhook.post(EVENT)
    webhook.close()
    assert [post.event for post in receiver.posts] == [EVENT, EVENT]


def test_untrusted_certificate(receiver: Receiver) -> None:
    serve_tls(receiver)
    webhook = Webhook(
        SecretStr(receiver.url.replace("http:", "https:")), None, Identity, RequestsTransport()
    )
    error = failure(webhook)
    webhook.close()
    assert urlsplit(receiver.url).hostname == webhook.host
    assert isinstance(error, WebhookUnavailableError)
    assert "certificate verify failed" in str(error)
