"""No key and no signature leaves the upload and the import's container, whatever happens."""

from __future__ import annotations

import base64
import json
import logging
import re

import pytest

from tests.app import App, device

PRIMARY = base64.b64encode(b"made-up primary key 0001").decode()
SECONDARY = base64.b64encode(b"made-up secondary key 01").decode()


def with_keys(device_id: str, **members: object) -> dict[str, object]:
    keys = {"primaryKey": PRIMARY, "secondaryKey": SECONDARY}
    return device(device_id, authentication={"type": "sas", "symmetricKey": keys}, **members)


@pytest.fixture
def secrets(app: App) -> list[str]:
    """Everything that must not be told; texts of this session alone."""
    return [
        PRIMARY,
        SECONDARY,
        *(re.findall(r"SharedAccessKey=([^;]+)", app.settings["IOTHUB"])),
        *(re.findall(r"AccountKey=([^;]+)", app.settings["ImporterStorage"])),
    ]


def test_a_whole_run_tells_no_secret(
    app: App,
    secrets: list[str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    app.hub.registry.put(device("exists"))
    bad = with_keys("odd")
    bad["authentication"] = {**bad["authentication"], "type": "SELF_SIGNED"}  # type: ignore[dict-item]
    app.upload("good.ndjson", with_keys("pump-1"))
    app.deliver("good.ndjson")
    app.finish()
    app.upload(
        "broken.ndjson", {**with_keys("pump 1"), "status": PRIMARY}, b'{"k":"%s' % PRIMARY.encode()
    )
    app.deliver("broken.ndjson")
    app.upload("partly.ndjson", with_keys("exists", importMode="create"), with_keys("odd"))
    app.deliver_unseen("partly.ndjson", with_keys("exists", importMode="create"), bad)
    app.finish()
    app.hub.faults.add("failJob", reason="https://a.blob.core.windows.net/c?sv=1&sig=c2lnbmF0dXJl")
    app.upload("failed.ndjson", with_keys("pump-2"))
    app.deliver("failed.ndjson")
    app.finish()
    message = "cannot write https://a.blob.core.windows.net/c?sv=1&sig=c2lnbmF0dXJl"
    app.hub.faults.add("error", operation="createJob", status=400, message=message)
    app.upload("refused.ndjson", with_keys("pump-3"))
    app.deliver("refused.ndjson")
    app.hub.faults.add("dropReply", operation="createJob")
    app.upload("lost.ndjson", with_keys("pump-4"))
    app.deliver("lost.ndjson")
    app.finish()

    records = app.records()
    assert sorted(record.state.value for record in records) == [
        "completed",
        "completed",
        "completedWithErrors",
        "failed",
        "failed",
        "rejected",
    ]
    rows = json.dumps([record.to_entity() for record in records], default=str)
    reports = json.dumps([app.report(record) for record in records if record.report]) + "".join(
        app.problems_csv(record) for record in records if record.problems
    )
    # What the hub was given; its threads log the URLs that they use, which is the hub's affair.
    signatures = re.findall(r"sig=([^&\"]+)", json.dumps(list(app.hub.jobs)))
    assert len(signatures) >= 5
    log = "\n".join(
        caplog.handler.format(entry)
        for entry in caplog.records
        if str(entry.threadName).startswith(("MainThread", "ThreadPoolExecutor"))
    )
    output = "".join(capfd.readouterr())
    for where, text in (("rows", rows), ("reports", reports), ("log", log), ("output", output)):
        for secret in (*secrets, *signatures, "c2lnbmF0dXJl"):
            assert secret not in text, f"{where}: a secret"
    # The search looked at something: the hub's texts with their signatures are there, redacted.
    assert rows.count("sig=REDACTED") >= 2
    assert "/jobs/create" in log
    assert "pump-2" not in log
