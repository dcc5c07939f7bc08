"""Who uses the command line, as far as that is known."""

from __future__ import annotations

import base64
import json
from typing import Any

from azure.core.exceptions import ClientAuthenticationError

from shared.imports.app import Importer
from shared.imports.model.safeguards import Actor
from shared.text import clean

__all__ = ["caller"]

VIA = "command line"
_SCOPE = "https://storage.azure.com/.default"
#: Claims with a name of a user, or of an application (learn: "Access token claims reference").
_NAMES = ("upn", "preferred_username", "unique_name", "email", "app_displayname", "appid")
_MAX_NAME = 256


def caller(importer: Importer) -> Actor:
    """The identity of the token by which storage is used; of an account key nobody's."""
    connection = importer.services.settings.storage.connection
    if connection.connection_string is not None:
        return Actor("account key", "", VIA)
    credential = importer.services.settings.credential(connection.client_id)
    try:
        claims = _claims(credential.get_token(_SCOPE).token)
    except (ClientAuthenticationError, ValueError, RecursionError):
        return Actor("unknown", "", VIA)
    # Not the subject, which is another for each application.
    user_id = clean(str(claims.get("oid") or ""), _MAX_NAME)
    name = next((str(claims[name]) for name in _NAMES if claims.get(name)), user_id)
    return Actor(clean(name, _MAX_NAME) or "unknown", user_id, VIA)


def _claims(token: str) -> dict[str, Any]:
    """The claims of a token that storage accepts, so its signature is not checked here.

    Raises:
        ValueError: it is not a JSON web token.
    """
    _, payload, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if not isinstance(claims, dict):
        raise ValueError("the token has no claims")
    return claims
