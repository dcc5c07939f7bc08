"""All invalid settings are reported together, by name and without their values."""

from __future__ import annotations

import re

import pytest

from docgen.settings import PAGE, page
from shared.connections import HUB_CONNECT_TIMEOUT, HUB_DEADLINE, HUB_READ_TIMEOUT, HubConnection
from shared.errors import SettingsError
from shared.settings import MIN_LEASE_SECONDS, Settings, load_settings, setting_groups

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
    assert settings.uploads.trigger_source == "EventGrid"
    assert settings.hub.api_version == "2021-04-12"
    assert settings.hub.routes.by_name == {"fleet": HubConnection("fleet.azure-devices.net")}
    assert settings.storage.connection.connection_string is not None
    assert "devstoreaccount1" in settings.storage.connection.connection_string.get_secret_value()


def test_all_problems_at_once_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = problems(
        monkeypatch,
        ImporterStorage=None,
        IOTHUB=None,
        UPLOAD_CONTAINER="Uploads!",
        POLL_SCHEDULE="* * * *",
        LEASE_SECONDS="soon",
        UPLOAD_TRIGGER_SOURCE="Polling",
    )
    names = [problem.split()[0] for problem in messages]
    assert names == [
        "ImporterStorage",
        "IOTHUB",
        "UPLOAD_CONTAINER",
        "UPLOAD_TRIGGER_SOURCE",
        "POLL_SCHEDULE",
        "LEASE_SECONDS",
    ]
    assert all("Expected: " in problem for problem in messages)


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
    assert settings.storage.connection.blob_service_uri == "https://fleet.blob.core.windows.net"
    assert settings.storage.connection.client_id == "11111111-2222-3333-4444-555555555555"


def test_incomplete_identity_based_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    [problem] = problems(
        monkeypatch,
        ImporterStorage=None,
        ImporterStorage__blobServiceUri="https://fleet.blob.core.windows.net",
        ImporterStorage__credential="password",
    )
    assert "ImporterStorage__queueServiceUri, ImporterStorage__tableServiceUri" in problem
    assert "ImporterStorage__credential other than managedidentity" in problem


@pytest.mark.parametrize("text", ["AccountName=a;AccountKey=b;junk", "AccountName=a", "junk"])
def test_a_broken_connection_string(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    [problem] = problems(monkeypatch, ImporterStorage=text)
    assert problem.startswith("ImporterStorage is not a connection string with AccountName and")


def test_a_storage_key_must_be_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    [problem] = problems(monkeypatch, ImporterStorage="AccountName=a;AccountKey=not%base64")
    assert problem.startswith("ImporterStorage has an AccountKey that is not base64")
    assert "not%base64" not in problem


@pytest.mark.parametrize("url", ["http://hooks.example/x", "hooks.example", "https://"])
def test_the_event_url_must_use_https(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    [problem] = problems(monkeypatch, EVENTS_URL=url)
    assert problem.startswith("EVENTS_URL is not an https URL")
    assert "hooks.example" not in problem


def test_addresses_and_keys_of_events_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, EVENTS_URL="https://hooks.example/made-up", EVENTS_KEY="made-up")
    assert "made-up" not in repr(settings)


def test_the_exact_storage_setting_has_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, ImporterStorage__blobServiceUri="https://elsewhere.example")
    assert settings.storage.connection.connection_string is not None
    assert settings.storage.connection.blob_service_uri is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("HostName=h.azure-devices.net;SharedAccessKey=" + KEY, "without SharedAccessKeyName"),
        (
            "HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey=not%base64",
            "SharedAccessKey is not base64",
        ),
        (
            f"HostName=fleet;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}",
            "a host name without a domain; use the hub's host name, such as fleet",
        ),
        ("https://h.azure-devices.net", "neither a connection string nor a host name"),
        ("fleet", "a host name without a domain"),
        ("fleet.device.azure-devices.net", "for devices only"),
        ("fleet.azure-devices-provisioning.net", "names a Device Provisioning Service"),
        ('{"a": "fleet"}', "has a folder 'a' whose hub has a host name without a domain"),
        (
            '{"a": "fleet.azure-devices.net", "b": "Fleet.service.azure-devices.net"}',
            "has two folders, 'a' and 'b', for one hub (fleet)",
        ),
        (
            '{"a": "a.azure-devices.net", "b": "b.example", "a": "c.azure-devices.net"}',
            "has the folder 'a' twice",
        ),
        ('{"a": "a.azure-devices.net", "a": "a.azure-devices.net"}', "has the folder 'a' twice"),
        (
            f"HostName=h.example;SharedAccessKeyName=a;SharedAccessKey={KEY};HostName=i.example",
            "has a part twice",
        ),
        ("{", "begins like a JSON object"),
        ("{}", "is empty"),
        ('{"a": 1}', "values are not all strings"),
        ('{"a/b": "h.example"}', "has a folder 'a/b'"),
        ('{"a": "HostName=h.example"}', "folder 'a' whose hub is a connection string without"),
    ],
)
def test_an_invalid_hub(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    [problem] = problems(monkeypatch, IOTHUB=value)
    assert problem.startswith("IOTHUB ")
    assert message in problem
    assert KEY not in problem
    assert "not%base64" not in problem


def test_several_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = (
        f"HostName=B.azure-devices.net;SharedAccessKeyName=registryReadWrite;SharedAccessKey={KEY}"
    )
    settings = load(
        monkeypatch, IOTHUB=f'{{"east": "a.azure-devices.net", "west": "{connection}"}}'
    )
    hubs, routes = settings.hub.routes.by_name, settings.hub.routes
    assert routes.folders == ["east", "west"]
    assert [routes.hub_of(file) for file in ("east/x", "west/a/b", "north/x", "x")] == [
        "a",
        "b",
        None,
        None,
    ]
    assert (routes.folder_of("a"), routes.folder_of("b")) == ("east", "west")
    assert [hub.endpoint for hub in hubs.values()] == [
        "https://a.azure-devices.net",
        "https://b.azure-devices.net",
    ]
    assert hubs["a"].key is None
    assert hubs["b"].key is not None
    assert hubs["b"].key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("host_name", "name"),
    [
        ("fleet.azure-devices.net", "fleet"),
        ("Fleet.service.azure-devices.net", "fleet"),
        ("fleet.azure-devices.cn", "fleet"),
        ("fleet.azure-devices.net:8443", "fleet"),
        ("127.0.0.1:8081", "127.0.0.1:8081"),
        ("hub.example", "hub.example"),
    ],
)
def test_a_hub_name_does_not_depend_on_the_host_spelling(host_name: str, name: str) -> None:
    assert HubConnection.parse(host_name).name == name


