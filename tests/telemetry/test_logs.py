"""Log lines contain import, hub and job; nothing that is logged or exported is secret."""

from __future__ import annotations

import io
import logging
import socket
import traceback
from collections.abc import Iterator

import pytest
import urllib3

from shared import logs
from tests.app import ROOT, App
from tests.events.receiver import BrokenReceiver
from tests.telemetry.support import KEY, SAS, CapturedTelemetry, keyed


def test_telemetry_contains_no_secret(
    app: App, captured_telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    app.hub.faults.add("failJob", reason=SAS)
    app.upload("failed.ndjson", keyed("pump-1"))
    app.deliver("failed.ndjson")
    app.finish()
    app.hub.faults.add("error", operation="createJob", status=400, message=f"cannot write {SAS}")
    app.upload("refused.ndjson", keyed("pump-2"))
    app.deliver("refused.ndjson")
    app.upload("broken.ndjson", {**keyed("pump 1"), "status": KEY}, b'{"k":"%s' % KEY.encode())
    app.deliver("broken.ndjson")
    text = "".join(span.to_json() for span in captured_telemetry.spans()) + repr(
        captured_telemetry.metrics()
    )
    assert text.count("sig=REDACTED") >= 2
    for secret in (KEY, "c2lnbmF0dXJl", "AccountKey=", "SharedAccessKey="):
        assert secret not in text


def lines_of_app(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [line for line in caplog.records if line.name.startswith("shared.")]


def test_each_log_line_of_an_import_contains_its_id(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
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
    assert running.endswith(f" job={record.job.id}]")
    assert text[-1] == f"completed [import={record.id} hub={record.hub} job={record.job.id}]"
    assert lines[-1].job_id == record.job.id  # type: ignore[attr-defined]
    assert lines[-1].import_state == "completed"  # type: ignore[attr-defined]


def test_log_lines_of_a_tick_contain_the_hub(app: App, caplog: pytest.LogCaptureFixture) -> None:
    def fail(request: str) -> None:
        raise OSError("100 % gone")

    app.before_request = fail
    with pytest.raises(Exception, match="could not be advanced"):
        app.tick()
    [line] = [line for line in lines_of_app(caplog) if line.levelno == logging.ERROR]
    hub = next(iter(app.importer.services.hubs))
    assert line.getMessage() == f"the hub could not be advanced [hub={hub}]"
    assert (line.hub, line.import_id) == (hub, "")  # type: ignore[attr-defined]


@pytest.fixture
def libraries() -> Iterator[None]:
    """Redact as in a process of the app; other tests see the original logs of libraries."""
    factory = logging.getLogRecordFactory()
    logs.redact_libraries()
    yield
    logging.setLogRecordFactory(factory)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The output of a handler of the root logger, including tracebacks."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


def _answer_with_a_broken_header(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
        b"bad header line sig=c2lnbmF0dXJl\r\nX-Y: primaryKey=a2V5\r\n\r\n"
    )


def test_headers_logged_by_urllib3_are_redacted(
    libraries: None, lines: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    with BrokenReceiver(_answer_with_a_broken_header) as receiver, urllib3.PoolManager() as pool:
        pool.request("GET", f"{receiver.url}&sig=c2lnbmF0dXJl").close()
    [record] = [record for record in caplog.records if record.name == "urllib3.connection"]
    assert record.exc_info
    error = record.exc_info[1]
    assert isinstance(error, urllib3.exceptions.HeaderParsingError)
    text = lines.getvalue() + record.getMessage() + "".join(traceback.format_exception(error))
    assert "Failed to parse headers" in text
    assert "Traceback" in text
    assert "sig=REDACTED" in text
    assert "primaryKey=REDACTED" in text
    for secret in ("c2lnbmF0dXJl", "a2V5", "query-secret-0001"):
        assert secret not in text


@pytest.mark.parametrize("name", ["azure", "azure.identity", "msal.token", "requests", "urllib3.x"])
def test_logs_of_libraries_are_redacted(
    libraries: None, lines: io.StringIO, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(name)
    logger.warning("no access to %s (%d)", SAS, 403)
    logger.warning("tried %d times", 3)
    logger.warning("%d", SAS)
    try:
        raise OSError(f"cannot read {SAS}")
    except OSError:
        logger.exception("failed")
    first, second, third, _ = caplog.records
    assert (first.getMessage(), first.args) == (
        f"no access to {SAS.partition('sig=')[0]}sig=REDACTED (403)",
        (),
    )
    assert (second.msg, second.args) == ("tried %d times", (3,))
    assert third.getMessage() == "a line that cannot be redacted"
    assert "OSError: cannot read" in lines.getvalue()
    assert "c2lnbmF0dXJl" not in lines.getvalue()


def test_unrelated_log_records_are_unchanged(
    libraries: None, caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError(SAS)
    logging.getLogger("azure_functions_worker").warning("%s", SAS, exc_info=error)
    [record] = caplog.records
    assert (record.msg, record.args) == ("%s", (SAS,))
    assert record.exc_info
    assert record.exc_info[1] is error
    # As created by socket handlers.
    assert logging.makeLogRecord({"msg": SAS}).getMessage() == SAS


def test_libraries_are_redacted_once(libraries: None) -> None:
    first = logging.getLogRecordFactory()
    logs.redact_libraries()
    assert logging.getLogRecordFactory() is first

    # OpenTelemetry adds its attributes like this.
    def adding(*args: object, **kwargs: object) -> logging.LogRecord:
        record = first(*args, **kwargs)
        record.otelTraceID = "1"
        return record

    logging.setLogRecordFactory(adding)
    logs.redact_libraries()
    assert logging.getLogRecordFactory() is adding
    record = logging.getLogger("azure").makeRecord("azure", 30, "a", 1, SAS, (), None)
    assert record.getMessage().endswith("sig=REDACTED")
