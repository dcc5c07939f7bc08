"""The exceptions of the importer. Their type decides about retries.

    ImporterError
    ├── SettingsError               settings are invalid; lists every problem
    ├── TemporaryError              the same call may succeed later
    │   ├── ConflictError           another process changed the record first
    │   ├── HubThrottledError       429: too many calls
    │   ├── HubUnavailableError     5xx, failover, no connection
    │   ├── HubAnswerError          the hub's answer does not match the request
    │   ├── OutcomeUnknownError     sent, but no answer: the hub may have performed it
    │   ├── WebhookUnavailableError 408, 429, 5xx of the receiver of events, or no answer
    │   └── WebhookFailedError      500 of the receiver, or this event cannot be sent
    ├── RefusedForNowError          may succeed after another job ends, or after operators act
    │   ├── JobSlotBusyError        another import or export job holds the hub's only slot
    │   ├── StorageRefusedError     the hub cannot access the containers of the job
    │   ├── HubUnauthorizedError    a role, policy or key is missing or wrong
    │   ├── DelegationKeyRefusedError   the app may not sign a SAS for the hub
    │   └── WebhookRefusedError     the receiver rejects events
    └── PermanentError              a retry cannot succeed
        ├── HubRequestError         the hub rejects the request
        ├── JobNotFoundError        the hub does not find the job
        ├── FilterError             a parameter names something that does not exist
        ├── ImportNotFoundError     no import has this id
        │   └── AmbiguousIdError    several imports have an id that begins so
        └── NotPossibleError        the import's state does not allow the action
            ├── SharedJobError      cancelling an import would cancel others in its job
            ├── LaterImportsError   others may have changed the devices of what is approved
            └── UploadExistsError   there is a blob of that name

Those of a hub are in `shared.hub.exceptions`, of events in `shared.webhook`,
DelegationKeyRefusedError in `shared.storage.client`, ConflictError in
`shared.imports.store.import_store`.
"""

from __future__ import annotations

import http.client
import ssl

from shared.redaction import redact

__all__ = [
    "AmbiguousIdError",
    "FilterError",
    "ImportNotFoundError",
    "ImporterError",
    "LaterImportsError",
    "NotPossibleError",
    "PermanentError",
    "RefusedForNowError",
    "SettingsError",
    "SharedJobError",
    "TemporaryError",
    "UploadExistsError",
    "cause_of",
    "error_text",
    "first_line",
]


class ImporterError(Exception):
    """The importer failed. The message is redacted; its default is the docstring."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(redact(message or (type(self).__doc__ or "").strip().splitlines()[0]))


class SettingsError(ImporterError):
    """The settings of the function app are invalid."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [redact(problem) for problem in problems]
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"The settings are invalid:{lines}")


class TemporaryError(ImporterError):
    """The same call may succeed later."""


class RefusedForNowError(ImporterError):
    """Rejected until the hub is free or operators act."""


class PermanentError(ImporterError):
    """A retry cannot succeed."""


class NotPossibleError(PermanentError):
    """The state of the import does not allow what an operator requests."""


class SharedJobError(NotPossibleError):
    """An import cannot be cancelled alone, as it is in a job with other files."""

    def __init__(self, import_id: str, job_record: str, imports: list[str]) -> None:
        others = len(imports) - 1
        super().__init__(
            f"Import {import_id} is in one job with {others:,} other file{'s'[: others > 1]}, and "
            "the hub can only cancel the whole job. To cancel all of them, confirm job "
            f"{job_record}."
        )
        #: The id of the job's record, and those of all of its imports.
        self.job_record = job_record
        self.imports = imports


class LaterImportsError(NotPossibleError):
    """Other imports may have changed the devices of a held import, and that was not confirmed."""

    def __init__(self, import_id: str, imports: list[str], *, is_guarded: bool) -> None:
        count = len(imports)
        were = "import was" if count == 1 else "imports were"
        effect = (
            "A line whose device has changed since the plan fails; nothing is overwritten."
            if is_guarded
            else "It was not compared with the registry: what they change may be overwritten."
        )
        super().__init__(
            f"{count:,} later {were} or will be applied to devices that import {import_id} may "
            f"change. {effect} To approve all the same, confirm the number: later={count} "
            f"(--later {count})."
        )
        #: The ids of all of them.
        self.imports = imports


class UploadExistsError(NotPossibleError):
    """There is a blob of that name, and it is not to be overwritten."""

    def __init__(self, file: str, import_id: str, state: str) -> None:
        super().__init__(
            f"The blob {file!r} already exists; its import {import_id} "
            f"{f'is {state}' if state else 'has not started'}. To replace it, ask for overwrite: "
            "that is a new import, and supersedes the old one if that has not been validated yet."
        )
        #: The id of the import of that blob.
        self.import_id = import_id


class ImportNotFoundError(PermanentError):
    """There is no import with this id."""


class AmbiguousIdError(ImportNotFoundError):
    """An abbreviated id is the beginning of several ids."""

    def __init__(self, prefix: str, candidates: list[str], *, has_more: bool) -> None:
        lines = [*candidates, *(["and more"] if has_more else [])]
        super().__init__(
            f"The import id {prefix!r} is ambiguous. Use more of its digits:"
            + "".join(f"\n  {line}" for line in lines)
        )


class FilterError(PermanentError):
    """A parameter, such as a filter of a list, names something that does not exist."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type.

    Of a failed connection it is the cause: the messages of HTTP libraries contain objects of Python
    and URLs.
    """
    # Of Azure's errors, those without an answer of the service.
    is_unanswered = hasattr(error, "inner_exception") and getattr(error, "response", None) is None
    if (is_unanswered or isinstance(error, OSError)) and (cause := cause_of(error)):
        return cause
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def error_text(error: BaseException) -> str:
    """The first line of an error's message, as a part of a sentence."""
    return first_line(error).rstrip(".")


def cause_of(error: BaseException) -> str:
    """Why a connection or a system call failed, in a few words; "" if that is not known."""
    words = ""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        # The innermost is the most exact.
        words = _words(cause) or words
        inner = getattr(cause, "inner_exception", None)
        cause = inner or cause.__cause__ or cause.__context__
    return words


def _words(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate verify failed: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {(error.reason or 'failed').replace('_', ' ').lower()}"
        case http.client.IncompleteRead():
            return "the answer ended early"
        case http.client.BadStatusLine():
            return "the connection was closed without an answer"
        case OSError(strerror=str(text)) if text:
            return text[0].lower() + text[1:]
    # Those of HTTP libraries are no TimeoutError.
    return "timed out" if "Timeout" in type(error).__name__ else ""
