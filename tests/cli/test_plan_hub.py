"""`device-importer plan` and `export` at a hub, by the operator's own rights."""

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
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli import export_job, hub_access, lookups, plan_hub
from cli.errors import CommandError
from cli.export import _copy
from cli.export_job import Export
from cli.lookups import Lookups
from cli.output import Output
from iothub_emulator import HubEmulator
from iothub_emulator.choices import Choices
from iothub_emulator.faults import FaultKind, Operation
from shared.hub.client import HubClient
from shared.hub.exceptions import HubUnauthorizedError, error_from_response
from shared.hub.jobs import JobProperties
from shared.storage.blobs import StoredFile
from shared.storage.client import IncompleteReadError
from tests.app import App, device
from tests.cli.conftest import Shell, configure_two_hubs, meanwhile
from tests.cli.test_plan import ROOT, change, line, ndjson


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_job, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(export_job, "_FIRST_POLL", 0.02)
    monkeypatch.setattr(export_job, "_LAST_POLL", 0.1)
    monkeypatch.setattr(export_job, "THROTTLED_SECONDS", 0.05)
    monkeypatch.setattr(hub_access, "THROTTLED_SECONDS", 0.05)


@pytest.fixture
def fleet(app: App, shell: Shell) -> Iterator[list[str]]:
    """A hub with 40 devices, and containers that are none of an export afterwards."""
    ids = [f"d{number}" for number in range(40)]
    for device_id in ids:
        app.hub.registry.put(line(device_id))
    yield ids
    assert leftovers(app) == []


def leftovers(app: App) -> list[str]:
    """Containers of exports in the storage account, which other tests share."""
    table = app.settings["IMPORTS_TABLE"]
    containers = app.blobs.list_containers("import-", include_metadata=True)
    return [each.name for each in containers if (each.metadata or {}).get("table") == table]


def owner(app: App) -> None:
    """Use a policy with all rights, as an operator may have."""
    app.configure(IOTHUB=app.hub.connection_string())


def write(*lines: object) -> str:
    Path("fleet.ndjson").write_bytes(ndjson(*lines))
    return "fleet.ndjson"


def jobs(app: App) -> list[tuple[str, str]]:
    return [(job["type"], job["status"]) for job in app.hub.jobs]


def test_few_devices_are_looked_up(app: App, shell: Shell, fleet: list[str]) -> None:
    owner(app)
    app.hub.registry.put({"id": "d1", "moduleId": "m", "status": "enabled"})
    file = write(
        line("d0"),
        change("d1", "delete"),
        line("d2", tags={"site": "west"}),
        line("new"),
        {**line("d3"), "moduleId": "m"},
        {**line("gone"), "moduleId": "m", "importMode": "update"},
    )
    done = shell("plan", file)
    assert done.status == 1
    assert done.out.splitlines()[-1] == (
        "Plan: 2 to create, 1 to update (0 get new keys), 1 unchanged, 1 to delete, 0 left out, "
        "1 would fail"
    )
    assert "  - line 2 (d1): with 1 module" in done.out.splitlines()
    assert f"the registry of {app.hub.address}, looked up " in done.out
    [value] = shell.json("plan", file)
    assert (value["source"], value["hubDevices"], value["keysCompared"]) == ("lookups", None, True)
    assert jobs(app) == []


def test_many_devices_are_exported(app: App, shell: Shell, fleet: list[str]) -> None:
    file = write(*map(line, fleet), line("new"))
    [value] = shell.json("plan", file)
    assert (value["source"], value["hubDevices"], value["keysCompared"]) == ("export", 40, True)
    assert (value["counts"]["unchanged"], value["counts"]["create"]) == (40, 1)
    assert jobs(app) == [("export", "completed")]
    # Without keys in the file, they are not asked for.
    file = write(*({**change(each, "updateTwin"), "tags": {"a": 1}} for each in fleet))
    [value] = shell.json("plan", file)
    assert value["keysCompared"] is False


@pytest.mark.parametrize("policy", ["registryReadWrite", "iothubowner"])
def test_lookups_that_are_not_allowed(
    app: App, shell: Shell, fleet: list[str], policy: str
) -> None:
    """Twins need ServiceConnect, and modules of a disabled device are hidden under SAS."""
    app.configure(IOTHUB=app.hub.connection_string(policy))
    app.hub.registry.put({**line("d1"), "status": "disabled"})
    done = shell("plan", write(line("d0"), change("d1", "delete")))
    assert (done.status, done.out.splitlines()[-1]) == (
        10,
        "Plan: 0 to create, 0 to update (0 get new keys), 1 unchanged, 1 to delete, 0 left out, "
        "0 would fail",
    )
    assert jobs(app) == [("export", "completed")]


def test_lookups_or_export() -> None:
    """25 requests take no time; one more takes as long as the export of a small hub."""
    for count, seconds in ((25, 0), (26, 2.4), (125, 240)):
        assert Lookups(json.dumps(device(str(n))).encode() for n in range(count)).seconds == seconds
    lines = [device("a", importMode="delete"), {**device("b"), "moduleId": "m"}]
    assert Lookups(json.dumps(each).encode() for each in lines).requests == 5


