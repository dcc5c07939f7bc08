"""Settings of the commands, from the environment and files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cli.connection import read_settings
from cli.errors import UsageError
from tests.app import App
from tests.cli.conftest import Shell


def write(path: Path, values: dict[str, Any], **members: object) -> Path:
    path.write_text(json.dumps({"IsEncrypted": False, "Values": values, **members}))
    return path


@pytest.fixture
def file(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Settings of the app in local.settings.json, removed from the environment."""
    for name in app.settings:
        monkeypatch.delenv(name)
    return write(tmp_path / "local.settings.json", app.settings)


def test_a_file_in_the_current_folder(shell: Shell, file: Path) -> None:
    assert shell("list").status == 0
    assert "UPLOAD_CONTAINER" not in os.environ


def test_a_specified_file(shell: Shell, file: Path) -> None:
    file.rename("other.json")
    assert shell("list").status == 2
    assert shell("list", "--settings", "other.json").status == 0


def test_the_environment_has_precedence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLOAD_CONTAINER", "from-environment")
    monkeypatch.setenv("IMPORTS_TABLE", "")
    write(file, {**json.loads(file.read_text())["Values"], "IMPORTS_TABLE": "Table", "X": None})
    settings = read_settings(None)
    assert settings.uploads.container == "from-environment"
    assert settings.storage.imports_table == "Table"
    assert os.environ["IMPORTS_TABLE"] == ""


def test_the_storage_connection_counts_as_one_setting(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in ("blob", "queue", "table"):
        uri = f"https://fleet.{service}.core.windows.net"
        monkeypatch.setenv(f"ImporterStorage__{service}ServiceUri", uri)
    storage = read_settings(None).storage.connection
    assert storage.connection_string is None
    assert storage.blob_service_uri == "https://fleet.blob.core.windows.net"


@pytest.mark.parametrize("in_azure", [False, True])
def test_the_operators_own_identity_is_used(
    file: Path, monkeypatch: pytest.MonkeyPatch, in_azure: bool
) -> None:
    values = json.loads(file.read_text())["Values"]
    del values["ImporterStorage"]
    for service in ("blob", "queue", "table"):
        values[f"ImporterStorage__{service}ServiceUri"] = f"https://f.{service}.core.windows.net"
    values |= {"ImporterStorage__credential": "managedidentity", "ImporterStorage__clientId": "x"}
    values["IOTHUB_CLIENT_ID"] = "y"
    write(file, values)
    if in_azure:
        monkeypatch.setenv("WEBSITE_INSTANCE_ID", "1")
    settings = read_settings(None)
    assert settings.storage.connection.client_id == ("x" if in_azure else None)
    assert settings.hub.client_id == ("y" if in_azure else None)


def test_errors_name_the_settings(shell: Shell, file: Path) -> None:
    values = json.loads(file.read_text())["Values"]
    reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)"
    write(file, {**values, "IOTHUB": reference, "MAX_DEVICES": "many"})
    done = shell("list")
    assert (done.status, done.out) == (2, "")
    assert "IOTHUB is required" in done.err
    assert "MAX_DEVICES " in done.err
    assert "local.settings.json" in done.err
    assert "IOTHUB was ignored" in done.err
    file.unlink()
    done = shell("list")
    assert "ImporterStorage is required" in done.err
    assert "local.settings.json (which does not exist)" in done.err
    assert "func azure functionapp fetch-app-settings" in done.err


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("{", "is not JSON"),
        ("[]", '"Values"'),
        ('{"IsEncrypted": true, "Values": {"A": "x"}}', "func settings decrypt"),
    ],
)
def test_invalid_files(shell: Shell, file: Path, content: str, fact: str) -> None:
    file.write_text(content)
    done = shell("list")
    assert done.status == 2
    assert "local.settings.json" in done.err
    assert fact in done.err


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.json"):
        read_settings(str(tmp_path / "missing.json"))
    with pytest.raises(UsageError, match="Is a directory"):
        read_settings(str(tmp_path))


def test_the_app_sends_the_event_of_a_cancelled_import(
    app: App, shell: Shell, tmp_path: Path
) -> None:
    """Even if only the app can read EVENTS_URL."""
    app.hub.occupy_slot()
    app.upload("a.ndjson", {"id": "pump-1", "status": "enabled"})
    app.importer.on_upload(app.container, "a.ndjson")
    record = app.record("a.ndjson")
    reference = {"EVENTS_URL": "@Microsoft.KeyVault(SecretUri=https://v)"}
    write(tmp_path / "local.settings.json", reference)
    assert shell("cancel", record.id).status == 0
    [unsent] = app.importer.services.outbox.pending(record.hub)
    assert unsent.record_key == record.row_key
