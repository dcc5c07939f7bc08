from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qs, unquote

from shared.hub.auth import TOKEN_LIFETIME, TOKEN_MARGIN, SharedAccessKeyPolicy

KEY = base64.b64encode(b"made-up key of a test").decode()


def test_a_token_is_signed_as_hubs_expect() -> None:
    policy = SharedAccessKeyPolicy("Fleet.azure-devices.net", "registryReadWrite", KEY, lambda: 1e9)
    kind, _, query = policy.token().partition(" ")
    parts = {name: values[0] for name, values in parse_qs(query).items()}
    assert kind == "SharedAccessSignature"
    assert parts["sr"] == "fleet.azure-devices.net"
    assert parts["skn"] == "registryReadWrite"
    assert int(parts["se"]) == 1e9 + TOKEN_LIFETIME
    message = f"fleet.azure-devices.net\n{parts['se']}".encode()
    expected = hmac.digest(base64.b64decode(KEY), message, hashlib.sha256)
    assert base64.b64decode(parts["sig"]) == expected
    assert " " not in unquote(query)


def test_a_token_is_renewed_before_it_expires() -> None:
    now = 0.0
    policy = SharedAccessKeyPolicy("h", "p", KEY, lambda: now)
    first = policy.token()
    now = TOKEN_LIFETIME - TOKEN_MARGIN - 1
    assert policy.token() == first
    now = TOKEN_LIFETIME - TOKEN_MARGIN + 1
    assert policy.token() != first
