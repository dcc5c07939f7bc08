"""What goes wrong with the storage account: one line each, no secret, and the exit status."""

from __future__ import annotations

import base64
import re
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from cli.connect import _why
from cli.errors import explain
from tests.app import App
from tests.cli.conftest import Shell


@pytest.fixture
def key(app: App) -> str:
    [key] = re.findall(r"AccountKey=([^;]+)", app.settings["ImporterStorage"])
    return str(key)


@pytest.mark.parametrize("command", [["list"], ["show", "0" * 24], ["watch"]])
def test_it_cannot_be_reached(app: App, shell: Shell, key: str, command: list[str]) -> None:
    uri = "http://127.0.0.1:1/a"
    app.configure(
        ImporterStorage=f"AccountName=a;AccountKey={key};BlobEndpoint={uri};TableEndpoint={uri}"
    )
    done = shell(*command)
    assert (done.status, done.out) == (4, "")
    assert done.err == (
        "error: The storage account cannot be reached: 127.0.0.1:1 (connection refused). "
        "Check ImporterStorage and the network.\n"
    )


def test_a_key_that_is_not_the_accounts(app: App, shell: Shell, key: str) -> None:
    other = base64.b64encode(b"another key").decode()
    app.configure(ImporterStorage=app.settings["ImporterStorage"].replace(key, other))
    done = shell("list")
    assert done.status == 4
    assert "The storage account refuses: 127.0.0.1:" in done.err
    assert other not in done.err
    assert "sig" not in done.err.lower()
    app.configure(ImporterStorage=app.settings["ImporterStorage"].replace(other, "abc"))
    done = shell("list")
    assert done.status == 2
    assert "ImporterStorage has an AccountKey that is not base64" in done.err


def test_nobody_is_signed_in(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        def get_token(self, *_: str, **__: Any) -> None:
            raise CredentialUnavailableError("many lines\nof all that was tried")

    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Nobody)
    services = {
        f"ImporterStorage__{name}ServiceUri": f"https://fleet.{name}.core.windows.net"
        for name in ("blob", "queue", "table")
    }
    app.configure(["ImporterStorage"], **services)
    done = shell("list")
    assert done.status == 4
    assert "run `az login`" in done.err
    assert "Storage Table Data Contributor" in done.err
    assert "many lines" not in done.err


def refusal(status: int, code: str, service: str = "table") -> HttpResponseError:
    error = HttpResponseError("Signature=c2VjcmV0\nand more")
    error.status_code, error.error_code = status, code  # type: ignore[attr-defined]
    url = f"https://fleet.{service}.core.windows.net/x?sig=c2VjcmV0"
    error.response = SimpleNamespace(request=SimpleNamespace(url=url))
    return error


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (
            refusal(403, "AuthorizationPermissionMismatch"),
            4,
            "needs the role Storage Table Data Contributor on it; new roles",
        ),
        (
            refusal(403, "AuthorizationPermissionMismatch", "blob"),
            4,
            "fleet.blob.core.windows.net, AuthorizationPermissionMismatch. Your account needs the "
            "role Storage Blob Data Contributor",
        ),
        (refusal(403, "AuthenticationFailed"), 4, "the clock of this machine"),
        (refusal(403, "KeyBasedAuthenticationNotPermitted"), 4, "ImporterStorage__tableServiceUri"),
        (refusal(403, "AuthorizationFailure", "blob"), 4, "firewall has to admit this machine"),
        (refusal(503, "ServerBusy"), 4, "too busy or not well: 503 ServerBusy. Try again."),
        (refusal(409, "Odd"), 4, "refuses: fleet.table.core.windows.net, 409 Odd."),
        (ServiceResponseError("broke"), 4, "broke off (ServiceResponseError). Try again."),
        (ClientAuthenticationError("no"), 4, "run `az login`"),
        (FileNotFoundError(2, "No such file", "x"), 2, "x: No such file"),
    ],
)
def test_texts(error: Exception, status: int, told: str) -> None:
    explained = explain(error)
    assert explained is not None
    assert explained[0] == status
    assert told in explained[1]
    assert "c2VjcmV0" not in explained[1]


def test_what_nobody_foresaw_is_raised(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain(ZeroDivisionError()) is None

    def run(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("cli.listing.run", run)
    with pytest.raises(ZeroDivisionError):
        shell("list")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<x>: Failed: [Errno -2] Name or service not known')", "name or service not known"),
        ("... timed out. (connect timeout=10)", "no answer in time"),
        ("SSLError(certificate verify failed: self-signed certificate (_ssl.c:1))", "certificate"),
        ("other", "no connection"),
    ],
)
def test_why_there_is_no_connection(text: str, why: str) -> None:
    assert why in _why(ServiceRequestError(text))