def test_a_single_folder_is_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = load(monkeypatch, IOTHUB='{"east": "fleet.azure-devices.net"}').hub.routes
    assert [routes.hub_of(file) for file in ("east/x", "x", "west/x")] == ["fleet", None, None]
    single = load(monkeypatch, IOTHUB="fleet.azure-devices.net").hub.routes
    assert [single.hub_of(file) for file in ("east/x", "x")] == ["fleet", "fleet"]
    assert single.folders == []


def test_the_development_emulator_uses_http() -> None:
    hub = HubConnection.parse(
        f"HostName=localhost:8081;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY};"
        "UseDevelopmentEmulator=true"
    )
    assert hub.endpoint == "http://localhost:8081"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = (
        f"HostName=h.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    )
    text = repr(load(monkeypatch, IOTHUB=connection))
    assert KEY not in text
    assert "Eby8vdM02" not in text


@pytest.mark.parametrize("name", ["POLL_SCHEDULE", "SWEEP_SCHEDULE"])
@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("0 0 12 * * 7", "has an invalid day of the week field, which allows 0 to 6"),
        ("0 0 12 ? * *", "has an invalid day field, which allows 1 to 31"),
        ("00:00:30", "is not an NCRONTAB expression of six fields, separated by spaces"),
        ("0 0 0 30 2 *", "is a schedule that never runs, because its dates do not exist"),
    ],
)
def test_a_schedule_that_would_disable_its_function(
    monkeypatch: pytest.MonkeyPatch, name: str, schedule: str, message: str
) -> None:
    [problem] = problems(monkeypatch, **{name: schedule})
    assert problem.startswith(f"{name} {message}")
    assert "Expected: an NCRONTAB expression" in problem


def test_schedules_accepted_by_the_host_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, POLL_SCHEDULE="*/5 * * * *", SWEEP_SCHEDULE="0 0 22-2 * * Mon")
    assert settings.schedules.poll.seconds == (0,)
    assert settings.schedules.sweep.hours == tuple(range(2, 23))


#: Conflicting changes, with the names that the message must contain.
CONTRADICTIONS: list[tuple[dict[str, str], set[str]]] = [
    ({"TICK_SECONDS": "30.0"}, {"TICK_SECONDS", "POLL_SCHEDULE"}),
    ({"POLL_SCHEDULE": "0,50 * * * * *"}, {"TICK_SECONDS", "POLL_SCHEDULE"}),
    ({"BACKOFF_SECONDS": "121"}, {"BACKOFF_SECONDS", "MAX_BACKOFF_SECONDS"}),
    ({"MAX_BACKOFF_SECONDS": "9"}, {"BACKOFF_SECONDS", "MAX_BACKOFF_SECONDS"}),
    (
        {"JOB_DEADLINE_HOURS": "25"},
        {"JOB_DEADLINE_HOURS", "SAS_LIFETIME_HOURS", "JOB_STORAGE_AUTHENTICATION"},
    ),
    (
        {"SAS_LIFETIME_HOURS": "23"},
        {"JOB_DEADLINE_HOURS", "SAS_LIFETIME_HOURS", "JOB_STORAGE_AUTHENTICATION"},
    ),
    (
        {"JOB_STORAGE_IDENTITY": "/subscriptions/a"},
        {"JOB_STORAGE_IDENTITY", "JOB_STORAGE_AUTHENTICATION"},
    ),
    ({"EVENTS_KEY": KEY}, {"EVENTS_KEY", "EVENTS_URL"}),
    (
        {"UPLOAD_RETENTION": "move", "UPLOAD_ARCHIVE_CONTAINER": "device-uploads"},
        {"UPLOAD_ARCHIVE_CONTAINER", "UPLOAD_CONTAINER"},
    ),
    (
        {"UPLOAD_RETENTION": "move", "UPLOAD_CONTAINER": "processed-uploads"},
        {"UPLOAD_ARCHIVE_CONTAINER", "UPLOAD_CONTAINER"},
    ),
]


