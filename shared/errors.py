"""The errors of the importer. Whether trying again can help is a type, never a flag.

    ImporterError
    ├── SettingsError               the environment is wrong; names every setting at once
    ├── TemporaryError              the same call may succeed later
    │   ├── ConflictError           another process changed the record first
    │   ├── HubThrottledError       429: the hub asks to slow down
    │   ├── HubUnavailableError     5xx, failing over, connection not made
    │   ├── HubAnswerError          the hub answers, but not what it was asked for
    │   ├── OutcomeUnknownError     sent, but no answer: the hub may have done it
    │   ├── WebhookUnavailableError 408, 429, 5xx of the receiver of events, or no answer
    │   └── WebhookFailedError      500 of the receiver, or the event itself cannot be sent
    ├── RefusedForNowError          the hub's state or a role forbids it; people may mend it
    │   ├── JobSlotBusyError        another import or export job holds the hub's only slot
    │   ├── StorageRefusedError     the hub cannot use the containers it was given
    │   ├── HubUnauthorizedError    a role, a policy or a key is wrong
    │   ├── DelegationKeyRefusedError   the app may not sign a SAS for the hub
    │   └── WebhookRefusedError     the receiver of events refuses one
    └── PermanentError              trying again is useless
        ├── HubRequestError         the hub refuses the request as such
        ├── JobNotFoundError        the hub does not know the job (any more)
        ├── FilterError             a list is asked for by something that there is not
        ├── ImportNotFoundError     an operator names an import that is not there
        └── NotPossibleError        its state does not allow what the operator asks for

The hub's errors live in `shared.hub.errors`, DelegationKeyRefusedError in `shared.storage.client`,
ConflictError in `shared.imports.store.import_store`, and those of events in `shared.webhook`.
"""

from __future__ import annotations

from shared.redaction import redact

__all__ = [
    "FilterError",
    "ImportNotFoundError",
    "ImporterError",
    "NotPossibleError",
    "PermanentError",
    "RefusedForNowError",
    "SettingsError",
    "TemporaryError",
    "first_line",
]


class ImporterError(Exception):
    """Something went wrong in the importer."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(redact(message or (type(self).__doc__ or "").strip().splitlines()[0]))


class SettingsError(ImporterError):
    """The settings of the function app are incomplete or wrong."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [redact(problem) for problem in problems]
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"The settings of the function app are not right:{lines}")


class TemporaryError(ImporterError):
    """The same call may succeed later."""


class RefusedForNowError(ImporterError):
    """Refused until the hub is free or somebody grants a right."""


class PermanentError(ImporterError):
    """Trying again is useless."""


class NotPossibleError(PermanentError):
    """The state of the import does not allow what an operator requests."""


class ImportNotFoundError(PermanentError):
    """There is no import with this id."""


class FilterError(PermanentError):
    """A filter of a list names something that does not exist."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
