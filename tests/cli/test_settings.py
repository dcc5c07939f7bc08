"""Where the commands take their settings from, and which."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cli.connect import read_settings
from cli.errors import UsageError
from tests.app import App
from tests.cli.conftest import Shell


def write(path: Path, values: dict[str, Any], **members: object) -> Path:
    path.write_text(json.dumps({"IsEncrypted": False, "Values": values, **members}))
    return path


@pytest.fixture
def file(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The app's settings in local.settings.json, and none of them in the environment."""
    for name in app.settings:
        monkeypatch.delenv(name)
    return write(tmp_path / "local.settings.json", app.settings)


def test_a_file_in_the_current_folder(shell: Shell, file: Path) -> None:
    assert shell("list").status == 0
    assert "UPLOAD_CONTAINER" not in os.environ


def test_a_file_that_is_named(shell: Shell, file: Path) -> None:
    file.rename("other.json")
    assert shell("list").status == 2
    assert shell("list", "--settings", "other.json").status == 0


def test_the_environment_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLOAD_CONTAINER", "from-environment")
    monkeypatch.setenv("IMPORTS_TABLE", "")
    write(file, {**json.loads(file.read_text())["Values"], "IMPORTS_TABLE": "Table", "X": None})
    settings = read_settings(None)
    assert settings.upload_container == "from-environment"
    assert settings.imports_table == "Table"
    assert os.environ["IMPORTS_TABLE"] == ""


def test_the_storage_connection_is_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("blob", "queue", "table"):
        uri = f"https://fleet.{service}.core.windows.net"
        monkeypatch.setenv(f"ImporterStorage__{service}ServiceUri", uri)
    storage = read_settings(None).storage
    assert storage.connection_string is None
    assert storage.blob_service_uri == "https://fleet.blob.core.windows.net"


@pytest.mark.parametrize("in_azure", [False, True])
def test_the_identity_is_the_persons_own(
    file: Path, monkeypatch: pytest.MonkeyPatch, in_azure: bool
) -> None:
    values = json.loads(file.read_text())["Values"]
    del values["ImporterStorage"]
    for service in ("blob", "queue", "table"):
        values[f"ImporterStorage__{service}ServiceUri"] = f"https://f.{service}.core.windows.net"
    values |= {"ImporterStorage__credential": "managedidentity", "ImporterStorage__clientId": "x"}
    write(file, values)
    if in_azure:
        monkeypatch.setenv("WEBSITE_INSTANCE_ID", "1")
    storage = read_settings(None).storage
    assert storage.client_id == ("x" if in_azure else None)


def test_what_is_wrong_is_told_by_name(shell: Shell, file: Path) -> None:
    values = json.loads(file.read_text())["Values"]
    reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)"
    write(file, {**values, "IOTHUB": reference, "MAX_DEVICES": "many"})
    done = shell("list")
    assert (done.status, done.out) == (2, "")
    assert "IOTHUB is missing. Expected: " in done.err
    assert "MAX_DEVICES is not right" in done.err
    assert "from local.settings.json, which was read; --settings names another file" in done.err
    assert "Its IOTHUB was left out: only the app can follow a reference" in done.err
    file.unlink()
    done = shell("list")
    assert "ImporterStorage is missing" in done.err
    assert "which does not exist" in done.err
    assert "func azure functionapp fetch-app-settings" in done.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "local.settings.json is not JSON."),
        ("[]", 'local.settings.json has no object "Values".'),
        ('{"IsEncrypted": true, "Values": {"A": "x"}}', "run `func settings decrypt`"),
    ],
)
def test_files_of_another_form(shell: Shell, file: Path, content: str, told: str) -> None:
    file.write_text(content)
    done = shell("list")
    assert done.status == 2
    assert told in done.err


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no settings file .*missing\.json"):
        read_settings(str(tmp_path / "missing.json"))
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_settings(str(tmp_path))


def test_an_end_at_the_shell_leaves_its_event_to_the_app(
    app: App, shell: Shell, tmp_path: Path
) -> None:
    """Also where only the app can read the address that events go to."""
    app.hub.occupy_slot()
    app.upload("a.ndjson", {"id": "pump-1", "status": "enabled"})
    app.importer.on_upload(app.container, "a.ndjson")
    record = app.record("a.ndjson")
    reference = {"EVENTS_URL": "@Microsoft.KeyVault(SecretUri=https://v)"}
    write(tmp_path / "local.settings.json", reference)
    assert shell("cancel", record.id).status == 0
    [unsent] = app.importer.services.outbox.pending(record.hub)
    assert unsent.record_key == record.row_key