def test_lookups_are_paced(
    app: App, shell: Shell, fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner(app)
    monkeypatch.setattr(lookups, "NO_WAIT", 2)
    monkeypatch.setattr(plan_hub, "NO_WAIT", 2)
    monkeypatch.setattr(lookups, "_PER_MINUTE", 600)
    app.hub.faults.add(FaultKind.THROTTLE, operation=Operation.REGISTRY, times=2)
    started = time.monotonic()
    done = shell("plan", write(*map(line, fleet[:5])))
    # The last of five requests is the third that waits.
    assert time.monotonic() - started >= 0.3
    assert (done.status, "throttles" in done.err) == (0, True)
    assert f"Looking up 5 devices at {app.hub.address} (about 0.3 s)\n" in done.err
    assert jobs(app) == []


@pytest.mark.parametrize(
    ("devices", "source"), [(3600, "export"), (3700, "lookups"), (None, "export")]
)
def test_the_quicker_way_is_taken(
    app: App,
    shell: Shell,
    fleet: list[str],
    monkeypatch: pytest.MonkeyPatch,
    devices: int | None,
    source: str,
) -> None:
    """26 lookups that wait take 62.4 seconds, and so does the export of 3,668 devices."""
    owner(app)
    monkeypatch.setattr(HubClient, "count_devices", lambda _: devices)
    monkeypatch.setattr(lookups._Pace, "wait", lambda _: None)
    [value] = shell.json("plan", write(*map(line, fleet), *(line(f"n{n}") for n in range(11))))
    assert (value["source"], value["counts"]["create"]) == (source, 11)


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


def test_the_settings_of_the_app_are_used(app: App, shell: Shell, fleet: list[str]) -> None:
    owner(app)
    app.configure(VALIDATION_POLICY="partial", MAX_DELETES="0")
    file = write(line("new"), {"id": "b"})
    assert "1 left out" in shell("plan", file).out
    assert "would be rejected" in shell("plan", file, "--policy", "reject").out
    file = write(change("d0", "delete"))
    assert "would be rejected" in shell("plan", file).out
    assert shell("plan", file, "--max-deletes", "5").status == 10


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


def test_a_hub_that_denies_access(app: App, shell: Shell, fleet: list[str]) -> None:
    app.configure(IOTHUB=app.hub.connection_string("registryRead"))
    for arguments in (("export", "-o", "export.txt"), ("plan", write(*map(line, fleet)))):
        done = shell(*arguments)
        assert (done.status, done.out) == (4, "")
        assert "IotHubUnauthorized" in done.err
        assert "registryReadWrite or iothubowner" in done.err
        assert "IoT Hub Data Contributor" in done.err
    assert not Path("export.txt").exists()


def test_a_hub_that_is_out_of_reach(app: App, shell: Shell, fleet: list[str]) -> None:
    down = app.hub.connection_string().replace(app.hub.address, "127.0.0.1:1")
    app.configure(IOTHUB=down)
    for arguments in (("export", "-o", "export.txt"), ("plan", write(line("d0")))):
        done = shell(*arguments)
        assert (done.status, done.out) == (4, "")
        assert "The hub 127.0.0.1:1 cannot be reached (connection refused)" in done.err


def test_storage_that_is_out_of_reach(
    app: App, shell: Shell, fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "http://127.0.0.1:1/a"
    storage = f"AccountName=a;AccountKey=YWJj;BlobEndpoint={uri};TableEndpoint={uri}"
    monkeypatch.setenv("ImporterStorage", storage)
    done = shell("export", "-o", "export.txt")
    assert (done.status, "127.0.0.1:1 (connection refused)" in done.err) == (4, True)


def test_several_hubs(app: App, shell: Shell, other_hub: HubEmulator) -> None:
    app.route(east=app.hub, west=other_hub)
    other_hub.registry.put(line("d0"))
    for arguments in (("export", "-o", "export.txt"), ("plan", write(line("d0")))):
        done = shell(*arguments)
        assert (done.status, "--hub with one of: east, west" in done.err) == (2, True)
        done = shell(*arguments, "--hub", "north")
        assert (done.status, "'north'" in done.err) == (2, True)
        assert shell(*arguments, "--hub", "west").status == 0
        assert shell(*arguments, "--hub", other_hub.address).status == 0
    assert shell("plan", write(line("d0")), "--hub", "east").status == 10
    configure_two_hubs(app)
    assert "east, west" in shell("export", "-o", "export.txt").err


def test_no_secret_is_shown(app: App, shell: Shell, fleet: list[str]) -> None:
    secrets: list[Any] = list(line("d0")["authentication"]["symmetricKey"].values())
    for command in (("plan", write(*map(line, fleet))), ("export", "--keys", "-o", "export.txt")):
        done = shell(*command)
        shown = done.out + done.err
        assert not any(secret in shown for secret in (*secrets, "sig=", "SharedAccessKey="))


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (error_from_response(401, {}, b""), ["denied access", "IoT Hub Data Contributor"]),
        (HubUnauthorizedError("many\nlines"), ["az login", "IoT Hub Data Contributor"]),
        (error_from_response(503, {"iothub-errorcode": "ServerBusy"}, b""), ["503 ServerBusy"]),
        (error_from_response(429, {}, b""), ["429", "Try again"]),
        (
            error_from_response(400, {"iothub-errorcode": "BlobContainerValidationError"}, b""),
            ["refused", "firewall", "Storage Blob Data Contributor"],
        ),
        (IncompleteReadError("1 of 2 bytes were read."), ["1 of 2 bytes", "Try again"]),
    ],
)
def test_messages(error: Exception, facts: list[str]) -> None:
    with pytest.raises(CommandError) as explained, hub_access.hub_errors("fleet"):
        raise error
    assert explained.value.status == 4
    assert all(fact in str(explained.value) for fact in facts)
    assert "\n" not in str(explained.value)