@pytest.mark.parametrize(("changes", "names"), CONTRADICTIONS)
def test_conflicting_settings_are_named_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], names: set[str]
) -> None:
    [problem] = problems(monkeypatch, **changes)
    assert set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", problem)) == names
    assert re.search(r"\. (Lower|Set) [A-Z_]+[ ,]", problem)
    assert problem.endswith(".")
    assert not set(changes.values()) & set(problem.split())


@pytest.mark.parametrize(
    "changes",
    [
        {"TICK_SECONDS": "29.9"},
        {"TICK_SECONDS": "0", "POLL_SCHEDULE": "* * * * * *"},
        {"BACKOFF_SECONDS": "120"},
        {"JOB_DEADLINE_HOURS": "24", "SAS_LIFETIME_HOURS": "24"},
        {"JOB_DEADLINE_HOURS": "720", "JOB_STORAGE_AUTHENTICATION": "identityBased"},
        {
            "JOB_STORAGE_IDENTITY": "/subscriptions/a",
            "JOB_STORAGE_AUTHENTICATION": "identityBased",
        },
        {"UPLOAD_ARCHIVE_CONTAINER": "device-uploads"},
        {"UPLOAD_CONTAINER": "processed-uploads", "UPLOAD_RETENTION": "delete"},
        {"LEASE_SECONDS": "90"},
        {"MAX_FILE_BYTES": "1024"},
        {"RECORD_RETENTION_DAYS": "30", "IMPORT_RETENTION_DAYS": "90"},
    ],
)
def test_valid_combinations_are_allowed(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    load(monkeypatch, **changes)


def test_conflicts_are_reported_with_all_other_problems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = problems(
        monkeypatch,
        IOTHUB="nonsense",
        TICK_SECONDS="30",
        JOB_STORAGE_IDENTITY="/subscriptions/a",
        MAX_DEVICES="many",
        MAX_BACKOFF_SECONDS="1",
        JOB_DEADLINE_HOURS="25",
        EVENTS_KEY=KEY,
    )
    assert [problem.split()[0] for problem in messages] == [
        "IOTHUB",
        "MAX_DEVICES",
        "TICK_SECONDS",
        "JOB_STORAGE_IDENTITY",
        "JOB_DEADLINE_HOURS",
        "BACKOFF_SECONDS",
        "EVENTS_KEY",
    ]


def test_an_invalid_setting_is_not_reported_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = problems(
        monkeypatch,
        EVENTS_URL="hooks.example",
        EVENTS_KEY=KEY,
        SAS_LIFETIME_HOURS="0",
        JOB_DEADLINE_HOURS="25",
        POLL_SCHEDULE="?",
        TICK_SECONDS="240",
        BACKOFF_SECONDS="601",
        MAX_BACKOFF_SECONDS="1",
    )
    assert [problem.split()[0] for problem in messages] == [
        "POLL_SCHEDULE",
        "SAS_LIFETIME_HOURS",
        "BACKOFF_SECONDS",
        "EVENTS_URL",
    ]


@pytest.mark.parametrize(
    "name",
    [str(f.validation_alias) for g in setting_groups().values() for f in g.model_fields.values()],
)
def test_each_wrong_setting_is_listed_once(name: str) -> None:
    messages = []
    try:
        load_settings({**GOOD, name: "no setting accepts this"})
    except SettingsError as error:
        messages = error.problems
    # Some accept every text.
    assert [message.split()[0] for message in messages] in ([], [name])
    # What is expected is said once.
    assert "input should be" not in "".join(messages)


def test_a_lease_outlasts_a_call_to_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    [problem] = problems(monkeypatch, LEASE_SECONDS="89")
    assert problem.startswith("LEASE_SECONDS ")
    assert "Expected: 90 to 3600 seconds. " in problem
    assert HUB_CONNECT_TIMEOUT + HUB_READ_TIMEOUT < HUB_DEADLINE < MIN_LEASE_SECONDS


def test_the_settings_document_matches_the_class() -> None:
    assert PAGE.read_text() == page(), "run make docs"
