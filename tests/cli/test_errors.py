"""Errors of the storage account: one line each, no secret, and the exit status."""

from __future__ import annotations

import base64
import re
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from cli.storage_errors import command_error
from tests.app import App
from tests.cli.conftest import Shell


@pytest.fixture
def key(app: App) -> str:
    [key] = re.findall(r"AccountKey=([^;]+)", app.settings["ImporterStorage"])
    return str(key)


@pytest.mark.parametrize("command", [["list"], ["show", "0" * 24], ["watch"]])
def test_an_unreachable_account(app: App, shell: Shell, key: str, command: list[str]) -> None:
    uri = "http://127.0.0.1:1/a"
    app.configure(
        ImporterStorage=f"AccountName=a;AccountKey={key};BlobEndpoint={uri};TableEndpoint={uri}"
    )
    done = shell(*command)
    assert (done.status, done.out) == (4, "")
    assert len(done.err.splitlines()) == 1
    assert "127.0.0.1:1 (connection refused)" in done.err
    assert "ImporterStorage" in done.err


def test_a_wrong_account_key(app: App, shell: Shell, key: str) -> None:
    other = base64.b64encode(b"another key").decode()
    app.configure(ImporterStorage=app.settings["ImporterStorage"].replace(key, other))
    done = shell("list")
    assert done.status == 4
    assert "127.0.0.1:" in done.err
    assert "AuthorizationFailure" in done.err
    assert other not in done.err
    assert "sig" not in done.err.lower()
    app.configure(ImporterStorage=app.settings["ImporterStorage"].replace(other, "abc"))
    done = shell("list")
    assert done.status == 2
    assert "ImporterStorage has an AccountKey that is not base64" in done.err


def test_not_signed_in(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "`az login`" in done.err
    assert "Storage Table Data Contributor" in done.err
    assert "many lines" not in done.err


def refusal(status: int, code: str, service: str = "table") -> HttpResponseError:
    error = HttpResponseError("Signature=c2VjcmV0\nand more")
    error.status_code, error.error_code = status, code  # type: ignore[attr-defined]
    url = f"https://fleet.{service}.core.windows.net/x?sig=c2VjcmV0"
    error.response = SimpleNamespace(request=SimpleNamespace(url=url))
    return error


@pytest.mark.parametrize(
    ("error", "status", "facts"),
    [
        (
            refusal(403, "AuthorizationPermissionMismatch"),
            4,
            ["the role Storage Table Data Contributor"],
        ),
        (
            refusal(403, "AuthorizationPermissionMismatch", "blob"),
            4,
            ["fleet.blob.core.windows.net", "the role Storage Blob Data Contributor"],
        ),
        (refusal(403, "AuthenticationFailed"), 4, ["clock", "ImporterStorage"]),
        (
            refusal(403, "KeyBasedAuthenticationNotPermitted"),
            4,
            ["ImporterStorage__tableServiceUri", "az login"],
        ),
        (refusal(403, "AuthorizationFailure", "blob"), 4, ["firewall"]),
        (refusal(503, "ServerBusy"), 4, ["503 ServerBusy"]),
        (refusal(409, "Odd"), 4, ["fleet.table.core.windows.net", "409 Odd"]),
        (ServiceResponseError("broke"), 4, ["storage account failed (no answer)"]),
        (ClientAuthenticationError("no"), 4, ["az login", "Storage Blob Data Contributor"]),
        (FileNotFoundError(2, "No such file", "x"), 2, ["x: No such file"]),
    ],
)
def test_messages(error: Exception, status: int, facts: list[str]) -> None:
    explained = command_error(error)
    assert explained is not None
    assert explained.status == status
    assert all(fact in str(explained) for fact in facts)
    assert "c2VjcmV0" not in str(explained)


def test_unexpected_errors_are_raised(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command_error(ZeroDivisionError()) is None

    def run(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("cli.list.run", run)
    with pytest.raises(ZeroDivisionError):
        shell("list")
