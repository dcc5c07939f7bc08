"""What telemetry tells of imports: one trace each, metrics of all, and no secret in either."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_trace_id,
)

from shared.imports.record import ImportRecord
from shared.telemetry import azure_monitor, facade
from shared.telemetry.backend import Backend, trace_ids
from tests.app import ROOT, App, device

KEY = base64.b64encode(b"made-up telemetry key 01").decode()
SAS = "https://a.blob.core.windows.net/c?sv=1&sig=c2lnbmF0dXJl"

#: All that a process of the app would have, without a file of settings.
SETTINGS = {
    "ImporterStorage": "UseDevelopmentStorage=true",
    "IOTHUB": "myhub.azure-devices.net",
    "UPLOAD_CONTAINER": "uploads",
    "AzureFunctionsJobHost__telemetryMode": "OpenTelemetry",
}


class Seen:
    """What a process has told."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def spans(self, record: ImportRecord | None = None) -> list[ReadableSpan]:
        """Spans in the order of their ends; of one import's trace, or all."""
        wanted = trace_ids(record.id)[0] if record else None
        return [
            span
            for span in self._exporter.get_finished_spans()
            if wanted in (None, span.context.trace_id)
        ]

    def names(self, record: ImportRecord) -> list[str]:
        return [span.name for span in self.spans(record)]

    def metrics(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """By name and attribute values, without the hub's: a value, or count and sum."""
        found: dict[str, dict[tuple[Any, ...], Any]] = {}
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                for point in metric.data.data_points:
                    told = dict(point.attributes or {})
                    assert told.pop("deviceimporter.hub")
                    value = getattr(point, "value", None)
                    if value is None:
                        value = (point.count, point.sum)  # type: ignore[union-attr]
                    found.setdefault(metric.name, {})[tuple(told.values())] = value
        return found


@pytest.fixture
def seen() -> Iterator[Seen]:
    seen = Seen()
    facade.use(Backend(seen.tracers, seen.meters))
    yield seen
    facade.use(None)


def keyed(device_id: str, **members: object) -> dict[str, object]:
    keys = {"primaryKey": KEY, "secondaryKey": KEY}
    return device(device_id, authentication={"type": "sas", "symmetricKey": keys}, **members)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return {
        name.removeprefix("deviceimporter."): value
        for name, value in (span.attributes or {}).items()
    }


def test_an_import_is_one_trace_from_its_upload_to_its_end(app: App, seen: Seen) -> None:
    app.upload("pumps.ndjson", keyed("pump-1"), keyed("pump-2"))
    app.deliver("pumps.ndjson")
    app.finish()
    record = app.record("pumps.ndjson")
    *steps, root = seen.spans(record)
    assert len(seen.spans()) == len(steps) + 1
    # The end is told within the last step.
    assert [span.name for span in (*steps, root)] == ["validate", "start", "import", "end"]
    root, end = steps.pop(), root
    trace_id, span_id = trace_ids(record.id)
    assert (root.context.trace_id, root.context.span_id) == (trace_id, span_id)
    assert (root.parent, root.kind) == (None, SpanKind.CONSUMER)
    for step in (*steps, end):
        assert step.parent is not None
        assert (step.parent.span_id, step.kind) == (span_id, SpanKind.INTERNAL)
        assert attributes(step)["import.id"] == record.id
        assert step.status.status_code is StatusCode.UNSET
    assert [attributes(step)["import.state"] for step in steps] == ["queued", "running"]
    assert root.start_time == int(record.uploaded_at.timestamp()) * 10**9
    assert record.finished_at is not None
    assert root.end_time == int(record.finished_at.timestamp() * 10**9)
    assert attributes(root) == {
        "import.id": record.id,
        "import.state": "completed",
        "import.attempts": 1,
        "hub": record.hub,
        "file.name": "pumps.ndjson",
        "file.size": record.size,
        "file.format": "ndjson",
        "job.id": record.job_id,
        "job.status": "completed",
        "devices.given": 2,
        "devices.imported": 2,
        "devices.failed": 0,
        "lines.invalid": 0,
    }
    assert root.status.status_code is StatusCode.UNSET


def test_an_idle_tick_makes_no_span(app: App, seen: Seen) -> None:
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", keyed("pump-1"))
    app.deliver("pumps.ndjson")
    app.tick()
    before = len(seen.spans())
    app.tick()
    app.sweep()
    app.tick()
    assert len(seen.spans()) == before


def test_what_imports_did_is_counted(app: App, seen: Seen) -> None:
    app.hub.registry.put(device("exists"))
    app.upload("good.ndjson", keyed("pump-1"), keyed("pump-2"))
    app.deliver("good.ndjson")
    app.finish()
    app.upload("broken.ndjson", keyed("pump 1"), keyed("pump-3"))
    app.deliver("broken.ndjson")
    app.upload("partly.ndjson", keyed("exists", importMode="create"), keyed("pump-4"))
    app.deliver("partly.ndjson")
    app.finish()
    # Repeated events and ticks count nothing twice.
    app.deliver("good.ndjson")
    app.tick()
    metrics = seen.metrics()
    assert metrics["deviceimporter.imports"] == {
        ("completed",): 1,
        ("rejected",): 1,
        ("completedWithErrors",): 1,
    }
    assert metrics["deviceimporter.devices"] == {("imported",): 3, ("failed",): 1, ("rejected",): 1}
    assert metrics["deviceimporter.queue.length"] == {(): 0}
    assert metrics["deviceimporter.queue.age"] == {(): 0}
    jobs, total = metrics["deviceimporter.job.duration"][("completed",)]
    assert jobs == 2
    assert 0 <= total < 60
    assert {
        key: count for key, (count, _) in metrics["deviceimporter.import.duration"].items()
    } == {
        ("completed",): 1,
        ("rejected",): 1,
        ("completedWithErrors",): 1,
    }
    rejected = app.record("broken.ndjson")
    root, validate = seen.spans(rejected)
    assert (root.name, validate.name) == ("import", "validate")
    assert root.status.status_code is StatusCode.ERROR
    assert root.status.description == rejected.failure_reason


def test_a_hub_that_throttles_or_is_busy_is_counted(app: App, seen: Seen) -> None:
    app.hub.faults.add("error", operation="createJob", status=429, times=2)
    app.upload("pumps.ndjson", keyed("pump-1"))
    app.deliver("pumps.ndjson")
    app.tick()
    app.hub.occupy_slot()
    app.tick()
    app.clock.ahead_minutes(10)
    app.tick()
    metrics = seen.metrics()
    assert metrics["deviceimporter.hub.throttled"] == {(): 2}
    assert metrics["deviceimporter.hub.busy"] == {(): 2}
    assert metrics["deviceimporter.queue.length"] == {(): 1}
    assert metrics["deviceimporter.queue.age"][()] >= 600
    assert "deviceimporter.imports" not in metrics
    app.hub.free_slot()
    app.finish()
    record = app.record("pumps.ndjson")
    assert seen.names(record) == ["validate", *["start"] * 5, "import", "end"]


def test_a_retry_is_a_trace_that_leads_back(app: App, seen: Seen) -> None:
    app.hub.faults.add("failJob")
    app.upload("pumps.ndjson", keyed("pump-1"))
    app.deliver("pumps.ndjson")
    app.finish()
    old = app.record("pumps.ndjson")
    new = app.importer.operations.retry(old)
    assert new.state == "queued"
    app.importer.operations.cancel(new)
    root, cancel = seen.spans(new)[-2:]
    assert seen.names(new) == ["retry", "import", "cancel"]
    assert attributes(root)["import.retry_of"] == old.id
    assert attributes(cancel)["import.state"] == "cancelled"


def test_a_step_that_fails_says_why(app: App, seen: Seen) -> None:
    app.upload("pumps.ndjson", keyed("pump-1"))

    def fail(request: str) -> None:
        if request.endswith("devices.txt"):
            raise OSError(f"no way to {SAS}")

    app.before_request = fail
    with pytest.raises(OSError, match="no way"):
        app.deliver("pumps.ndjson")
    [validate] = seen.spans()
    assert attributes(validate)["error.type"] == "OSError"
    assert validate.status.status_code is StatusCode.ERROR
    assert "sig=REDACTED" in str(validate.status.description)


def test_a_step_links_to_the_invocation(app: App, seen: Seen) -> None:
    host = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    app.upload("pumps.ndjson", keyed("pump-1"))
    token = contexts.attach(trace.set_span_in_context(NonRecordingSpan(host)))
    try:
        app.deliver("pumps.ndjson")
        app.finish()
    finally:
        contexts.detach(token)
    for span in seen.spans(app.record("pumps.ndjson")):
        assert [link.context for link in span.links] == ([] if span.name == "import" else [host])


def test_the_azure_sdk_is_quiet_between_steps(seen: Seen) -> None:
    """Below a local span that is not recorded, samplers drop all."""
    tracer = seen.tracers.get_tracer("azure")
    with facade.quiet():
        tracer.start_span("idle").end()
        with facade.span("some import", "start", {}):
            tracer.start_span("request").end()
        tracer.start_span("idle").end()
    assert [span.name for span in seen.spans()] == ["request", "start"]


def test_nothing_told_is_secret(app: App, seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    app.hub.faults.add("failJob", reason=SAS)
    app.upload("failed.ndjson", keyed("pump-1"))
    app.deliver("failed.ndjson")
    app.finish()
    app.hub.faults.add("error", operation="createJob", status=400, message=f"cannot write {SAS}")
    app.upload("refused.ndjson", keyed("pump-2"))
    app.deliver("refused.ndjson")
    app.upload("broken.ndjson", {**keyed("pump 1"), "status": KEY}, b'{"k":"%s' % KEY.encode())
    app.deliver("broken.ndjson")
    told = "".join(span.to_json() for span in seen.spans()) + repr(seen.metrics())
    assert told.count("sig=REDACTED") >= 2
    for secret in (KEY, "c2lnbmF0dXJl", "AccountKey=", "SharedAccessKey="):
        assert secret not in told


def lines_of_app(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [line for line in caplog.records if line.name.startswith("shared.")]


def test_each_line_of_an_import_says_of_which(app: App, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app.upload("pumps.ndjson", keyed("pump-1"))
    app.deliver("pumps.ndjson")
    app.finish()
    record = app.record("pumps.ndjson")
    lines = lines_of_app(caplog)
    assert len(lines) >= 4
    for line in lines:
        assert (line.import_id, line.hub) == (record.id, record.hub)  # type: ignore[attr-defined]
        assert f"[import={record.id} hub={record.hub}" in line.getMessage()
        assert line.getMessage().count(record.id) == 1
        assert line.pathname.startswith(str(ROOT / "shared"))
        assert not line.pathname.endswith("logs.py")
    text = [line.getMessage() for line in lines]
    running = next(line for line in text if line.startswith("running"))
    assert running.endswith(f" job={record.job_id}]")
    assert text[-1] == f"completed [import={record.id} hub={record.hub} job={record.job_id}]"
    assert lines[-1].job_id == record.job_id  # type: ignore[attr-defined]
    assert lines[-1].import_state == "completed"  # type: ignore[attr-defined]


def test_lines_of_a_tick_say_the_hub(app: App, caplog: pytest.LogCaptureFixture) -> None:
    def fail(request: str) -> None:
        raise OSError("100 % gone")

    app.before_request = fail
    with pytest.raises(Exception, match="could not be advanced"):
        app.tick()
    [line] = [line for line in lines_of_app(caplog) if line.levelno == logging.ERROR]
    hub = next(iter(app.importer.services.hubs))
    assert line.getMessage() == f"not advanced [hub={hub}]"
    assert (line.hub, line.import_id) == (hub, "")  # type: ignore[attr-defined]


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


def test_who_does_not_ask_for_it_does_not_load_it() -> None:
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
from shared.imports import importer as module
from shared.telemetry import azure_monitor
calls = []
real = azure_monitor.configure_azure_monitor
azure_monitor.configure_azure_monitor = lambda **options: (calls.append(options), real(**options))
first = function_app.importer()
module.importer.cache_clear()
function_app.importer()
from opentelemetry import trace
from shared.telemetry import facade
with facade.span("an import", "start", {}):
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
    """Nothing can be reached: the process ends all the same, at once and without a traceback."""
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
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shared.telemetry import facade
exporter = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
def ask():
    for _ in range(20):
        try:
            hub.get_job("some")
        except Exception:
            pass
with facade.quiet():
    ask()
    print([span.name for span in exporter.get_finished_spans()])
    with facade.span("an import", "follow", {}):
        ask()
found = exporter.get_finished_spans()
print([span.name for span in found] == ["GET"] * 20 + ["follow"])
print({format(span.context.trace_id, "032x") for span in found})
"""


def test_requests_of_a_step_are_told_and_those_between_steps_are_not() -> None:
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
    """What Azure Monitor was asked for, in the place of doing it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.options: list[dict[str, Any]] = []
        self.clients: list[str | None] = []
        monkeypatch.setattr(
            azure_monitor, "configure_azure_monitor", lambda **given: self.options.append(given)
        )
        monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", CONNECTION)
        # What is set is undone after the test, and not set by the app.
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")

    def credential(self, client_id: str | None) -> Any:
        self.clients.append(client_id)
        return self


@pytest.mark.parametrize(
    ("said", "clients"),
    [
        ("", []),
        ("Authorization=AAD", [None]),
        ("Authorization=AAD;ClientId=11-22", ["11-22"]),
    ],
)
def test_application_insights_may_want_entra_id(
    monkeypatch: pytest.MonkeyPatch, said: str, clients: list[str | None]
) -> None:
    configured = Configured(monkeypatch)
    monkeypatch.setenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", said)
    azure_monitor.connect(configured.credential)
    assert configured.clients == clients
    assert [options.get("credential") for options in configured.options] == [
        configured if clients else None
    ]


def test_what_the_worker_configured_is_used(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    configured = Configured(monkeypatch)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: seen.tracers)
    backend = azure_monitor.connect(configured.credential)
    with backend.span("an import", "start", {}):
        pass
    assert [span.name for span in seen.spans()] == ["start"]
    assert configured.options == []


def test_a_missing_connection_string_stops_no_import() -> None:
    done = run(
        "import logging; logging.basicConfig(); import function_app; function_app.importer(); "
        "print('goes on')"
    )
    assert done.stdout == "goes on\n"
    assert "the app sends no spans and metrics" in done.stderr
    assert done.stderr.count("APPLICATIONINSIGHTS_CONNECTION_STRING") == 1
