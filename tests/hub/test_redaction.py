"""What a hub says is told without the secrets that it repeats."""

from __future__ import annotations

import pytest

from shared.hub.redaction import redact


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "no access to https://a/c?sv=1&sig=c2ln%3D&se=2",
            "no access to https://a/c?sv=1&sig=REDACTED&se=2",
        ),
        (
            "SharedAccessSignature sr=h&sig=c2ln&se=1",
            "SharedAccessSignature sr=h&sig=REDACTED&se=1",
        ),
        ("HostName=h;SharedAccessKey=c2ln=;X=1", "HostName=h;SharedAccessKey=REDACTED;X=1"),
        ("AccountName=a;accountkey=c2ln==", "AccountName=a;accountkey=REDACTED"),
        (
            "?url=https%3A%2F%2Fa%2Fc%3Fsv%3D1%26sig%3Dc2ln%253D",
            "?url=https%3A%2F%2Fa%2Fc%3Fsv%3D1%26sig%3DREDACTED",
        ),
        ('{"SharedAccessKey": "c2ln", "x": 1}', '{"SharedAccessKey": "REDACTED", "x": 1}'),
        ("a design=good assignment", "a design=good assignment"),
    ],
)
def test_redaction(text: str, told: str) -> None:
    assert redact(text) == told
