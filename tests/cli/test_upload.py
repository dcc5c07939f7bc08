"""`upload`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError

from cli import upload
from cli.output import Output
from shared.imports.model.safeguards import Actor
from shared.imports.store.tickets import UploadTickets
from tests.app import App, device
from tests.cli.conftest import Shell, configure_two_hubs, meanwhile
from tests.records import import_record

CA = {"authentication": {"type": "certificateAuthority"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "fleet.ndjson", device("a", **CA), device("b", **CA))


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_the_id_of_the_import_is_shown(app: App, shell: Shell, file: Path) -> None:
    done = shell("upload", file)
    app.deliver("fleet.ndjson")
    record = app.record("fleet.ndjson")
    size = file.stat().st_size
    assert (done.status, done.out) == (0, f"{record.id}  fleet.ndjson  uploaded, {size} bytes\n")
    assert done.err.endswith(f"device-importer show {record.id}\n")
    blob = app.blobs.get_blob_client(app.container, "fleet.ndjson")
    assert blob.download_blob().readall() == file.read_bytes()


def test_json(app: App, shell: Shell, file: Path) -> None:
    [uploaded] = shell.json("upload", file, "--name", "north/x.ndjson")
    app.deliver("north/x.ndjson")
    record = app.record("north/x.ndjson")
    assert uploaded == {"id": record.id, "file": "north/x.ndjson", "hub": record.hub}


def test_watch(app: App, shell: Shell, file: Path) -> None:
    def work() -> None:
        blob = app.blobs.get_blob_client(app.container, "fleet.ndjson")
        while not blob.exists():
            pass
        app.deliver("fleet.ndjson")
        app.finish()

    with meanwhile(work):
        done = shell("upload", file, "--watch", "--interval", "0.2")
    assert done.status == 0
    assert "2 imported" in done.out.splitlines()[-1]
    app.hub.faults.add("failJob", reason="the disk is full")

    def upload_twice() -> None:
        records = app.records()
        while len(app.records()) == len(records):
            app.deliver("fleet.ndjson")
        app.finish()

    with meanwhile(upload_twice):
        done = shell(
            *("upload", file, "--overwrite", "--watch", "--interval", "0.2", "--format", "json")
        )
    assert done.status == 1
    assert [item["state"] for item in done.objects] == ["failed"]


def test_a_rejected_file_is_not_uploaded(
    app: App, shell: Shell, file: Path, tmp_path: Path
) -> None:
    bad = write(tmp_path / "bad.ndjson", device("a", **CA), {"id": "b", **CA})
    done = shell("upload", file, bad)
    assert done.status == 1
    assert done.out.startswith(f"{bad}\n  error status-missing\n")
    assert f"\n{bad}: 1 of 2 lines valid, 1 error; would be rejected" in done.out
    assert "    line 2 (b, status): " in done.out
    assert done.err == "error: Nothing was uploaded.\n"
    assert list(app.blobs.get_container_client(app.container).list_blob_names()) == []
    [rejection] = shell.json("upload", bad)
    assert (rejection["importable"], rejection["problems"][0]["line"]) == (False, 2)
    # The app comes to the same result.
    assert shell("upload", bad, "--no-check").status == 0
    app.deliver("bad.ndjson")
    assert app.record("bad.ndjson").state == "rejected"


def test_problems_have_the_properties_of_check(app: App, shell: Shell, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.ndjson", device("a b", **CA), {"id": "b"}, device("c"))
    [rejection] = shell.json("upload", bad)
    *problems, summary = shell.json("check", bad)
    assert rejection["problems"] == problems
    assert (
        {problem["file"] for problem in problems}
        == {rejection["file"]}
        == {summary["file"]}
        == {str(bad)}
    )
    members = ["file", "line", "id", "field", "severity", "code", "message", "remedy"]
    assert all([*problem] == members for problem in rejection["problems"])
    assert len({problem["severity"] for problem in problems}) == 2
    # These two apply only to a single line.
    assert {*summary} - {*rejection} == {"summary", "policy"}


@pytest.mark.parametrize("count", ["-1", "1.5", "nan", "10000001"])
def test_an_invalid_number_of_deletes(shell: Shell, file: Path, count: str) -> None:
    done = shell("upload", file, f"--confirm-deletes={count}")
    assert (done.status, done.out) == (2, "")
    assert "argument --confirm-deletes: must be a whole number from 0 to 10000000, not" in done.err


def test_limits_of_the_settings(app: App, shell: Shell, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.ndjson", device("a", **CA), {"id": "b"})
    app.configure(VALIDATION_POLICY="partial")
    done = shell("upload", bad)
    assert done.status == 0
    assert "VALIDATION_POLICY" in done.err
    deletes = write(tmp_path / "del.ndjson", device("a", importMode="delete", **CA))
    app.configure(MAX_DELETES="0")
    assert shell("upload", deletes).status == 1
    assert shell("upload", deletes, "--confirm-deletes", "1").status == 0
    app.deliver("del.ndjson")
    # Queued, not running, if bad.ndjson was uploaded one second earlier and is first in the queue.
    assert app.record("del.ndjson").state in ("queued", "running")


def test_an_existing_blob(app: App, shell: Shell, file: Path) -> None:
    assert shell("upload", file).status == 0
    done = shell("upload", file)
    assert (done.status, done.out) == (3, "")
    assert "'fleet.ndjson' already exists" in done.err
    assert "--overwrite" in done.err
    app.deliver("fleet.ndjson")
    assert f"{app.record('fleet.ndjson').id} is running" in shell("upload", file).err
    assert shell("upload", file, "--overwrite").status == 0


@pytest.mark.parametrize("size", [4, 1024])
def test_a_concurrent_upload(
    app: App, shell: Shell, file: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", size)
    monkeypatch.setattr("cli.upload._properties", lambda _: None)
    app.upload("fleet.ndjson", device("x"))
    done = shell("upload", file)
    assert done.status == 3
    assert "'fleet.ndjson'" in done.err
    assert "--overwrite" in done.err


def test_blocks(
    app: App, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: None
) -> None:
    large = write(tmp_path / "l.ndjson", *(device(f"d{number}", **CA) for number in range(100)))
    monkeypatch.setattr(upload, "CHUNK_BYTES", 700)
    done = shell("upload", large, "--confirm-deletes", "7")
    assert done.status == 0
    assert "uploading l.ndjson" in done.err
    blob = app.blobs.get_blob_client(app.container, "l.ndjson")
    assert blob.download_blob().readall() == large.read_bytes()
    metadata = blob.get_blob_properties().metadata
    assert (metadata["confirmDeletes"], {*metadata}) == ("7", {"confirmDeletes", "uploadticket"})
    app.deliver("l.ndjson")
    assert app.record("l.ndjson").id in done.out


def test_the_import_shows_who_uploaded_the_file(
    app: App, shell: Shell, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Actor("ada@example.com", "11111111-2222-3333-4444-555555555555", "command line")
    monkeypatch.setattr(upload, "caller", lambda _: ada)
    assert shell("upload", file).status == 0
    app.deliver("fleet.ndjson")
    assert [(act.name, act.who, act.id) for act in app.record("fleet.ndjson").acts] == [
        ("upload", ada.who, ada.id)
    ]


def test_an_uploader_without_access_to_the_table(
    app: App, shell: Shell, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HttpResponseError("AuthorizationPermissionMismatch")

    monkeypatch.setattr(UploadTickets, "issue", refuse)
    done = shell("upload", file)
    assert done.status == 0
    assert "will not show who uploaded it" in done.err
    app.deliver("fleet.ndjson")
    assert app.record("fleet.ndjson").acts == ()


def test_order_of_several_files(app: App, shell: Shell, file: Path, tmp_path: Path) -> None:
    second = write(tmp_path / "second.ndjson", device("c", **CA))
    done = shell("upload", file, second)
    assert "2 files, one per second: " in done.err
    assert done.err.endswith("device-importer list\n")
    for name in ("second.ndjson", "fleet.ndjson"):
        app.deliver(name)
    assert [record.file for record in app.records()] == ["second.ndjson", "fleet.ndjson"]


@pytest.mark.parametrize(("etag", "seconds"), [("0x8D4BCC2E4835CD0", 0.1), ("0x8D4BCC2E4835CD", 1)])
def test_no_second_is_waited_where_etags_tell_the_order(
    monkeypatch: pytest.MonkeyPatch, etag: str, seconds: float
) -> None:
    at = datetime(2017, 6, 26, 18, 41, tzinfo=UTC)
    last = import_record("hub", "a.ndjson", etag, at)
    waited: list[float] = []
    monkeypatch.setattr("cli.upload.time.sleep", waited.append)
    upload._wait_for_order([last], {}, Output("text"))
    assert waited == [seconds]


@pytest.mark.parametrize("check", [[], ["--no-check"]])
def test_a_missing_file_is_noticed_before_anything_else(
    app: App, shell: Shell, file: Path, tmp_path: Path, check: list[str]
) -> None:
    app.upload("_mapping.json", '{"defaults": {"status": "enabled"}}')
    done = shell("upload", file, tmp_path / "missing.ndjson", *check)
    assert (done.status != 0, done.out) == (True, "")
    assert "checked with" not in done.err
    assert "missing.ndjson" in done.err
    names = list(app.blobs.get_container_client(app.container).list_blob_names())
    assert names == ["_mapping.json"]


def test_several_hubs(app: App, shell: Shell, file: Path) -> None:
    configure_two_hubs(app)
    done = shell("upload", file)
    assert done.status == 2
    assert "--hub with one of: east, west." in done.err
    done = shell("upload", file, "--hub", "north")
    assert done.status == 2
    assert "'north'" in done.err
    assert "--hub with one of: east, west." in done.err
    for hub in ("west", "fleet-2"):
        [uploaded] = shell.json("upload", file, "--hub", hub, "--overwrite")
        assert (uploaded["file"], uploaded["hub"]) == ("west/fleet.ndjson", "fleet-2")
    [uploaded] = shell.json("upload", file, "--name", "east/x.ndjson")
    assert uploaded["hub"] == "fleet-1"


def test_wrong_usage(app: App, shell: Shell, file: Path, tmp_path: Path) -> None:
    assert shell("upload", file, file, "--name", "x").status == 2
    done = shell("upload", file, file)
    assert done.status == 2
    assert "--name" in done.err
    done = shell("upload", tmp_path / "missing.ndjson")
    assert (done.status, done.err.endswith("missing.ndjson: No such file or directory\n")) == (
        2,
        True,
    )
    assert shell("upload", tmp_path).status == 2
    [hub] = app.importer.services.hubs
    [uploaded] = shell.json("upload", file, "--hub", hub)
    assert uploaded["file"] == "fleet.ndjson"


@pytest.mark.parametrize("flag", [[], ["--overwrite"]])
def test_a_missing_upload_container(app: App, shell: Shell, file: Path, flag: list[str]) -> None:
    app.configure(UPLOAD_CONTAINER="not-there")
    done = shell("upload", file, *flag)
    assert done.status == 3
    assert "'not-there'" in done.err
    assert "UPLOAD_CONTAINER" in done.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/../b", "a folder named . or .."),
        ("a\\..\\b", "a folder named . or .."),
        ("a\\b", "a backslash"),
        ("a\nb", "control characters"),
        ("x" * 1025, "more than 1,024 characters"),
        ("a/../", "a folder named . or .."),
    ],
)
def test_impossible_names(app: App, shell: Shell, file: Path, name: str, reason: str) -> None:
    done = shell("upload", file, "--name", name)
    assert (done.status, done.out) == (2, "")
    assert reason in done.err
    assert list(app.blobs.get_container_client(app.container).list_blobs()) == []


def test_options_instead_of_metadata(app: App, shell: Shell, tmp_path: Path) -> None:
    lines = ({"id": f"d{n}", "importMode": "delete", "status": "enabled"} for n in range(101))
    file = write(tmp_path / "deletes.ndjson", *lines)
    for command in ("check", "upload"):
        out = shell(command, file).out
        assert "use --confirm-deletes 101" in out
        assert "confirmDeletes" not in out
        assert "the file: " not in out
    assert shell("upload", file, "--confirm-deletes", "101").status == 0
