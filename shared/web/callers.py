"""Who calls: what the platform vouches for, else that a function key was used."""

from __future__ import annotations

from shared.imports.model.safeguards import Actor
from shared.settings import Settings
from shared.text import clean
from shared.web.http_types import Request

__all__ = ["caller_of"]

#: Characters of a name.
_MAX_NAME = 256


def caller_of(request: Request, settings: Settings, via: str) -> Actor:
    """The caller of a request.

    App Service Authentication removes these headers from requests and adds its own (learn: "Work
    with user identities in Azure App Service authentication"). Without it anybody can send them.

    Args:
        via: "dashboard" or "API".
    """
    if settings.knows_callers:
        user_id = clean(request.headers.get("x-ms-client-principal-id", ""), _MAX_NAME)
        name = clean(request.headers.get("x-ms-client-principal-name", ""), _MAX_NAME)
        if user_id:
            return Actor(name or user_id, user_id, via)
    return Actor("function key", "", via)
