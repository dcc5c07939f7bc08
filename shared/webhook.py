"""Posts CloudEvents 1.0 to a webhook or an Event Grid topic; the answer becomes a type of error.

An event travels in structured mode (CloudEvents: "HTTP protocol binding"). A plain webhook can tell
by the headers of Standard Webhooks (standardwebhooks.com) that it is ours and whole; a topic takes
its access key or an Entra ID token (learn: "Publish events to Event Grid custom topics").

There is no retry policy: the caller keeps what was not accepted. A webhook's address is a secret
like its key, so an error names its host and nothing that the receiver or a library said of it. A
receiver may answer anything, at any speed: `shared.bounded` limits what is read and waited for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.credentials import AzureKeyCredential, TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError
from azure.core.pipeline.policies import (
    AzureKeyCredentialPolicy,
    BearerTokenCredentialPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse
from pydantic import SecretStr

from shared.bounded import bound
from shared.errors import RefusedForNowError, SettingsError, TemporaryError

__all__ = [
    "Webhook",
    "WebhookFailedError",
    "WebhookRefusedError",
    "WebhookUnavailableError",
    "retry_after",
    "signature",
    "signing_key",
]

#: Seconds of `Retry-After` that are honored.
LONGEST_RETRY_AFTER = 600.0

#: Hosts of Event Grid topics end so, in the public cloud and in the sovereign ones.
TOPICS = (".eventgrid.azure.net", ".eventgrid.azure.us", ".eventgrid.azure.cn")

#: Entra ID scope of every topic (learn: "Authenticate publishing clients using Entra ID").
SCOPE = "https://eventgrid.azure.net/.default"

ROLE = "EventGrid Data Sender"

_PREFIX = "whsec_"


class WebhookUnavailableError(TemporaryError):
    """The receiver of events cannot be reached or is not able to answer."""

    def __init__(self, message: str | None = None, retry_after: float | None = None) -> None:
        #: Seconds after which the receiver wants the next request, if its answer has them.
        self.retry_after = retry_after
        super().__init__(message)


class WebhookFailedError(TemporaryError):
    """The event cannot be sent, or the receiver fails to process it; other events may succeed."""


class WebhookRefusedError(RefusedForNowError):
    """The receiver refuses the event until people correct its address, key or role."""


class Webhook:
    """One receiver of events. Safe to use from several threads.

    Raises:
        SettingsError: the key begins as a Standard Webhooks secret does and is none.
    """

    def __init__(
        self,
        url: SecretStr,
        key: SecretStr | None,
        credential: Callable[[], TokenCredential],
        transport: RequestsTransport,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url.get_secret_value()
        self._clock = clock
        self.host = (urlsplit(self._url).hostname or "").rstrip(".")
        self._is_topic = self.host.endswith(TOPICS)
        # A line break at its end comes of copying.
        secret = key.get_secret_value().strip() if key else ""
        self._has_key = bool(secret)
        #: By what events are signed; None if they are not.
        self._signing_key: bytes | None = None
        # Without the SDKs' policies for logs and traces: they tell all but the address's query.
        policies: list[Any] = [RequestIdPolicy(), UserAgentPolicy("iot-hub-device-importer")]
        if secret and not self._is_topic:
            self._signing_key = signing_key(secret)
        elif secret:
            topic_key = AzureKeyCredential(secret)
            policies.append(AzureKeyCredentialPolicy(topic_key, "aeg-sas-key"))
        elif self._is_topic:
            policies.append(BearerTokenCredentialPolicy(credential(), SCOPE))
        bound(transport)
        self._client: PipelineClient[Any, Any] = PipelineClient(
            self._url, policies=policies, transport=transport
        )

    def post(self, event: Mapping[str, Any]) -> None:
        """Post one event, a CloudEvent in the JSON format; return if it was accepted.

        Ends within `shared.bounded.DEADLINE`, plus the time for a name resolution and a token.

        Raises:
            WebhookUnavailableError: it may be accepted later; it may even have been accepted now.
            WebhookFailedError: the same, but the reason may be this event.
            WebhookRefusedError: it is refused until people correct something; says what.
        """
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
        if self._signing_key is not None:
            sent_at = int(self._clock())
            headers |= {
                "webhook-id": event["id"],
                "webhook-timestamp": str(sent_at),
                "webhook-signature": signature(self._signing_key, event["id"], sent_at, body),
            }
        response = self._send(HttpRequest("POST", self._url, content=body, headers=headers))
        status = response.status_code
        if 200 <= status < 300:
            return
        answered = f"{self.host} answers HTTP {status}"
        if status in (408, 429) or status >= 500:
            value = response.headers.get("Retry-After", "")
            seconds = retry_after(value, datetime.fromtimestamp(self._clock(), UTC))
            if status == 500 and seconds is None:
                raise WebhookFailedError(f"{answered}. Check the receiver's log.")
            raise WebhookUnavailableError(f"{answered}.", seconds)
        raise WebhookRefusedError(f"{answered}. {self._remedy(status)}")

    def close(self) -> None:
        self._client.close()

    def _send(self, request: HttpRequest) -> HttpResponse:
        # Without their causes, as a traceback would tell the address with all that is in it.
        try:
            response: HttpResponse = self._client.send_request(request)
            return response
        except ClientAuthenticationError:
            raise WebhookRefusedError(
                f"No Entra ID token for {self.host}. Check the app's managed identity, or put an "
                "access key of the topic into EVENTS_KEY."
            ) from None
        except ServiceRequestError as error:
            said = _system_error(error)
            raise WebhookUnavailableError(f"No connection to {self.host}{said}.") from None
        except AzureError as error:
            said = _system_error(error)
            raise WebhookUnavailableError(f"No answer from {self.host}{said}.") from None
        except Exception as error:
            problem = f"The event cannot be posted to {self.host} ({type(error).__name__})."
            raise WebhookFailedError(problem) from None

    def _remedy(self, status: int) -> str:
        match status:
            case 401 | 403 if self._is_topic and self._has_key:
                return (
                    "Put an access key of the topic into EVENTS_KEY; or remove EVENTS_KEY and "
                    f"grant the app's identity the role {ROLE} on the topic. Check that its "
                    "firewall admits the app."
                )
            case 401 | 403 if self._is_topic:
                return (
                    f"Grant the app's identity the role {ROLE} on the topic (that takes minutes to "
                    "apply), or put an access key into EVENTS_KEY. Check that its firewall admits "
                    "the app."
                )
            case 401 | 403 if self._has_key:
                return "Check that EVENTS_KEY is the secret by which the receiver verifies events."
            case 401 | 403:
                return "Put the receiver's secret into EVENTS_KEY, or correct EVENTS_URL."
            case 404 | 410:
                return "Correct EVENTS_URL: there is nothing at its address."
            case _ if 300 <= status < 400:
                return "Redirects are not followed: put the final address into EVENTS_URL."
            case 400 if self._is_topic:
                return "Check that the topic's input schema is Cloud Event Schema v1.0."
        return "Check that the receiver takes CloudEvents 1.0 by POST in structured mode."


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds of a header `Retry-After`, at most `LONGEST_RETRY_AFTER`; None if it is invalid.

    It has whole seconds or a date (RFC 9110: "Retry-After", "Date/Time Formats").
    """
    value = value.strip(" \t")
    if value.isascii() and value.isdecimal():
        # Any number of digits is a float, if need be infinity.
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
            # A date without a zone is UTC.
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (moment - now).total_seconds()
        except (ValueError, TypeError, LookupError, ArithmeticError):
            return None
    return min(LONGEST_RETRY_AFTER, max(0.0, seconds))


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: base64 behind `whsec_`, else the text itself.

    Raises:
        SettingsError: what is behind `whsec_` is not base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        problem = "EVENTS_KEY begins with whsec_ and is not base64 behind that. Copy it anew."
        raise SettingsError([problem]) from None


def signature(key: bytes, event_id: str, sent_at: int, body: bytes) -> str:
    """The header webhook-signature of an event posted at that time, in seconds since 1970."""
    mac = hmac.digest(key, f"{event_id}.{sent_at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac).decode()}"


def _system_error(error: AzureError) -> str:
    """What the operating system or TLS said, in brackets: it knows no address but the host."""
    cause: BaseException | None = error.inner_exception
    said = ""
    while cause is not None:
        if isinstance(cause, OSError) and isinstance(cause.strerror, str):
            said = cause.strerror
        elif isinstance(cause, TimeoutError):
            said = "timed out"
        cause = cause.__cause__ or cause.__context__
    return f" ({said})" if said else ""
