"""`find` says which imports touched a device, and what is not known."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from shared.imports.model.record import ImportRecord
from shared.imports.operate.device_search import DeviceSearch
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.operate.line_results import LineResult
from tests.app import App, device
from tests.cli.conftest import Shell, configure_two_hubs
from tests.imports.plans import pump
from tests.web.guarded import back_up

NAME = "pump-17"


def send(app: App, name: str, *lines: object) -> None:
    """Run an import to its end."""
    app.upload(name, *lines)
    app.deliver(name)
    app.finish()


def found(answer: dict[str, Any]) -> list[tuple[str, list[tuple[int | None, str, str]]]]:
    """Files with the lines of the device, their results and codes."""
    return [
        (item["file"], [(row["line"], row["result"], row["code"]) for row in item["lines"]])
        for item in answer["imports"]
    ]


def test_why_a_device_is_not_in_the_hub(app: App, shell: Shell) -> None:
    send(app, "1-created.ndjson", device("other"), device(NAME))
    send(app, "2-again.ndjson", device(NAME, importMode="create"))
    send(app, "3-others.ndjson", device("pump-170"), device("a", tags={"near": NAME}))
    send(app, "4-deleted.ndjson", device("x"), b"", device(NAME, importMode="delete"))
    send(app, "5-rejected.ndjson", device("y"), {"id": NAME, "status": "on"})
    send(app, "6-beside.csv", b"id,status\npump-17,enabled\nz,on\n")
    app.hub.occupy_slot()
    app.upload("7-waiting.ndjson", device("b"), device("PUMP-17"))
    app.deliver("7-waiting.ndjson")
    done = shell("find", NAME)
    assert done.status == 0
    text = done.out
    times = [line.split("  ")[0] for line in text.splitlines() if line.startswith("20")]
    assert times == sorted(times, reverse=True)
    for expected in (
        "  line 2: PUMP-17 (another letter case), createOrUpdate: waiting\n",
        "  line 2: pump-17, createOrUpdate: leftOut\n    not sent: the import is rejected\n"
        "  reason: 1 of 2 lines breaks a rule: line 3: ",
        "createOrUpdate: waiting\n  reason: Waiting: another import or export job",
        "  line 2: pump-17: leftOut (status-invalid)\n    status must be enabled or disabled",
        "  line 3: pump-17, delete: deleted\n",
        "  line 1: pump-17, create: failed (409001 DeviceAlreadyExists)\n    ",
        "  line 2: pump-17, createOrUpdate: imported\n",
        f"  device-importer show {app.record('4-deleted.ndjson').id}\n",
        "\npump-17 is in 6 of 7 searched imports, uploaded since ",
        f"\nAt the hub {app.hub.address} now: pump-17 not registered\n",
        f"\nAt the hub {app.hub.address} now: PUMP-17 not registered\n",
    ):
        assert expected in text, text
    assert "Not searched" not in text
    [answer] = shell.json("find", NAME)
    # Of uploads within a second, any may be the first.
    assert sorted(found(answer)) == [
        ("1-created.ndjson", [(2, "imported", "")]),
        ("2-again.ndjson", [(1, "failed", "409001 DeviceAlreadyExists")]),
        ("4-deleted.ndjson", [(3, "imported", "")]),
        ("5-rejected.ndjson", [(2, "leftOut", "status-invalid")]),
        ("6-beside.csv", [(2, "leftOut", "")]),
        ("7-waiting.ndjson", [(2, "waiting", "")]),
    ]
    assert (answer["searched"], answer["hasMore"], answer["notSearched"]) == (7, False, [])
    known = {"hub": app.hub.address, "registered": False, "status": "", "error": ""}
    assert answer["atHubs"] == [
        {**known, "device": name, "module": ""} for name in (NAME, "PUMP-17")
    ]


def test_modules(app: App, shell: Shell) -> None:
    app.configure(VALIDATION_POLICY="partial")
    send(
        app,
        "a.ndjson",
        device(NAME),
        device(NAME, moduleId="meter"),
        device(NAME, moduleId="valve"),
        {"id": NAME, "moduleId": "odd", "status": "on"},
    )
    done = shell("find", NAME)
    assert f"  line 2: {NAME}/meter, createOrUpdate: imported\n" in done.out
    assert f"  line 4: {NAME}: leftOut (status-invalid)\n" in done.out
    assert f"At the hub {app.hub.address} now: registered, enabled\n" in done.out
    [answer] = shell.json("find", NAME, "--module", "METER")
    assert "now: not registered\n" in shell("find", "none", "--module", "m").out
    # Which module an invalid line was about is not kept.
    assert found(answer) == [("a.ndjson", [(2, "imported", ""), (4, "leftOut", "status-invalid")])]


def test_a_device_of_no_import(app: App, shell: Shell) -> None:
    app.hub.registry.put(device(NAME))
    send(app, "a.ndjson", device("a"))
    done = shell("find", NAME, "--since", "2020-01-01")
    assert done.status == 3
    assert done.out.startswith(
        f"{NAME} is in none of 1 searched imports, uploaded since 2020-01-01"
    )
    assert done.out.endswith("now: registered, enabled\n")
    assert shell.json("find", NAME)[0]["imports"] == []
    assert shell("find", "").status == 2
    assert shell("find", "a/../b", "--hub", "nobody").status == 2
    assert "At the hub" not in shell("find", "..").out


def test_what_could_not_be_searched_is_said(app: App, shell: Shell) -> None:
    app.configure(VALIDATION_POLICY="partial", MAX_REPORTED_PROBLEMS="1")
    send(app, "1-deleted.ndjson", device(NAME))
    app.container_of(app.record("1-deleted.ndjson")).delete_container()
    send(app, "2-replaced.ndjson", device(NAME))
    container = app.container_of(app.record("2-replaced.ndjson"))
    container.upload_blob("devices.txt", b"{}\n", overwrite=True)
    send(app, "3-more.ndjson", device("a"), {"id": "b"}, {"id": NAME})
    app.configure(VALIDATION_POLICY="reject", MAX_REPORTED_PROBLEMS="1000")
    send(app, "4-gone.ndjson", device(NAME), {"id": "b"})
    app.upload("4-gone.ndjson", device("c"))
    send(app, "5-listed.ndjson", {"id": NAME})
    app.upload("5-listed.ndjson", device("c"))
    done = shell("find", NAME)
    assert done.status == 0
    assert "5-listed.ndjson" in done.out
    assert "Not searched, so it may be in them: 4\n" in done.out
    [answer] = shell.json("find", NAME)
    assert found(answer) == [("5-listed.ndjson", [(1, "leftOut", "status-missing")])]
    assert {item["file"]: item["reason"] for item in answer["notSearched"]} == {
        "1-deleted.ndjson": "its files were deleted (IMPORT_RETENTION_DAYS) or edited",
        "2-replaced.ndjson": "its files were deleted (IMPORT_RETENTION_DAYS) or edited",
        "3-more.ndjson": "not all of its invalid lines are listed (MAX_REPORTED_PROBLEMS)",
        "4-gone.ndjson": "its lines are not kept, and its upload was overwritten or deleted",
    }


def test_limit(app: App, shell: Shell) -> None:
    for number in range(3):
        send(app, f"{number}.ndjson", device("a"))
    done = shell("find", NAME, "--limit", "2")
    assert done.status == 3
    assert "is in none of 2 searched imports" in done.out
    assert "Older imports were not searched: use --limit 20.\n" in done.out
    assert "Older" not in shell("find", NAME, "--limit", "3").out


def test_files_with_a_footprint_are_not_read(app: App) -> None:
    app.hub.occupy_slot()
    for name in ("a", "b", "c"):
        app.upload(f"{name}.ndjson", device(name))
        app.deliver(f"{name}.ndjson")
    services = app.importer.services
    records = app.importer.reader.page(ImportFilter(), 10).imports
    services.known_hubs.guarded()
    search = DeviceSearch(services, "B")
    with app.counting() as requests:
        excluded = search.excluded(records)
    assert excluded == {record.id for record in records if record.file != "b.ndjson"}
    assert len(requests) == 1


def test_a_failed_job_and_what_to_do(app: App, shell: Shell) -> None:
    app.hub.faults.add("failJob", reason="the disk is full")
    send(app, "a.ndjson", device(NAME))
    record = app.record("a.ndjson")
    done = shell("find", NAME)
    for expected in (
        f"  line 1: {NAME}, createOrUpdate: unknown\n    the hub may have imported the line\n",
        "  reason: The hub failed the job: the disk is full. ",
        f"  to retry it: device-importer retry {record.id}\n",
    ):
        assert expected in done.out, done.out
    # The hub was asked.
    assert "compare the device" not in done.out


def test_an_import_that_was_retried(app: App, shell: Shell) -> None:
    """It can be retried once, which is not advised again: here, and in results.csv."""
    app.hub.occupy_slot()
    app.upload("a.ndjson", device(NAME))
    app.deliver("a.ndjson")
    old = app.record("a.ndjson")
    app.importer.actions.cancel(old)
    assert "; retry the import\n" in shell("find", NAME).out
    retry = app.importer.actions.retry(app.importer.reader.get(old.id))
    app.importer.actions.cancel(retry)
    done = shell("find", NAME, "--format", "json")
    [answer] = [json.loads(line) for line in done.out.splitlines()]
    by_id = {item["id"]: item for item in answer["imports"]}
    assert by_id[old.id]["lines"][0]["remedy"] == f"see its retry, import {retry.id}"
    assert (by_id[old.id]["retriedAs"], by_id[retry.id]["retryOf"]) == (retry.id, old.id)
    assert by_id[retry.id]["lines"][0]["remedy"] == "retry the import"
    text = shell("find", NAME).out
    assert f"  retried: device-importer show {retry.id}\n" in text
    assert f"device-importer retry {old.id}" not in text
    assert f"  to retry it: device-importer retry {retry.id}\n" in text


def test_a_deletion_can_be_undone(app: App, shell: Shell) -> None:
    record = back_up(app, pump(0, "b", importMode="delete"))
    done = shell("find", "pump-0")
    assert ", delete: deleted\n  to undo it, until 2" in done.out
    assert f": device-importer undo {record.id} --plan\n" in done.out
    app.importer.actions.undo(record, deletes=0)
    app.finish()
    [undo] = [other for other in app.records() if other.undo_of]
    done = shell("find", "pump-0")
    assert f"  undone: device-importer show {undo.id}\n" in done.out
    assert "  undo of pumps.ndjson  completed\n" in done.out


def test_hub_is_asked_for_the_ids_of_the_files(app: App, shell: Shell) -> None:
    """A hub distinguishes letter case and leading zeros, which files have wrong by mistake."""
    send(app, "a.csv", b"id,status\n0042,enabled\nPUMP-17,enabled\n420,enabled\n")
    hub = f"\nAt the hub {app.hub.address} now: "
    done = shell("find", NAME)
    assert "PUMP-17 (another letter case), createOrUpdate: imported" in done.out
    assert f"{hub}pump-17 not registered{hub}PUMP-17 registered, enabled\n" in done.out
    done = shell("find", "42")
    assert "  line 2: 0042 (other leading zeros), createOrUpdate: imported" in done.out
    assert f"{hub}42 not registered{hub}0042 registered, enabled\n" in done.out
    assert "At the hub" in shell("find", "00420").out


def test_hub_that_cannot_be_asked(app: App, shell: Shell) -> None:
    """The rest is shown."""
    send(app, "a.ndjson", device(NAME))
    app.hub.faults.add("error", operation="registry", status=500)
    done = shell("find", NAME)
    assert done.status == 0
    assert "line 1: pump-17, createOrUpdate: imported" in done.out
    assert " now: unknown. The hub " in done.out


def test_other_hubs_are_not_searched(app: App, shell: Shell) -> None:
    configure_two_hubs(app)
    app.upload("north/a.ndjson", device(NAME))
    app.deliver("north/a.ndjson")
    done = shell("find", NAME, "--hub", "(none)")
    assert done.status == 0
    assert "the import is rejected\n  reason: The first folder of 'north/a.ndjson'" in done.out
    assert "At the hub" not in done.out


@pytest.mark.parametrize("width", [40, 80])
def test_narrow_terminal(
    app: App, shell: Shell, terminal: None, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    send(app, "east/fleet-of-november.ndjson", device("y"), {"id": NAME, "status": "on"})
    lines = re.sub("\x1b\\[[0-9;]*m", "", shell("find", NAME).out).splitlines()
    assert max(map(len, lines)) <= width


def test_interrupted_search_shows_what_was_found(
    app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.ndjson", "2.ndjson"):
        send(app, name, device(NAME))
    read, searched = DeviceSearch.lines_of, list[str]()

    def interrupt(self: DeviceSearch, record: ImportRecord) -> list[LineResult]:
        if searched:
            raise KeyboardInterrupt
        searched.append(record.file)
        return read(self, record)

    monkeypatch.setattr(DeviceSearch, "lines_of", interrupt)
    done = shell("find", NAME)
    assert done.status == 130
    assert searched[0] in done.out
    assert "is in 1 of 1 searched imports" in done.out
    assert "Older imports" not in done.out
    assert done.err.endswith("Interrupted: not all imports were searched.\n")


def test_keys_are_never_shown(app: App, shell: Shell) -> None:
    key = "b3RoZXIga2V5IG9mIGFub3RoZXIgbGluZQ=="
    keys = {"type": "sas", "symmetricKey": {"primaryKey": key, "secondaryKey": key}}
    send(app, "a.ndjson", device(NAME, authentication=keys, importMode="update"))
    for arguments in ((), ("--format", "json")):
        assert key not in shell("find", NAME, *arguments).out


def test_a_rejected_file_is_read_with_its_mapping(app: App, shell: Shell) -> None:
    mapping = {"columns": {"Serial": "id"}, "defaults": {"status": "enabled"}}
    app.upload("maker/_mapping.json", json.dumps(mapping).encode())
    app.deliver("maker/_mapping.json")
    app.upload("maker/pumps.csv", b"Serial\npump-17\npump 18!\n")
    app.deliver("maker/pumps.csv")
    assert app.record("maker/pumps.csv").state == "rejected"
    done = shell("find", " pump-17\t")
    assert "line 2" in done.out
    assert "not sent: the import is rejected" in done.out


def test_an_upload_that_cannot_be_read_hides_no_other(app: App, shell: Shell) -> None:
    send(app, "a.ndjson", device(NAME))
    # Storage replaces the backslash; clients resolve such a name to another path.
    app.upload("..\\b.ndjson", device("b"))
    app.sweep()
    done = shell("find", NAME)
    assert (done.status, "line 1: pump-17, createOrUpdate: imported" in done.out) == (0, True)
    assert "Not searched, so it may be in them: 1\n" in done.out
    assert "its upload cannot be read: " in done.out
