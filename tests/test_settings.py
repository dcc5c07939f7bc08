"""Everything that is wrong with the environment is told at once, by name, without its values."""

from __future__ import annotations

import re

import pytest

from docs.settings import PAGE, described, page
from local.stack import ROOT
from shared.connections import HubConnection
from shared.errors import SettingsError
from shared.settings import Settings, load_settings

GOOD = {
    "ImporterStorage": "UseDevelopmentStorage=true",
    "IOTHUB": "fleet.azure-devices.net",
    "UPLOAD_CONTAINER": "device-uploads",
    "POLL_SCHEDULE": "*/30 * * * * *",
}
KEY = "bWFkZS11cC1rZXktZm9yLXRlc3Rz"


def load(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> Settings:
    for name in ("ImporterStorage", "WEBSITE_INSTANCE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**GOOD, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return load_settings()


def problems(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **changes)
    return caught.value.problems


def test_the_sample_values_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    assert settings.upload_trigger_source == "EventGrid"
    assert settings.hub_api_version == "2021-04-12"
    assert settings.hubs == {"fleet": HubConnection("fleet", "fleet.azure-devices.net")}
    assert settings.storage.connection_string is not None
    assert "devstoreaccount1" in settings.storage.connection_string.get_secret_value()


def test_all_problems_at_once_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    told = problems(
        monkeypatch,
        ImporterStorage=None,
        IOTHUB=None,
        UPLOAD_CONTAINER="Uploads!",
        POLL_SCHEDULE="* * * * *",
        LEASE_SECONDS="soon",
        UPLOAD_TRIGGER_SOURCE="Polling",
    )
    names = [problem.split()[0] for problem in told]
    assert names == [
        "ImporterStorage",
        "IOTHUB",
        "UPLOAD_CONTAINER",
        "UPLOAD_TRIGGER_SOURCE",
        "POLL_SCHEDULE",
        "LEASE_SECONDS",
    ]
    assert all("Put there: " in problem for problem in told)


def test_identity_based_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        ImporterStorage=None,
        ImporterStorage__blobServiceUri="https://fleet.blob.core.windows.net",
        ImporterStorage__queueServiceUri="https://fleet.queue.core.windows.net",
        ImporterStorage__tableServiceUri="https://fleet.table.core.windows.net",
        ImporterStorage__credential="managedidentity",
        ImporterStorage__clientId="11111111-2222-3333-4444-555555555555",
    )
    assert settings.storage.blob_service_uri == "https://fleet.blob.core.windows.net"
    assert settings.storage.client_id == "11111111-2222-3333-4444-555555555555"


def test_incomplete_identity_based_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    [told] = problems(
        monkeypatch,
        ImporterStorage=None,
        ImporterStorage__blobServiceUri="https://fleet.blob.core.windows.net",
        ImporterStorage__credential="password",
    )
    assert "ImporterStorage__queueServiceUri, ImporterStorage__tableServiceUri" in told
    assert "ImporterStorage__credential other than managedidentity" in told


@pytest.mark.parametrize("text", ["AccountName=a;AccountKey=b;junk", "AccountName=a", "junk"])
def test_a_broken_connection_string(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    [told] = problems(monkeypatch, ImporterStorage=text)
    assert told.startswith("ImporterStorage is not a connection string with AccountName and")


@pytest.mark.parametrize("url", ["http://hooks.example/x", "hooks.example", "https://"])
def test_events_go_by_https(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    [told] = problems(monkeypatch, EVENTS_URL=url)
    assert told.startswith("EVENTS_URL is not an https address")
    assert "hooks.example" not in told


def test_addresses_and_keys_of_events_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, EVENTS_URL="https://hooks.example/made-up", EVENTS_KEY="made-up")
    assert "made-up" not in repr(settings)


def test_the_exact_storage_setting_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, ImporterStorage__blobServiceUri="https://elsewhere.example")
    assert settings.storage.connection_string is not None
    assert settings.storage.blob_service_uri is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("HostName=h.azure-devices.net;SharedAccessKey=" + KEY, "without SharedAccessKeyName"),
        (
            "HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey=not%base64",
            "SharedAccessKey is not base64",
        ),
        ("https://h.azure-devices.net", "neither a connection string nor a host name"),
        ("{", "begins like a JSON object"),
        ("{}", "has none"),
        ('{"a": 1}', "not all texts"),
        ('{"a/b": "h"}', "names a hub 'a/b'"),
        ('{"a": "HostName=h"}', "has a hub 'a' that is a connection string without"),
    ],
)
def test_a_hub_that_cannot_be_understood(
    monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    [problem] = problems(monkeypatch, IOTHUB=value)
    assert problem.startswith("IOTHUB ")
    assert told in problem
    assert KEY not in problem
    assert "not%base64" not in problem


def test_several_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = (
        f"HostName=B.azure-devices.net;SharedAccessKeyName=registryReadWrite;SharedAccessKey={KEY}"
    )
    hubs = load(
        monkeypatch, IOTHUB=f'{{"east": "a.azure-devices.net", "west": "{connection}"}}'
    ).hubs
    assert [hub.endpoint for hub in hubs.values()] == [
        "https://a.azure-devices.net",
        "https://b.azure-devices.net",
    ]
    assert hubs["east"].key is None
    assert hubs["west"].key is not None
    assert hubs["west"].key.get_secret_value() == KEY


def test_the_development_emulator_speaks_plain_http() -> None:
    hub = HubConnection.parse(
        f"HostName=localhost:8081;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY};"
        "UseDevelopmentEmulator=true"
    )
    assert hub.endpoint == "http://localhost:8081"


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = f"HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    text = repr(load(monkeypatch, IOTHUB=connection))
    assert KEY not in text
    assert "Eby8vdM02" not in text


def test_the_readme_lists_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme[readme.index("### Settings") : readme.index("### Roles")]
    rows = [row.split("|") for row in section.splitlines() if row.startswith("| ")]
    # The first table names them in its first column, the second by topic in its second.
    cells = [first if "`" in first else second for _, first, second, *_ in rows]
    assert sorted(re.findall(r"`(\w+)`", "".join(cells))) == sorted(described())


def test_the_page_of_settings_is_that_of_the_class() -> None:
    assert PAGE.read_text() == page(), "run make docs"
