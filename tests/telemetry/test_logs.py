"""Log lines say of which import, hub and job they are; nothing that is told is secret."""

from __future__ import annotations

import logging

import pytest

from tests.app import ROOT, App
from tests.telemetry.support import KEY, SAS, Seen, keyed


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
