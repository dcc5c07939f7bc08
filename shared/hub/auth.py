"""Authentication to a hub: by the key of a shared access policy, or by an Entra ID token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from azure.core.credentials import TokenCredential
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, SansIOHTTPPolicy

from shared.connections import HubConnection

__all__ = ["SharedAccessKeyPolicy", "authentication_policy"]

#: Entra ID scope of every hub's data plane (learn: "Control access to IoT Hub using Entra ID").
SCOPE = "https://iothubs.azure.net/.default"

#: Validity of a token, and the time before its expiry at which a new one is created, in seconds.
#: Hubs allow five minutes of clock skew.
TOKEN_LIFETIME = 3600
TOKEN_MARGIN = 300


class SharedAccessKeyPolicy(SansIOHTTPPolicy[Any, Any]):
    """Signs each request with a hub SAS token (learn: "Control access to IoT Hub with SAS")."""

    def __init__(
        self, host_name: str, policy: str, key: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._resource = quote(host_name.lower(), safe="")
        self._policy = quote(policy, safe="")
        self._key = base64.b64decode(key)
        self._clock = clock
        self._token, self._expires = "", 0.0

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = self.token()

    def token(self) -> str:
        now = self._clock()
        if now > self._expires - TOKEN_MARGIN:
            expires = int(now) + TOKEN_LIFETIME
            mac = hmac.digest(self._key, f"{self._resource}\n{expires}".encode(), hashlib.sha256)
            signature = quote(base64.b64encode(mac), safe="")
            self._token = (
                f"SharedAccessSignature sr={self._resource}&sig={signature}"
                f"&se={expires}&skn={self._policy}"
            )
            self._expires = expires
        return self._token


def authentication_policy(
    hub: HubConnection, credential: Callable[[], TokenCredential]
) -> SharedAccessKeyPolicy | BearerTokenCredentialPolicy[Any, Any]:
    """Return the pipeline policy for this hub. Only Entra ID uses the credential."""
    if hub.policy is not None and hub.key is not None:
        return SharedAccessKeyPolicy(hub.host_name, hub.policy, hub.key.get_secret_value())
    return BearerTokenCredentialPolicy(credential(), SCOPE)
