"""Access tokens of Entra ID: an issuer of the emulator's own, and validation (learn: "Access
tokens").
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from jwt.algorithms import RSAAlgorithm

from iothub_emulator.auth.sas import CLOCK_SKEW
from iothub_emulator.errors import ErrorCode, HubError, Shape

#: The resource that tokens for a hub are for.
AUDIENCE = "https://iothubs.azure.net"
#: Entra ID keeps a trailing slash of the requested scope.
_AUDIENCES = (AUDIENCE, f"{AUDIENCE}/")
ALGORITHM = "RS256"
#: Defaults of a token's ``tid`` and ``oid``.
TENANT = "11111111-2222-3333-4444-555555555555"
PRINCIPAL = "66666666-7777-8888-9999-000000000000"
#: In seconds, as in Entra ID without a token lifetime policy.
LIFETIME = 3600
_REQUIRED_CLAIMS = ["iss", "aud", "exp", "oid"]


class Issuer:
    """Signs tokens in version 1.0 of the format, which hubs get from Entra ID.

    As in Entra ID, the issuer is not that of the discovery document but a separate service (there
    ``https://sts.windows.net/``) with the tenant as its path, so it does not depend on the
    emulator's address. The key is generated anew for each emulator.
    """

    PREFIX = "https://sts.hub-emulator.invalid/"

    def __init__(self) -> None:
        self._key_id = uuid.uuid4().hex
        self._lock = threading.Lock()

    @property
    def public_key(self) -> RSAPublicKey:
        return self._key.public_key()

    def issue(
        self,
        principal_id: str = PRINCIPAL,
        *,
        audience: str = AUDIENCE,
        tenant_id: str = TENANT,
        expires_in: float = LIFETIME,
        **changes: Any,
    ) -> str:
        """Sign a token; ``changes`` replace claims, None omits one.

        Application and principal share one id, as no directory connects the two.
        """
        now = int(time.time())
        claims = {
            "iss": f"{self.PREFIX}{tenant_id}/",
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": int(now + expires_in),
            "tid": tenant_id,
            "oid": principal_id,
            "appid": principal_id,
            "ver": "1.0",
        } | changes
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(present, self._key, ALGORITHM, headers={"kid": self._key_id})

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        key = RSAAlgorithm.to_jwk(self.public_key, as_dict=True)
        return {"keys": [key | {"kid": self._key_id, "use": "sig", "alg": ALGORITHM}]}

    @property
    def _key(self) -> RSAPrivateKey:
        # Since Python 3.12 a cached property alone may be computed twice.
        with self._lock:
            return self._generated_key

    @cached_property
    def _generated_key(self) -> RSAPrivateKey:
        """Generated at its first use: most emulators serve one test that needs no token."""
        return generate_private_key(public_exponent=65537, key_size=2048)


class BearerTokens:
    """Validates access tokens.

    Parameters
    ----------
    issuer
        The emulator's own.
    trusted
        Prefixes of other issuers. Their signatures are not verified, because their keys are on
        the internet: tokens of the real Entra ID are accepted by an emulator that protects
        nothing.
    """

    def __init__(self, issuer: Issuer, trusted: Sequence[str] = ()) -> None:
        self._issuer = issuer
        self._trusted = tuple(trusted)

    def principal_of(self, token: str) -> str:
        """Return the object id of the token's principal; HubError for an invalid token."""
        try:
            return str(self._claims(token)["oid"])
        except jwt.InvalidTokenError:
            # The form of the one published refusal (azure-iot-sdk-java#1799).
            raise HubError(
                ErrorCode.IotHubUnauthorizedAccess, "Unauthorized access", Shape.E2
            ) from None

    def _claims(self, token: str) -> dict[str, Any]:
        unverified = jwt.decode(token, options={"verify_signature": False})
        is_foreign = str(unverified.get("iss")).startswith(self._trusted)
        return jwt.decode(
            token,
            key=self._issuer.public_key,
            algorithms=[ALGORITHM],
            audience=_AUDIENCES,
            issuer=f"{Issuer.PREFIX}{unverified.get('tid')}/",
            leeway=CLOCK_SKEW,
            options={
                "require": _REQUIRED_CLAIMS,
                "verify_signature": not is_foreign,
                "verify_iss": not is_foreign,
                # PyJWT skips these when it does not verify the signature.
                "verify_aud": True,
                "verify_exp": True,
                "verify_nbf": True,
                "verify_iat": True,
            },
        )
