"""Access tokens of Entra ID, checked as any resource has to (learn: "Access tokens")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jwt

from iothub_emulator.auth.issuer import ALGORITHM, AUDIENCE, Issuer
from iothub_emulator.auth.sas import CLOCK_SKEW
from iothub_emulator.errors import ErrorCode, HubError, Shape

#: Entra ID keeps a trailing slash of the scope that was asked for.
_AUDIENCES = (AUDIENCE, f"{AUDIENCE}/")
_REQUIRED = ("iss", "aud", "exp", "oid")


class BearerTokens:
    """Tells whose token it is.

    Parameters
    ----------
    issuer
        The emulator's own.
    trusted
        Prefixes of other issuers, whose signatures are not looked at: their keys are on the
        internet. Real tokens then reach an emulator on this machine that guards nothing.
    """

    def __init__(self, issuer: Issuer, trusted: Sequence[str] = ()) -> None:
        self._issuer = issuer
        self._trusted = tuple(trusted)

    def principal_of(self, token: str) -> str:
        """The object id of the token's principal; refuses a token that is not good."""
        try:
            return str(self._claims(token)["oid"])
        except jwt.InvalidTokenError:
            # The form of the one refusal that was published (azure-iot-sdk-java#1799).
            raise HubError(
                ErrorCode.IotHubUnauthorizedAccess, "Unauthorized access", Shape.E2
            ) from None

    def _claims(self, token: str) -> dict[str, Any]:
        claimed = jwt.decode(token, options={"verify_signature": False})
        from_elsewhere = str(claimed.get("iss")).startswith(self._trusted)
        return jwt.decode(
            token,
            key=self._issuer.public_key,
            algorithms=[ALGORITHM],
            audience=_AUDIENCES,
            issuer=f"{Issuer.PREFIX}{claimed.get('tid')}/",
            leeway=CLOCK_SKEW,
            options={
                "require": list(_REQUIRED),
                "verify_signature": not from_elsewhere,
                "verify_iss": not from_elsewhere,
                # PyJWT leaves these out with the signature.
                "verify_aud": True,
                "verify_exp": True,
                "verify_nbf": True,
                "verify_iat": True,
            },
        )
