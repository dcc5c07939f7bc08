"""Shared access signatures of the hub, validated as the learn page on SAS describes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Collection, Mapping
from urllib.parse import unquote

from iothub_emulator.auth.access import POLICIES
from iothub_emulator.errors import ErrorCode, HubError

#: Seconds for which an expired token is still accepted: the clock skew that the C# SDK allows.
CLOCK_SKEW = 300


def policy_key(policy: str) -> str:
    """Return the key of a policy: not a secret, and the same in every run.

    So a committed sample settings file can contain a working connection string.
    """
    if policy not in POLICIES:
        raise KeyError(f"unknown shared access policy {policy!r}")
    key = hashlib.sha256(f"hub emulator, not a secret: {policy}".encode()).digest()
    return base64.b64encode(key).decode()


def policy_of(token: str, hosts: Collection[str], path: str | None) -> str:
    """Return the policy that signed a token; HubError if it is not valid for the path, if any.

    Parameters
    ----------
    token
        The Authorization header without its scheme.
    hosts
        Names of the hub, with and without port.
    """
    fields = dict(_pairs(token))
    policy = unquote(fields.get("skn", ""))
    if policy not in POLICIES or not _is_signed(fields, policy_key(policy)):
        raise refused()
    resource = unquote(fields["sr"])
    if _is_expired(fields) or not any(_covers(resource, host, path) for host in hosts):
        raise refused()
    return policy


def refused() -> HubError:
    """The answer of a live hub to a wrong key; it gives no details."""
    return HubError(ErrorCode.IotHubUnauthorizedAccess, "Unauthorized")


def _pairs(token: str) -> list[tuple[str, str]]:
    """Split the token but keep its values encoded: the encoded resource was signed."""
    return [(name, value) for name, _, value in (part.partition("=") for part in token.split("&"))]


def _is_signed(fields: Mapping[str, str], key: str) -> bool:
    if not {"sr", "sig", "se"} <= fields.keys():
        return False
    signed = f"{fields['sr']}\n{fields['se']}".encode()
    expected = hmac.digest(base64.b64decode(key), signed, "sha256")
    return hmac.compare_digest(base64.b64encode(expected), unquote(fields["sig"]).encode())


def _is_expired(fields: Mapping[str, str]) -> bool:
    expiry = fields["se"]
    return not expiry.isdecimal() or int(expiry) + CLOCK_SKEW < time.time()


def _covers(resource: str, host: str, path: str | None) -> bool:
    """Whether a token for a resource is valid for a path; None for all paths of the host."""
    resource, host = resource.lower().rstrip("/"), host.lower()
    if path is None:
        return resource.partition("/")[0] == host
    return f"{host}{path.lower()}/".startswith(f"{resource}/")
