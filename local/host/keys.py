"""Keys of HTTP functions and webhooks (learn: "Work with access keys in Azure Functions")."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest

__all__ = ["Keys", "Level"]


class Level(enum.StrEnum):
    """What a function or webhook requires; the values are those of the binding."""

    ANONYMOUS = "anonymous"
    #: The host key, or the key of the function.
    FUNCTION = "function"
    #: The system key.
    SYSTEM = "system"
    #: The master key, which the other levels accept too.
    ADMIN = "admin"


def _made_up() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Keys:
    """The keys that a host accepts, random by default."""

    host: str = field(default_factory=_made_up, repr=False)
    master: str = field(default_factory=_made_up, repr=False)
    #: `blobs_extension`, for the webhook of Event Grid.
    system: str = field(default_factory=_made_up, repr=False)
    #: Keys of single functions by name.
    functions: Mapping[str, str] = field(default_factory=dict, repr=False)

    def refusal(self, key: str, required: Level, function: str = "") -> int | None:
        """Return the status that refuses a request with this key, None if it is accepted.

        401 for an unknown key, 403 for one of another level.
        """
        if required is Level.ANONYMOUS:
            return None
        level = self._level(key, function)
        if level is None:
            return 401
        return None if level in (required, Level.ADMIN) else 403

    def _level(self, key: str, function: str) -> Level | None:
        accepted = (
            (self.master, Level.ADMIN),
            (self.system, Level.SYSTEM),
            (self.host, Level.FUNCTION),
            (self.functions.get(function, ""), Level.FUNCTION),
        )
        for value, level in accepted:
            if value and compare_digest(value.encode(), key.encode("utf-8", "replace")):
                return level
        return None
