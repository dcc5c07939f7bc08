"""Spans, metrics and log lines of a job of several files."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from shared.imports.app import Importer
from shared.imports.model.job import JobRecord
from shared.settings import load_settings
from shared.telemetry.otel import trace_ids
from tests.app import App, ObservedTransport
from tests.imports.shared_jobs import NAMES, gather, members, shared_job, shared_jobs, start
from tests.telemetry.support import CapturedTelemetry, attributes, keyed

COMPLETED = ("completed",)


def gather_keyed(app: App) -> None:
    gather(app, {name: [keyed(name)] for name in NAMES})


def spans_of(captured: CapturedTelemetry, job: JobRecord) -> list[ReadableSpan]:
    return [span for span in captured.spans() if span.context.trace_id == trace_ids(job.id)[0]]


def test_job_and_imports_have_traces(app: App, captured_telemetry: CapturedTelemetry) -> None:
    gather_keyed(app)
    start(app)
    job = shared_job(app)
    app.finish()
    spans = spans_of(captured_telemetry, job)
    assert [span.name for span in spans] == ["start", "prepare"]
    for span in spans:
        assert attributes(span)["job.files"] == 3
        assert attributes(span)["import.state"] == "running"
        assert attributes(span)["job.id"] == job.job.id
        assert "import.id" not in attributes(span)
        assert span.status.is_unset
    for record in members(app):
        assert captured_telemetry.names(record) == ["validate", "import", "end"]
        [root] = [span for span in captured_telemetry.spans(record) if span.name == "import"]
        assert attributes(root)["job.id"] == job.job.id
        assert attributes(root)["devices.imported"] == 1


def test_job_is_counted_once(app: App, captured_telemetry: CapturedTelemetry) -> None:
    gather_keyed(app)
    start(app)
    app.finish()
    app.tick()
    metrics = captured_telemetry.metrics()
    # That of the first file, and that of the three others.
    assert metrics["deviceimporter.job.duration"][COMPLETED][0] == 2
    assert metrics["deviceimporter.imports"] == {COMPLETED: 4}
    assert metrics["deviceimporter.devices"] == {("imported",): 4}


def test_job_whose_imports_end_slowly_is_counted_once(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    gather_keyed(app)
    start(app)
    container = app.record("b.ndjson").staged.container
    app.hub.wait_idle()

    def fail(request: str) -> None:
        if container in request and "/report" in request:
            raise RuntimeError("the disk is on fire")

    app.before_request = fail
    app.tick()
    app.before_request = lambda _: None
    assert captured_telemetry.metrics()["deviceimporter.imports"] == {COMPLETED: 3}
    app.finish()
    app.tick()
    metrics = captured_telemetry.metrics()
    assert metrics["deviceimporter.job.duration"][COMPLETED][0] == 2
    assert metrics["deviceimporter.imports"] == {COMPLETED: 4}


def test_job_is_counted_by_the_process_that_closes_it(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    """Another process is faster between the end of the last import and that of the job."""
    gather_keyed(app)
    start(app)
    app.hub.wait_idle()
    no_hook = lambda _: None  # noqa: E731
    other = Importer(load_settings(), app.clock, lambda: ObservedTransport(no_hook, no_hook))
    batches: list[str] = []

    def overtake(request: str) -> None:
        if "$batch" in request:
            batches.append(request)
            if len(batches) == 4:
                other.on_tick()
                assert shared_jobs(app) == []

    app.before_request = overtake
    app.tick()
    app.before_request = no_hook
    other.close()
    assert len(batches) >= 4
    metrics = captured_telemetry.metrics()
    assert metrics["deviceimporter.job.duration"][COMPLETED][0] == 2
    assert metrics["deviceimporter.imports"] == {COMPLETED: 4}


def test_job_that_fails_is_counted_with_its_status(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    gather_keyed(app)
    start(app, "failJob")
    app.finish()
    metrics = captured_telemetry.metrics()
    assert {key: count for key, (count, _) in metrics["deviceimporter.job.duration"].items()} == {
        COMPLETED: 1,
        ("failed",): 1,
    }
    assert metrics["deviceimporter.devices"] == {("imported",): 1, ("unknown",): 3}


def test_log_lines_of_a_shared_job_name_hub_and_job(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gather_keyed(app)
    start(app, "error", operation="createJob", status=429)
    waiting = shared_job(app)
    app.tick()
    job = shared_job(app)
    assert (job.id, bool(job.job.id)) == (waiting.id, True)
    app.finish()
    ids = {record.id for record in members(app)}
    first = app.record("first.ndjson")
    lines = [line for line in caplog.records if line.name.startswith("shared.imports")]
    of_job = [line for line in lines if getattr(line, "job_id", "") in (job.id, job.job.id)]
    texts = [line.getMessage() for line in of_job]
    assert any(text.startswith("waiting: ") and f" job={job.id}]" in text for text in texts)
    assert any(text.startswith("running") and f" job={job.job.id}]" in text for text in texts)
    assert len([text for text in texts if text.startswith("completed")]) == 3
    for line in lines:
        assert line.hub == app.hub.address  # type: ignore[attr-defined]
        if line not in of_job:
            # Nothing of a job is said without its id.
            assert line.import_id in {*ids, first.id}, line.getMessage()  # type: ignore[attr-defined]
        elif line.getMessage().startswith("completed"):
            assert line.import_id in ids  # type: ignore[attr-defined]
        else:
            assert line.import_id == ""  # type: ignore[attr-defined]


def test_idle_tick_of_a_shared_job_creates_no_span(
    app: App, captured_telemetry: CapturedTelemetry
) -> None:
    gather_keyed(app)
    start(app, "hangJob")
    app.tick()
    before = len(captured_telemetry.spans())
    app.tick()
    app.tick()
    assert len(captured_telemetry.spans()) == before
