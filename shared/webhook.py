"""Post CloudEvents 1.0 to a webhook or an Event Grid topic.

Events are sent in structured mode (CloudEvents: "HTTP protocol binding"). A webhook can verify them
by the headers of Standard Webhooks (standardwebhooks.com); a topic uses its access key or an Entra
ID token (learn: "Publish events to Event Grid custom topics").

There is no retry policy: the caller keeps events that are not accepted. A webhook's URL is a secret
like its key, so an error contains its host, and no text of the receiver or of a library. A receiver
may answer anything at any speed: `shared.transport` limits size and time.
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

from shared.errors import RefusedForNowError, SettingsError, TemporaryError, cause_of
from shared.transport import read_only_heads

__all__ = [
    "Webhook",
    "WebhookFailedError",
    "WebhookRefusedError",
    "WebhookUnavailableError",
    "retry_after",
    "signature",
    "signing_key",
]

#: Maximum of `Retry-After`, in seconds.
MAX_RETRY_AFTER = 600.0

#: Domains of Event Grid topics, in all clouds.
TOPICS = (".eventgrid.azure.net", ".eventgrid.azure.us", ".eventgrid.azure.cn")

#: Entra ID scope of every topic (learn: "Authenticate publishing clients using Entra ID").
SCOPE = "https://eventgrid.azure.net/.default"

ROLE = "EventGrid Data Sender"

_PREFIX = "whsec_"


class WebhookUnavailableError(TemporaryError):
    """The receiver of events is unreachable or unable to answer."""

    def __init__(self, message: str | None = None, retry_after: float | None = None) -> None:
        #: Seconds until the next request, by the receiver's answer; None if it has none.
        self.retry_after = retry_after
        super().__init__(message)


class WebhookFailedError(TemporaryError):
    """The event cannot be sent, or the receiver fails to process it; other events may succeed."""


class WebhookRefusedError(RefusedForNowError):
    """The receiver rejects events until operators correct its URL, key or role."""


class Webhook:
    """One receiver of events. Safe to use from several threads.

    Raises:
        SettingsError: the key starts with `whsec_` and is not a Standard Webhooks secret.
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
        # A copied secret may end with a line break.
        secret = key.get_secret_value().strip() if key else ""
        self._has_key = bool(secret)
        #: None if events are not signed.
        self._signing_key: bytes | None = None
        # Without the SDKs' policies for logs and traces, which contain the URL's path.
        policies: list[Any] = [RequestIdPolicy(), UserAgentPolicy("iot-hub-device-importer")]
        if secret and not self._is_topic:
            self._signing_key = signing_key(secret)
        elif secret:
            topic_key = AzureKeyCredential(secret)
            policies.append(AzureKeyCredentialPolicy(topic_key, "aeg-sas-key"))
        elif self._is_topic:
            policies.append(BearerTokenCredentialPolicy(credential(), SCOPE))
        read_only_heads(transport)
        self._client: PipelineClient[Any, Any] = PipelineClient(
            self._url, policies=policies, transport=transport
        )

    def post(self, event: Mapping[str, Any]) -> None:
        """Post one event, a CloudEvent in the JSON format. Returns if it was accepted.

        Takes at most `WEBHOOK_DEADLINE`, plus the time of name resolution and of a token.

        Raises:
            WebhookUnavailableError: retry later; it may have been accepted.
            WebhookFailedError: the same, but the cause may be this event.
            WebhookRefusedError: operators have to act; the message contains the remedy.
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
        # Without causes: a traceback would contain the URL.
        try:
            response: HttpResponse = self._client.send_request(request)
            return response
        except ClientAuthenticationError:
            raise WebhookRefusedError(
                f"No Entra ID token for {self.host}. Check the app's managed identity, or set "
                "EVENTS_KEY to an access key of the topic."
            ) from None
        except ServiceRequestError as error:
            problem = f"No connection to {self.host}{_in_brackets(cause_of(error))}."
            raise WebhookUnavailableError(problem) from None
        except AzureError as error:
            problem = f"No answer from {self.host}{_in_brackets(cause_of(error))}."
            raise WebhookUnavailableError(problem) from None
        except Exception as error:
            problem = f"The event cannot be posted to {self.host} ({type(error).__name__})."
            raise WebhookFailedError(problem) from None

    def _remedy(self, status: int) -> str:
        match status:
            case 401 | 403 if self._is_topic and self._has_key:
                return (
                    "Set EVENTS_KEY to an access key of the topic; or remove EVENTS_KEY and grant "
                    f"the app's identity the role {ROLE} on the topic. Check that the topic's "
                    "firewall allows the app."
                )
            case 401 | 403 if self._is_topic:
                return (
                    f"Grant the app's identity the role {ROLE} on the topic (this can take several "
                    "minutes to take effect), or set EVENTS_KEY to an access key. Check that the "
                    "topic's firewall allows the app."
                )
            case 401 | 403 if self._has_key:
                return "Set EVENTS_KEY to the secret with which the receiver verifies events."
            case 401 | 403:
                return "Set EVENTS_KEY to the receiver's secret, or correct EVENTS_URL."
            case 404 | 410:
                return "Correct EVENTS_URL: nothing exists at this URL."
            case _ if 300 <= status < 400:
                return "Set EVENTS_URL to the final URL: redirects are not followed."
            case 400 if self._is_topic:
                return "Set the topic's input schema to Cloud Event Schema v1.0."
        return "Check that the receiver accepts CloudEvents 1.0 by POST in structured mode."


def retry_after(value: str, now: datetime) -> float | None:
    """Parse a header `Retry-After`: seconds, at most `MAX_RETRY_AFTER`; None if invalid.

    It contains whole seconds or a date (RFC 9110: "Retry-After", "Date/Time Formats").
    """
    value = value.strip(" \t")
    if value.isascii() and value.isdecimal():
        # Any number of digits is a valid float, possibly infinity.
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
            # A date without a zone is UTC.
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (moment - now).total_seconds()
        except (ValueError, TypeError, LookupError, ArithmeticError):
            return None
    return min(MAX_RETRY_AFTER, max(0.0, seconds))


def signing_key(secret: str) -> bytes:
    """Return the key of a secret: decoded base64 after `whsec_`, else the text itself.

    Raises:
        SettingsError: the text after `whsec_` is not base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        problem = "EVENTS_KEY starts with whsec_ and is not base64 after it. Copy it again."
        raise SettingsError([problem]) from None


def signature(key: bytes, event_id: str, sent_at: int, body: bytes) -> str:
    """Return the header webhook-signature of an event sent at this time, in seconds since 1970."""
    mac = hmac.digest(key, f"{event_id}.{sent_at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac).decode()}"


def _in_brackets(cause: str) -> str:
    return f" ({cause})" if cause else ""
