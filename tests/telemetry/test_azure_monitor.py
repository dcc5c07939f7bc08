"""Azure Monitor, in separate processes: enabled explicitly, configured once, never blocking."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import azure.monitor.opentelemetry.exporter
import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import (
    format_trace_id,
)

from shared.telemetry import azure_monitor
from shared.telemetry.otel import trace_ids
from tests.app import ROOT

#: The complete environment of an app process, without a settings file.
SETTINGS = {
    "ImporterStorage": "UseDevelopmentStorage=true",
    "IOTHUB": "myhub.azure-devices.net",
    "UPLOAD_CONTAINER": "uploads",
    "AzureFunctionsJobHost__telemetryMode": "OpenTelemetry",
}


def run(program: str, cwd: Path = ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        **SETTINGS,
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


LOADED = "import sys; print(any(name.startswith('opentelemetry') for name in sys.modules))"


def test_azure_monitor_is_loaded_only_if_enabled() -> None:
    assert run(f"import function_app; {LOADED}").stdout == "False\n"
    classic = run(
        f"import function_app; function_app.importer(); {LOADED}",
        AzureFunctionsJobHost__telemetryMode="ApplicationInsights",
    )
    assert classic.stdout == "False\n"


CONFIGURED = """
import logging, threading
logging.basicConfig(level=logging.WARNING)
import function_app
from shared.imports import app as module
from azure.monitor import opentelemetry as distribution
calls = []
real = distribution.configure_azure_monitor
distribution.configure_azure_monitor = lambda **options: (calls.append(options), real(**options))
first = function_app.importer()
module._importer = None
function_app.importer()
from opentelemetry import trace
from shared import telemetry
with telemetry.span("an import", "start", {}):
    print(format(trace.get_current_span().get_span_context().trace_id, "032x"))
exported = [type(handler).__name__ for handler in logging.getLogger("shared").handlers]
print(len(calls), sorted(calls[0]), exported)
logging.getLogger("shared.x").warning("a line")
"""

CONNECTION = (
    "InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint=https://127.0.0.1:9/"
)


@pytest.mark.parametrize(("app_sends_logs", "handlers"), [("true", 1), ("", 0)])
def test_azure_monitor_is_configured_once(
    tmp_path: Path, app_sends_logs: str, handlers: int
) -> None:
    """Without network access the process still exits immediately and without a traceback."""
    done = run(
        CONFIGURED,
        APPLICATIONINSIGHTS_CONNECTION_STRING=CONNECTION,
        APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL="true",
        PYTHON_ENABLE_OPENTELEMETRY=app_sends_logs,
        TMPDIR=str(tmp_path),
    )
    trace_id, calls = done.stdout.splitlines()
    assert trace_id == format_trace_id(trace_ids("an import")[0])
    assert calls.startswith("1 ['enable_live_metrics', 'enable_performance_counters', 'instrument")
    assert calls.count("LoggingHandler") == handlers
    assert "Traceback" not in done.stderr
    assert "00000000-0000" not in done.stderr


REQUESTS = """
import function_app
hub = next(iter(function_app.importer().services.hubs.values()))
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shared import telemetry
exporter = InMemorySpanExporter()
# The provider of the Azure SDK; that of the steps sends to Azure Monitor.
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
def ask():
    for _ in range(20):
        try:
            hub.get_job("1")
        except Exception:
            pass
with telemetry.suppress_sdk_spans():
    ask()
    print([span.name for span in exporter.get_finished_spans()])
    with telemetry.span("an import", "follow", {}):
        ask()
spans = exporter.get_finished_spans()
print([span.name for span in spans] == ["GET"] * 20)
print({format(span.context.trace_id, "032x") for span in spans})
"""


def test_only_requests_within_a_step_are_traced() -> None:
    done = run(
        REQUESTS,
        APPLICATIONINSIGHTS_CONNECTION_STRING=CONNECTION,
        APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL="true",
        IOTHUB="HostName=127.0.0.1:9;SharedAccessKeyName=a;SharedAccessKey=Zm9v;"
        "UseDevelopmentEmulator=true",
    )
    trace_id = format_trace_id(trace_ids("an import")[0])
    assert done.stdout.splitlines() == ["[]", "True", str({trace_id})]


class Configured:
    """Records the configuration calls for Azure Monitor instead of executing them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.options: list[dict[str, Any]] = []
        self.spans = InMemorySpanExporter()
        self.clients: list[str | None] = []
        self.exporters: list[dict[str, Any]] = []
        monkeypatch.setattr(
            azure.monitor.opentelemetry,
            "configure_azure_monitor",
            lambda **given: self.options.append(given),
        )
        monkeypatch.setattr(
            azure.monitor.opentelemetry.exporter, "AzureMonitorTraceExporter", self._exporter
        )
        # Exports immediately, without a thread.
        monkeypatch.setattr(
            "opentelemetry.sdk.trace.export.BatchSpanProcessor", SimpleSpanProcessor
        )
        monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", CONNECTION)
        # Set by the test, which restores it, and not by the app.
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")

    def _exporter(self, **given: Any) -> InMemorySpanExporter:
        self.exporters.append(given)
        return self.spans

    def credential(self, client_id: str | None) -> Any:
        self.clients.append(client_id)
        return self


@pytest.mark.parametrize(
    ("setting", "clients"),
    [
        ("", []),
        ("Authorization=AAD", [None]),
        ("Authorization=AAD;ClientId=11-22", ["11-22"]),
    ],
)
def test_application_insights_with_entra_id(
    monkeypatch: pytest.MonkeyPatch, setting: str, clients: list[str | None]
) -> None:
    configured = Configured(monkeypatch)
    monkeypatch.setenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", setting)
    azure_monitor.connect(configured.credential)
    assert configured.clients == clients
    for options in (configured.options, configured.exporters):
        assert [given.get("credential") for given in options] == [configured if clients else None]


@pytest.mark.parametrize(("sampler", "names"), [("", ["start"]), ("always_off", [])])
def test_configuration_of_the_worker_is_used(
    monkeypatch: pytest.MonkeyPatch, sampler: str, names: list[str]
) -> None:
    """The worker's sampler applies only if operators configured it; its resource is kept."""
    configured = Configured(monkeypatch)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    resource = Resource({"service.name": "worker"})
    worker = TracerProvider(ALWAYS_OFF, resource, shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: worker)
    backend = azure_monitor.connect(configured.credential)
    with backend.span("an import", "start", {}):
        pass
    spans = configured.spans.get_finished_spans()
    assert [span.name for span in spans] == names
    assert {span.resource for span in spans} <= {resource}
    assert configured.options == []


def test_spans_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    configured = Configured(monkeypatch)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with azure_monitor.connect(configured.credential).span("an import", "start", {}):
        pass
    assert configured.exporters == []


def test_missing_connection_string_does_not_stop_imports() -> None:
    done = run(
        "import logging; logging.basicConfig(); import function_app; function_app.importer(); "
        "print('goes on')"
    )
    assert done.stdout == "goes on\n"
    assert "the app sends no spans and metrics" in done.stderr
    assert done.stderr.count("APPLICATIONINSIGHTS_CONNECTION_STRING") == 1
