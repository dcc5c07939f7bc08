"""Shared access signatures of the hub, checked as the learn page on SAS describes them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Collection, Mapping
from urllib.parse import unquote

from iothub_emulator.auth.permissions import Right
from iothub_emulator.errors import ErrorCode, HubError

#: Seconds that a token stays good after its expiry: the clock skew that the C# SDK grants too.
CLOCK_SKEW = 300

#: The policies that every hub is created with.
POLICIES: Mapping[str, Right] = {
    "iothubowner": ~Right(0),
    "service": Right.SERVICE_CONNECT,
    "device": Right.DEVICE_CONNECT,
    "registryRead": Right.REGISTRY_READ,
    "registryReadWrite": Right.REGISTRY_READ | Right.REGISTRY_WRITE,
}


def policy_key(policy: str) -> str:
    """The key of a policy: no secret, and the same in every run.

    So a sample settings file that is committed can hold a connection string that works.
    """
    if policy not in POLICIES:
        raise KeyError(f"no shared access policy named {policy!r}")
    made_up = hashlib.sha256(f"hub emulator, not a secret: {policy}".encode()).digest()
    return base64.b64encode(made_up).decode()


def policy_of(token: str, hosts: Collection[str], path: str) -> str:
    """The policy that signed a token; refuses one that is not good for this path of the hub.

    Parameters
    ----------
    token
        The header's value without its scheme.
    hosts
        The names by which the hub goes, with port or without.
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
    """What a live hub says of a wrong key, and nothing more of what is wrong."""
    return HubError(ErrorCode.IotHubUnauthorizedAccess, "Unauthorized")


def _pairs(token: str) -> list[tuple[str, str]]:
    """Split the token but keep its values encoded: the encoded resource is what was signed."""
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


def _covers(resource: str, host: str, path: str) -> bool:
    """A token for a resource is good for everything below it."""
    target = f"{host}{path}".lower()
    resource = resource.lower().rstrip("/")
    return target == resource or target.startswith(f"{resource}/")
