"""Authorization of requests by SAS or Entra ID token.

Messages are those of the learn page on IoT Hub errors, under 401003.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iothub_emulator.auth.access import POLICIES, Permission, Roles
from iothub_emulator.auth.entra import BearerTokens
from iothub_emulator.auth.sas import policy_of, refused
from iothub_emulator.errors import ErrorCode, HubError


@dataclass(frozen=True)
class Call:
    """The parts of a request that authorization depends on."""

    method: str
    #: The Host header, with or without port.
    host: str
    path: str
    #: The Authorization header; empty if absent.
    authorization: str


class Authorizer:
    """Authorizes calls.

    Parameters
    ----------
    names
        Returns the names of the hub, with and without port.
    local_auth
        False refuses all shared access signatures, like ``disableLocalAuth`` of a hub.
    tokens_have_paths
        Whether a token for a path of the hub is valid for what is below that path only.
    """

    def __init__(
        self,
        names: Callable[[], frozenset[str]],
        bearer_tokens: BearerTokens,
        roles: Roles,
        *,
        local_auth: bool = True,
        tokens_have_paths: bool = False,
    ) -> None:
        self._names = names
        self._bearer_tokens = bearer_tokens
        self._roles = roles
        self._local_auth = local_auth
        self._tokens_have_paths = tokens_have_paths

    def authorize(self, call: Call, required: Permission) -> None:
        """Raise HubError unless the token of the call grants the permission."""
        scheme, _, token = call.authorization.partition(" ")
        match scheme.lower():
            case "sharedaccesssignature":
                self._by_policy(token, call, required)
            case "bearer":
                self._by_role(token, call, required)
            case _:
                raise HubError(ErrorCode.IotHubUnauthorized, "Authorization header missing")

    def _by_policy(self, token: str, call: Call, required: Permission) -> None:
        if not self._local_auth:
            raise refused()
        # Some clients sign the host name without the port of the address.
        hosts = {call.host, call.host.partition(":")[0], *self._names()}
        policy = policy_of(token, hosts, call.path if self._tokens_have_paths else None)
        if required.right not in POLICIES[policy]:
            raise HubError(
                ErrorCode.IotHubUnauthorized,
                f"Authorization rule '{policy}' does not allow access for '{call.path}'",
            )

    def _by_role(self, token: str, call: Call, required: Permission) -> None:
        principal = self._bearer_tokens.principal_of(token)
        if not self._roles.permit(principal, required.action):
            raise HubError(
                ErrorCode.IotHubUnauthorized,
                f"Principal {principal} is not authorized for {call.method} on {call.path} "
                "due to no assigned permissions",
            )
