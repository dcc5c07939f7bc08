"""Who uses the command line: the identity of the token that storage accepts."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.identity import CredentialUnavailableError

from cli.caller import caller
from shared.imports.model.safeguards import Actor
from shared.settings import Settings
from tests.app import App
from tests.cli.conftest import Shell, queued

SIGNATURE = "c2lnbmF0dXJlLW9mLWEtbWFkZS11cC10b2tlbg"
OID = "11111111-2222-3333-4444-555555555555"
UNKNOWN = Actor("unknown", "", "command line")


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def token(claims: Any) -> str:
    return f"{encoded(json.dumps({'alg': 'RS256'}))}.{encoded(json.dumps(claims))}.{SIGNATURE}"


class Credential:
    def __init__(self, text: str) -> None:
        self._text = text

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == ("https://storage.azure.com/.default",)
        if not self._text:
            raise CredentialUnavailableError("az login is needed")
        return AccessToken(self._text, int(time.time()) + 3600)


def use_token(app: App, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Use storage, which is not called, by Entra ID."""
    places = {
        f"ImporterStorage__{service}ServiceUri": f"https://a.{service}.core.windows.net"
        for service in ("blob", "queue", "table")
    }
    app.configure(without=["ImporterStorage"], **places)
    monkeypatch.setattr(Settings, "credential", lambda *_: Credential(text))


@pytest.mark.parametrize(
    ("claims", "who"),
    [
        ({"oid": OID, "upn": "ada@example.com"}, ("ada@example.com", OID)),
        ({"oid": OID, "preferred_username": "ada", "appid": "x"}, ("ada", OID)),
        ({"oid": OID, "unique_name": "ada"}, ("ada", OID)),
        # An application.
        ({"oid": OID, "app_displayname": "pipeline", "appid": "x"}, ("pipeline", OID)),
        ({"oid": OID, "appid": "0815"}, ("0815", OID)),
        ({"oid": OID}, (OID, OID)),
        # A subject is another one for each application.
        ({"sub": "ada-1"}, ("unknown", "")),
        # Without an id, a name is only a name.
        ({"upn": "ada@example.com"}, ("ada@example.com", "")),
        ({"oid": OID, "upn": "a\r\nb\x1b[2J"}, ("a b\ufffd[2J", OID)),
        ({"oid": OID, "upn": "\ud800"}, ("\ufffd", OID)),
        ({"oid": OID, "upn": "x" * 9999}, ("x" * 255 + "…", OID)),
        ({"oid": 1, "upn": ["a"]}, ("['a']", "1")),
    ],
)
def test_claims(
    app: App, monkeypatch: pytest.MonkeyPatch, claims: Any, who: tuple[str, str]
) -> None:
    use_token(app, monkeypatch, token(claims))
    assert caller(app.importer) == Actor(*who, "command line")


GARBAGE = {
    "no token": "",
    "no parts": "garbage",
    "too many parts": f"{token({})}.more",
    "no base64": "a.\u00e4.c",
    "cut base64": "a.b.c",
    "no UTF-8": f"a.{base64.urlsafe_b64encode(bytes([255, 254])).decode()}.c",
    "no JSON": f"a.{encoded('{')}.c",
    "no object": token(["oid"]),
    "nothing": "a..c",
    "deep JSON": f"a.{encoded('[' * 100_000)}.c",
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_garbage_names_nobody(app: App, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    use_token(app, monkeypatch, text)
    assert caller(app.importer) == UNKNOWN


def test_an_account_key_names_nobody(app: App) -> None:
    assert caller(app.importer) == Actor("account key", "", "command line")


def test_commands_keep_who(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no command prints an id or the token."""
    monkeypatch.setattr(Settings, "credential", lambda *_: Credential(token({"oid": OID})))
    [import_id] = queued(app, "a.ndjson")
    named = Actor("ada@example.com", OID, "command line")
    monkeypatch.setattr("cli.cancel_retry.caller", lambda _: named)
    outputs = [shell("cancel", import_id), shell("retry", import_id), shell("show", import_id)]
    outputs.append(shell("show", import_id, "--format", "json"))
    [retried] = [record for record in app.records() if record.retry_of]
    assert [(act.name, act.who, act.id) for act in app.records()[-1].acts] == [
        ("cancel", "ada@example.com", OID)
    ]
    assert [(act.name, act.who, act.via) for act in retried.acts] == [
        ("retry", "ada@example.com", "command line")
    ]
    assert "by ada@example.com (command line)" in outputs[2].out
    text = "".join(done.out + done.err for done in outputs)
    assert OID not in text
    assert SIGNATURE not in text
