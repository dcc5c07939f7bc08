"""The exceptions of a hub's calls, and error responses of every known shape as exceptions.

    E1  {"Message": "ErrorCode:<Name>;<text>", "ExceptionMessage": "Tracking ID:…"}
    E2  {"errorCode": 409301, "message": "…", "trackingId": "…", "timestampUtc": "…"}
    E3  E1 whose Message is an E2 document as text
    E4  E1 whose Message has several lines: code, "Error: 403 ErrorCode: X", "Message: …"  (jobs)
    E5  {"isSuccessful": false, "errors": [{"errorCode": …, "errorStatus": "…"}]}  (bulk)
    E6  {"code"/"Code": "…", "message"/"Message": "…"}  (resource manager)
    E7  nothing, or plain text of a gateway

The header `iothub-errorcode` is the most reliable source of the symbolic name and is read first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.errors import ImporterError, PermanentError, RefusedForNowError, TemporaryError
from shared.hub.error_codes import LOCAL_AUTHENTICATION, NO_TOKEN, Explanation
from shared.hub.explain import code_name, explain
from shared.hub.parsing import parse_json
from shared.text import clean

__all__ = [
    "ErrorDetails",
    "HubAnswerError",
    "HubError",
    "HubRequestError",
    "HubThrottledError",
    "HubUnauthorizedError",
    "HubUnavailableError",
    "JobNotFoundError",
    "JobSlotBusyError",
    "OutcomeUnknownError",
    "StorageRefusedError",
    "error_from_response",
    "parse_error",
]

#: Maximum length of an error's text and of its name, in characters.
MAX_TEXT = 1000
MAX_NAME = 200


@dataclass(frozen=True)
class ErrorDetails:
    """An error response, with its texts redacted and on one line."""

    status: int
    #: The symbolic name, such as JobQuotaExceeded, or an unknown number; "" if there is neither.
    name: str
    text: str
    #: Whether the request was signed with the key of a connection string.
    is_signed: bool = False

    @property
    def explanation(self) -> Explanation | None:
        """What the response means, and what to do; None if nothing is known."""
        explanation = explain(self.name, self.status)
        if self.status == 401 and self.is_signed and explanation and explanation.awaits_role:
            return LOCAL_AUTHENTICATION
        return explanation

    def __str__(self) -> str:
        error = f"HTTP {self.status} {self.name}".rstrip()
        return f"{error}: {self.text}" if self.text else error


class HubError(ImporterError):
    """A hub rejects a call, is unreachable, or does not answer."""

    def __init__(self, message: str | None = None, details: ErrorDetails | None = None) -> None:
        self.details = details
        super().__init__(message or (str(details) if details else None))

    @property
    def explanation(self) -> Explanation | None:
        """What the error means and what to do; None if nothing is known."""
        return self.details.explanation if self.details else None


class HubThrottledError(HubError, TemporaryError):
    """The hub throttles this kind of call."""


class HubUnavailableError(HubError, TemporaryError):
    """The hub is unreachable or unable to answer."""


class HubAnswerError(HubError, TemporaryError):
    """The hub's answer does not match the request."""


class OutcomeUnknownError(HubError, TemporaryError):
    """The request was sent, but no answer shows whether the hub performed it."""


class JobSlotBusyError(HubError, RefusedForNowError):
    """Another import or export job holds the hub's only job slot."""


class StorageRefusedError(HubError, RefusedForNowError):
    """The hub cannot read or write the containers of the job."""


class HubUnauthorizedError(HubError, RefusedForNowError):
    """The hub does not authorize the app, or the app has no token for it."""

    @property
    def explanation(self) -> Explanation | None:
        return super().explanation if self.details else NO_TOKEN


class HubRequestError(HubError, PermanentError):
    """The hub rejects the request."""


class JobNotFoundError(HubError, PermanentError):
    """The hub does not find the job. It keeps a job's history for 30 days."""


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes | str, *, is_signed: bool = False
) -> ImporterError:
    """Return the exception of an error response.

    `HubClient` turns a 5xx into OutcomeUnknownError where the request may have had an effect.

    Args:
        is_signed: whether the request was signed with the key of a connection string.
    """
    details = replace(parse_error(status, headers, body), is_signed=is_signed)
    match status, details.name:
        case 403, "JobQuotaExceeded" | "ImportExportJobQuotaExceeded":
            kind: type[HubError] = JobSlotBusyError
        case 400, "BlobContainerValidationError" | "ManagedIdentityNotEnabled":
            kind = StorageRefusedError
        case 404, "JobNotFound":
            kind = JobNotFoundError
        case ((401 | 403), _):
            kind = HubUnauthorizedError
        case 429, _:
            kind = HubThrottledError
        case (404, "IotHubFailingOver") | (408, _):
            kind = HubUnavailableError
        case _ if status >= 500:
            kind = HubUnavailableError
        case _:
            kind = HubRequestError
    return kind(details=details)


def parse_error(status: int, headers: Mapping[str, str], body: bytes | str) -> ErrorDetails:
    """Read an error response of any known shape; never fails."""
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    document = _json_object(text)
    name = headers.get("iothub-errorcode", "")
    if document is not None:
        body_name, text = _read(document)
        name = name or body_name
    # A gateway's HTML page adds nothing to the status.
    if text.lstrip().startswith("<"):
        text = ""
    name = clean(code_name(name), MAX_NAME)
    return ErrorDetails(status, name, clean(text, MAX_TEXT))


def _read(document: Mapping[str, Any]) -> tuple[str, str]:
    """Name and text of an error document."""
    members = {key.lower(): value for key, value in document.items()}
    if isinstance(errors := members.get("errors"), list) and errors and isinstance(errors[0], dict):
        members |= {key.lower(): value for key, value in errors[0].items()}
    text = _text(members.get("message")) or _text(members.get("errorstatus"))
    inner = _json_object(text)
    if inner is not None:
        return _read(inner)
    code = members.get("errorcode", members.get("code"))
    name = code_name(code) or _find(r"\bErrorCode:\s*(\w+)", text)
    lines = (line.strip() for line in text.splitlines())
    messages = (line.removeprefix("Message:") for line in lines if line.startswith("Message:"))
    message = next(filter(str.strip, messages), "") or _find(
        r"(?s)\A\s*ErrorCode:\s*\w+;(.*)", text
    )
    return name, message or text


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = parse_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
