"""An issuer of access tokens like Entra ID's, made up anew for each emulator."""

from __future__ import annotations

import threading
import time
import uuid
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from jwt.algorithms import RSAAlgorithm

#: The resource that tokens for a hub are for.
AUDIENCE = "https://iothubs.azure.net"
ALGORITHM = "RS256"
#: Who asks when nobody in particular does.
TENANT = "11111111-2222-3333-4444-555555555555"
PRINCIPAL = "66666666-7777-8888-9999-000000000000"
#: In seconds, as Entra ID has it without a token lifetime policy.
LIFETIME = 3600


class Issuer:
    """Signs tokens in the form of version 1.0, which hubs get from Entra ID.

    As with Entra ID their issuer is not the one of the discovery document but a service of its
    own (there ``https://sts.windows.net/``) with the tenant as path. So it does not depend on the
    address by which the emulator is reached.
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
        """Sign a token; ``changes`` are claims that differ, None leaves one out.

        Application and principal have one id, as there is no directory to connect two.
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
            return self._made_key

    @cached_property
    def _made_key(self) -> RSAPrivateKey:
        """Made when it is first used: most emulators live for one test that needs no token."""
        return generate_private_key(public_exponent=65537, key_size=2048)
