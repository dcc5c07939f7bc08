"""The hub that a command works with by the operator's own rights, and its errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cli.errors import CommandError, Exit, UsageError
from shared.errors import TemporaryError, cause_of
from shared.hub.error_codes import LOCAL_AUTHENTICATION, POLICIES, ROLE
from shared.hub.exceptions import (
    HubAnswerError,
    HubError,
    HubThrottledError,
    HubUnauthorizedError,
    HubUnavailableError,
)
from shared.imports.services import Services

__all__ = ["Show", "chosen_hub", "hub_choices", "hub_errors", "patiently"]

#: Seconds; a hub that throttles asks to wait so long.
THROTTLED_SECONDS = 10.0
_MAX_THROTTLED = 30

_GRANT = (
    f"Your account needs the role {ROLE} on the hub. A new role assignment can take several "
    "minutes to take effect."
)

Answer = TypeVar("Answer")
#: Shows what a command does, and a detail.
Show = Callable[[str, str], None]


def chosen_hub(name: str | None, services: Services) -> str:
    """The hub with this name or folder; the only one for None.

    Raises:
        UsageError: there is no such hub, or there are several.
    """
    routes = services.settings.hub.routes
    if name is None and len(services.hubs) == 1:
        return next(iter(services.hubs))
    if name is None:
        raise UsageError(f"No hub specified. Use --hub with one of: {hub_choices(services)}.")
    if name in routes.folders:
        return routes.by_folder[name].name
    if name not in services.hubs:
        raise UsageError(f"Unknown hub {name!r}. Use --hub with one of: {hub_choices(services)}.")
    return name


def hub_choices(services: Services) -> str:
    return ", ".join(services.settings.hub.routes.folders or services.hubs)


@contextmanager
def hub_errors(hub: str) -> Iterator[None]:
    """Explain the errors of a hub, and of the storage of its export, to the operator.

    Raises:
        CommandError: instead of a `HubError` or `TemporaryError`.
    """
    try:
        yield
    except HubError as error:
        raise CommandError(Exit.NO_ACCESS, _message(hub, error)) from error
    except TemporaryError as error:
        raise CommandError(Exit.NO_ACCESS, f"{error} Try again.") from error


def patiently(call: Callable[[], Answer], show: Show) -> Answer:
    """Repeat a read while the hub throttles it, for some minutes."""
    for _ in range(_MAX_THROTTLED):
        try:
            return call()
        except HubThrottledError:
            show("Waiting: the hub throttles requests", "")
            time.sleep(THROTTLED_SECONDS)
    return call()


def _message(hub: str, error: HubError) -> str:
    explanation = error.explanation
    text = str(error).rstrip(".")
    match error:
        case HubUnauthorizedError(details=None):
            return f"No Entra ID token for the hub {hub}. Run `az login`. {_GRANT}"
        case HubUnauthorizedError() if explanation is LOCAL_AUTHENTICATION:
            return (
                f"The hub {hub} denied access: {text}. Use a connection string of the policy "
                f"{POLICIES} in IOTHUB. If local authentication is disabled on the hub, set IOTHUB "
                f"to its host name and run `az login`. {_GRANT}"
            )
        case HubUnauthorizedError() if explanation is None or explanation.awaits_role:
            return f"The hub {hub} denied access: {text}. {_GRANT}"
        case HubUnavailableError(details=None):
            text = cause_of(error) or text
            return f"The hub {hub} cannot be reached ({text}). Check IOTHUB and the network."
        case HubUnavailableError() | HubAnswerError() | HubThrottledError():
            return f"The hub {hub} cannot answer now: {text}. Try again in a few minutes."
    return f"The hub {hub} refused: {text}." + (f" {explanation}" if explanation else "")
