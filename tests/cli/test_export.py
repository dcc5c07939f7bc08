"""`device-importer export`, and its job at the hub."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.export import _copy
from cli.export_job import Export
from cli.output import Output
from iothub_emulator.choices import Choices
from iothub_emulator.faults import FaultKind, Operation
from shared.hub.client import HubClient
from shared.hub.jobs import JobProperties
from shared.storage.blobs import StoredFile
from tests.app import App
from tests.cli.conftest import Shell, meanwhile
from tests.cli.fleet import ROOT, jobs, line, write


@pytest.mark.parametrize(
    "hub",
    [{"job_rate": 100, "job_seconds": 0.3, "choices": Choices(progress="steps")}],
    indirect=True,
)
def test_progress_on_a_terminal(app: App, shell: Shell, terminal: None, fleet: list[str]) -> None:
    done = shell("export", "-o", "export.txt")
    assert f"Exporting the registry of {app.hub.address} (" in done.err
    assert " %, " in done.err
    assert "40 devices and modules" in done.err


def test_export(app: App, shell: Shell, fleet: list[str], tmp_path: Path) -> None:
    os.umask(old := os.umask(0))
    done = shell("export", "-o", "export.txt")
    os.umask(old)
    assert (done.status, done.out) == (0, "")
    path = tmp_path / "export.txt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, *lines = path.read_bytes().splitlines()
    # The hub's note stays, as the hub needs it to tell that there are no keys.
    assert not first.startswith(b"{")
    assert [json.loads(each)["id"] for each in lines] == sorted(fleet)
    assert line("d0")["authentication"]["symmetricKey"]["primaryKey"].encode() not in first
    assert [*tmp_path.iterdir()] == [path]
    [summary] = shell.json("export", "--keys", "-o", "export.gz")
    assert (summary["lines"], summary["keys"], summary["hub"]) == (40, True, app.hub.address)
    assert stat.S_IMODE((tmp_path / "export.gz").stat().st_mode) == 0o600
    with gzip.open("export.gz") as stream:
        assert line("d0")["authentication"]["symmetricKey"]["primaryKey"].encode() in stream.read()
    done = shell("plan", write(line("d0")), "--registry", "export.gz")
    assert (done.status, "1 unchanged" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", 0),
        (b"a note\n", 0),
        (b"a note", 0),
        (b'a note\n{"id":"a"}\n{"id":"b"}', 2),
        (b'{"id":"a"}\n{"id":"b"}\n', 2),
        (b'{"id":"a"}\n{"id":"b', None),
    ],
)
def test_the_last_line_is_whole(app: App, content: bytes, lines: int | None) -> None:
    blob = app.blobs.get_blob_client(app.container, "devices.txt")
    blob.upload_blob(content)
    export = Export(StoredFile(blob), datetime.now(UTC))
    copy = io.BytesIO()
    if lines is None:
        with pytest.raises(CommandError) as error:
            _copy(export, copy, "fleet", Output("text"))
        assert error.value.status == 4
    else:
        assert _copy(export, copy, "fleet", Output("text")) == lines
        assert copy.getvalue() == content


def test_export_to_standard_output(app: App, shell: Shell, fleet: list[str]) -> None:
    command = [sys.executable, "-W", "error", "-m", "cli", "export", "-o", "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == 41
    assert shell("export", "-o", "-", "--format", "json").status == 2


def test_an_output_that_cannot_be_written(app: App, shell: Shell, fleet: list[str]) -> None:
    for name in ("missing/export.txt", ".", "/dev/null"):
        done = shell("export", "-o", name)
        assert (done.status, f"error: {name}" in done.err) == (2, True)
    assert jobs(app) == []


def test_identity_based_jobs(app: App, shell: Shell, fleet: list[str]) -> None:
    app.configure(JOB_STORAGE_AUTHENTICATION="identityBased")
    assert shell("export", "-o", "export.txt").status == 0
    assert "sig=" not in app.hub.jobs[0]["outputBlobContainerUri"]


def test_a_busy_slot_is_waited_for(app: App, shell: Shell, fleet: list[str]) -> None:
    app.hub.occupy_slot()

    def free_slot() -> None:
        deadline = time.monotonic() + 30
        while app.hub.requests["createJob"] < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        app.hub.free_slot()

    with meanwhile(free_slot):
        done = shell("export", "-o", "export.txt")
    assert done.status == 0
    assert done.err.count("Waiting: another import or export job") == 1


@pytest.mark.parametrize(
    ("kind", "operation", "text"),
    [
        (FaultKind.THROTTLE, Operation.CREATE_JOB, "throttles"),
        (FaultKind.THROTTLE, Operation.GET_JOB, "cannot be read"),
        (FaultKind.REFUSE, Operation.GET_JOB, "cannot be read"),
        (FaultKind.DROP_REPLY, Operation.CREATE_JOB, "did not answer"),
        (FaultKind.ERROR, Operation.CREATE_JOB, "did not answer"),
    ],
)
@pytest.mark.parametrize("hub", [{"job_seconds": 0.3}], indirect=True)
def test_troubles_that_pass(
    app: App, shell: Shell, fleet: list[str], kind: FaultKind, operation: Operation, text: str
) -> None:
    app.hub.faults.add(kind, operation=operation)
    done = shell("export", "-o", "export.txt")
    assert (done.status, text in done.err) == (0, True)
    assert jobs(app) == [("export", "completed")]


def test_a_job_that_fails_or_is_cancelled(app: App, shell: Shell, fleet: list[str]) -> None:
    app.hub.faults.add(FaultKind.FAIL_JOB, reason="odd reason")
    done = shell("export", "-o", "export.txt")
    assert (done.status, "failed: odd reason" in done.err) == (4, True)

    def cancel() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for job in app.hub.jobs.all()[1:]:
                app.hub.jobs.cancel(job.id)
                return
            time.sleep(0.02)

    app.hub.faults.add(FaultKind.HANG_JOB)
    with meanwhile(cancel):
        done = shell("plan", write(*map(line, fleet)))
    assert (done.status, "was cancelled" in done.err) == (4, True)
    assert not Path("export.txt").exists()


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(app: App, shell: Shell, fleet: list[str], signal_: signal.Signals) -> None:
    app.hub.faults.add(FaultKind.HANG_JOB)

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not app.hub.requests["getJob"] and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal_)

    with meanwhile(interrupt):
        assert shell("export", "-o", "export.txt").status == 130
    assert jobs(app) == [("export", "cancelled")]
    assert [*Path().iterdir()] == []


def test_interruption_while_an_object_is_finalized(
    app: App, shell: Shell, fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python drops what is raised then."""

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    hidden: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", hidden.append)
    app.hub.faults.add(FaultKind.HANG_JOB)

    get_job = HubClient.get_job

    def finalize_and_get_job(client: HubClient, job_id: str) -> JobProperties:
        if not hidden:
            Finalized()
        return get_job(client, job_id)

    monkeypatch.setattr(HubClient, "get_job", finalize_and_get_job)
    done = shell("export", "-o", "export.txt")
    assert (done.status, len(hidden)) == (130, 1)
    assert jobs(app) == [("export", "cancelled")]


def test_storage_that_is_out_of_reach(
    app: App, shell: Shell, fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "http://127.0.0.1:1/a"
    storage = f"AccountName=a;AccountKey=YWJj;BlobEndpoint={uri};TableEndpoint={uri}"
    monkeypatch.setenv("ImporterStorage", storage)
    done = shell("export", "-o", "export.txt")
    assert (done.status, "127.0.0.1:1 (connection refused)" in done.err) == (4, True)
