"""Names and bindings of the functions, and the host's requirements for them."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator

import pytest

import function_app
import shared.settings
from local.host import FunctionsHost, load_settings
from local.stack import ROOT, SAMPLE_SETTINGS
from tests.app import App


@pytest.fixture(autouse=True)
def settings_of_azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Some of the decorators' arguments come from the environment."""
    monkeypatch.delenv("UPLOAD_TRIGGER_SOURCE", raising=False)
    monkeypatch.setenv("POLL_SCHEDULE", "*/10 * * * * *")
    monkeypatch.setenv("SWEEP_SCHEDULE", "0 */10 * * * *")
    importlib.reload(function_app)
    yield
    monkeypatch.undo()
    importlib.reload(function_app)


def bindings() -> dict[str, list[dict[str, object]]]:
    function_app.app.functions_bindings = {}
    return {
        str(function.get_function_name()): [
            {name: str(getattr(value, "value", value)) for name, value in binding.items()}
            for binding in function.get_bindings_dict()["bindings"]
        ]
        for function in function_app.app.get_functions()
    }


#: Method and route of each endpoint, by the name of its function.
API = {
    "list_imports": ("GET", "imports"),
    "get_import": ("GET", "imports/{id}"),
    "get_file": ("GET", "imports/{id}/files/{name}"),
    "cancel_import": ("POST", "imports/{id}/cancel"),
    "retry_import": ("POST", "imports/{id}/retry"),
    "cancel_imports": ("POST", "imports/cancel"),
    "retry_imports": ("POST", "imports/retry"),
    "approve_import": ("POST", "imports/{id}/approve"),
    "decline_import": ("POST", "imports/{id}/decline"),
    "undo_import": ("POST", "imports/{id}/undo"),
    "list_queues": ("GET", "queues"),
    "list_days": ("GET", "days"),
    "check_file": ("POST", "check"),
    "create_upload": ("POST", "uploads"),
    "put_upload": ("PUT", "uploads"),
    "get_upload": ("GET", "uploads/{ticket}"),
    "get_health": ("GET", "health"),
    "get_openapi": ("GET", "openapi.json"),
}
DASHBOARD = {
    "show_dashboard": ("GET", "dashboard"),
    "find_device": ("GET", "dashboard/devices"),
    "show_health": ("GET", "dashboard/health"),
    "show_help": ("GET", "dashboard/help"),
    "show_api": ("GET", "dashboard/api"),
    "show_import": ("GET", "dashboard/imports/{id}"),
    "confirm_imports": ("GET", "dashboard/bulk/{action}"),
    "act_on_imports": ("POST", "dashboard/bulk/{action}"),
    "act_on_import": ("POST", "dashboard/imports/{id}/{action}"),
}
TRIGGERS = {"import_upload", "advance_hubs", "sweep"}


def test_every_function_and_binding() -> None:
    assert bindings() == {
        **{
            name: [
                {
                    "type": "httpTrigger",
                    "direction": "0",
                    "name": "req",
                    "methods": f"[<HttpMethod.{method}: '{method}'>]",
                    "authLevel": "function",
                    "route": route,
                },
                {"type": "http", "direction": "1", "name": "$return"},
            ]
            for name, (method, route) in (API | DASHBOARD).items()
        },
        "import_upload": [
            {
                "type": "blobTrigger",
                "direction": "0",
                "name": "upload",
                "path": "%UPLOAD_CONTAINER%/{name}",
                "connection": "ImporterStorage",
                "source": "EventGrid",
            }
        ],
        "advance_hubs": [
            {
                "type": "timerTrigger",
                "direction": "0",
                "name": "timer",
                "schedule": "%POLL_SCHEDULE%",
                "useMonitor": "False",
            }
        ],
        "sweep": [
            {
                "type": "timerTrigger",
                "direction": "0",
                "name": "timer",
                "schedule": "%SWEEP_SCHEDULE%",
                "useMonitor": "False",
            }
        ],
    }


def test_the_schedules_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLL_SCHEDULE")
    monkeypatch.delenv("SWEEP_SCHEDULE")
    importlib.reload(function_app)
    assert bindings()["advance_hubs"][0]["schedule"] == "*/30 * * * * *"
    assert bindings()["sweep"][0]["schedule"] == "0 */5 * * * *"


@pytest.mark.parametrize(
    ("value", "served"),
    [
        ("all", API | DASHBOARD),
        ("api", API),
        ("none", {}),
        # The settings check reports it at each call.
        ("some", API | DASHBOARD),
    ],
)
def test_served_endpoints_depend_on_a_setting(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: str,
    served: dict[str, tuple[str, str]],
) -> None:
    monkeypatch.setenv("HTTP_ENDPOINTS", value)
    importlib.reload(function_app)
    assert bindings().keys() == TRIGGERS | served.keys()
    assert caplog.messages == []


def test_the_log_of_the_worker_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.13 on, the worker logs to `azure.functions`, below the loggers of the SDKs."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    logging.getLogger("azure.functions").setLevel(logging.NOTSET)
    importlib.reload(function_app)
    assert logging.getLogger("azure.functions").getEffectiveLevel() == logging.INFO
    assert logging.getLogger("azure.core").getEffectiveLevel() == logging.WARNING


def test_the_local_blob_source_is_a_setting(app: App) -> None:
    with app.scanning_host() as host:
        source = host.functions["import_upload"].trigger.source  # type: ignore[union-attr]
        assert source.value == "LogsAndContainerScan"
    assert bindings()["import_upload"][0]["source"] == "EventGrid"


def test_the_sample_settings_satisfy_the_host() -> None:
    host = FunctionsHost(function_app.app, load_settings(SAMPLE_SETTINGS), ROOT / "host.json")
    assert set(host.functions) == TRIGGERS | API.keys() | DASHBOARD.keys()
    host.stop()


def test_the_sample_settings_satisfy_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in load_settings(SAMPLE_SETTINGS).items():
        monkeypatch.setenv(name, value)
    settings = shared.settings.load_settings()
    assert settings.uploads.trigger_source == "LogsAndContainerScan"
    [hub] = settings.hub.routes.by_name.values()
    assert hub.endpoint == "http://127.0.0.1:8081"
