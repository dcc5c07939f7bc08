"""Who may do what, by either kind of token.

Texts are those of the learn page on IoT Hub errors, under 401003.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iothub_emulator.auth.bearer import BearerTokens
from iothub_emulator.auth.permissions import Permission
from iothub_emulator.auth.roles import Roles
from iothub_emulator.auth.sas import POLICIES, policy_of, refused
from iothub_emulator.errors import ErrorCode, HubError


@dataclass(frozen=True)
class Call:
    """What a request shows of itself to whoever decides about it."""

    method: str
    #: The header of this name, with a port or without.
    host: str
    path: str
    #: The header of this name, empty if there is none.
    authorization: str


class Authorizer:
    """Decides about calls.

    Parameters
    ----------
    names
        The hub's own names now, with port and without.
    local_auth
        False refuses every shared access signature, like the hub's ``disableLocalAuth``.
    """

    def __init__(
        self,
        names: Callable[[], frozenset[str]],
        bearer_tokens: BearerTokens,
        roles: Roles,
        *,
        local_auth: bool = True,
    ) -> None:
        self._names = names
        self._bearer_tokens = bearer_tokens
        self._roles = roles
        self._local_auth = local_auth

    def authorize(self, call: Call, needed: Permission) -> None:
        """Refuse a call whose token does not permit it."""
        scheme, _, token = call.authorization.partition(" ")
        match scheme.lower():
            case "sharedaccesssignature":
                self._by_policy(token, call, needed)
            case "bearer":
                self._by_role(token, call, needed)
            case _:
                raise HubError(ErrorCode.IotHubUnauthorized, "Authorization header missing")

    def _by_policy(self, token: str, call: Call, needed: Permission) -> None:
        if not self._local_auth:
            raise refused()
        # Some clients sign the host name alone even where the address has a port.
        hosts = {call.host, call.host.partition(":")[0], *self._names()}
        policy = policy_of(token, hosts, call.path)
        if needed.right not in POLICIES[policy]:
            raise HubError(
                ErrorCode.IotHubUnauthorized,
                f"Authorization rule '{policy}' does not allow access for '{call.path}'",
            )

    def _by_role(self, token: str, call: Call, needed: Permission) -> None:
        principal = self._bearer_tokens.principal_of(token)
        if not self._roles.permit(principal, needed.action):
            raise HubError(
                ErrorCode.IotHubUnauthorized,
                f"Principal {principal} is not authorized for {call.method} on {call.path} "
                "due to no assigned permissions",
            )
