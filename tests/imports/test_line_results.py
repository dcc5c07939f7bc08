"""The results of all lines agree with the counts of the record and with the registry."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import Counter

import pytest

from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from shared.imports.operate.line_results import LineResult, Result, results_csv
from tests.app import App, device
from tests.imports.guards import ADA, begin_undo, current, deletion, module, run, undo
from tests.imports.plans import counts, pump, put_pumps
from tests.imports.shared_jobs import NAMES, gather, members, shared_job, start
from tests.imports.test_shared_logs import entry, write_log

BROKEN = {"id": "no id"}
SYSTEM_MODULE = device("edge", moduleId="$edgeAgent")


def rows_of(app: App, record: ImportRecord) -> list[LineResult]:
    """All results, whose sums agree with the record wherever that has counts."""
    _, results = app.importer.reader.results(record.id)
    rows = list(results)
    sums = Counter(row.result for row in rows)
    system_modules = int(record.validation.get("leftOut", 0))
    if record.lines is not None and record.devices is not None:
        assert len(rows) == record.lines + system_modules
    if record.imported is not None and record.devices is not None:
        assert sums[Result.UNKNOWN] == 0
        assert sums[Result.IMPORTED] == record.imported
        assert sums[Result.FAILED] == record.failed
        assert sums[Result.UNCHANGED] == (record.unchanged or 0)
    return rows


def results(app: App, record: ImportRecord) -> list[str]:
    return [row.result.value for row in rows_of(app, record)]


def brief(app: App, record: ImportRecord) -> list[tuple[int | None, str, str]]:
    return [(row.line, row.result.value, row.code) for row in rows_of(app, record)]


class Fleet:
    """Random lines, each with what has to become of it."""

    def __init__(self, app: App, dice: random.Random, *, compares: bool) -> None:
        self._app = app
        self._dice = dice
        self._compares = compares
        self._count = 0

    def line(self) -> tuple[dict[str, object], str]:
        self._count += 1
        name = f"d{self._count}"
        kind = self._dice.choice(
            ["new", "taken", "missing", "same", "changed", "gone", "invalid", "module", "lost"]
        )
        put = self._app.hub.registry.put
        match kind:
            case "taken":
                put(device(name))
                return device(name, importMode="create"), "failed"
            case "missing":
                return device(name, importMode="update"), "failed"
            case "same":
                put(device(name, tags={"site": "a"}))
                result = "unchanged" if self._compares else "imported"
                return device(name, importMode="updateTwin", tags={"site": "a"}), result
            case "changed":
                put(device(name, tags={"site": "a"}))
                return device(name, importMode="updateTwin", tags={"site": "b"}), "imported"
            case "gone":
                put(device(name))
                return device(name, importMode="delete"), "imported"
            case "invalid":
                return {"id": name}, "leftOut"
            case "module":
                put(device(name))
                return device(name, moduleId="m", importMode="create"), "imported"
            case "lost":
                return device(name, moduleId="m", importMode="create"), "failed"
        return device(name), "imported"


@pytest.mark.parametrize("seed", range(4))
def test_random_files(app: App, seed: int) -> None:
    """Each line has the result that it had to have, in every format, whatever else is known."""
    dice = random.Random(seed)
    compares, is_cut = seed % 2 == 0, seed // 2 % 2 == 0
    app.configure(
        APPLY="changes" if compares else "all",
        VALIDATION_POLICY="partial",
        MAX_DELETE_SHARE="1",
        MAX_REPORTED_PROBLEMS="2" if is_cut else "1000",
    )
    fleet = Fleet(app, dice, compares=compares)
    lines = [fleet.line() for _ in range(40)]
    lines.append((lines[0][0], "leftOut"))  # a duplicate
    number, text = 1, []
    expected: list[tuple[int, object, str]] = []
    for line, result in lines:
        if dice.random() < 0.2:
            text.append("")
            number += 1
        expected.append((number, line["id"], result))
        text.append(json.dumps(line))
        number += 1
    data = "\n".join(text).encode()
    name = "a.ndjson.gz" if seed % 2 else "a.ndjson"
    app.upload(name, gzip.compress(data) if seed % 2 else data)
    app.deliver(name)
    app.finish()
    record = app.record(name)
    rows = rows_of(app, record)
    found = {row.line: row for row in rows if row.line is not None}
    assert [row.line for row in rows if row.line] == sorted(found)
    for line_number, device_id, result in expected:
        if line_number not in found:
            # A problem that is not listed.
            assert (is_cut, result) == (True, "leftOut")
            continue
        row = found[line_number]
        assert (row.id, row.result.value) == (device_id, result), row
        if result == "failed":
            assert row.code
            assert row.remedy
        assert bool(row.code) == (result in ("failed", "leftOut"))
    if not is_cut:
        assert len(found) == len(expected)


def test_why_lines_failed_beyond_what_the_report_lists(app: App) -> None:
    app.configure(MAX_REPORTED_PROBLEMS="1", APPLY="changes")
    for number in range(4):
        app.hub.registry.put(device(f"d{number}"))
    lines = [device(f"d{number}", importMode="create") for number in range(4)]
    lines.append(device("x", importMode="update"))
    record = run(app, *lines, device("new"))
    assert counts(record) == ("completedWithErrors", 1, 5, 0)
    exists, missing = "409001 DeviceAlreadyExists", "404001 DeviceNotFound"
    rows = rows_of(app, record)
    assert [row.code for row in rows] == [*[exists] * 4, missing, ""]
    listed = app.report(record)["failures"]["codes"]
    remedies = {item["code"]: item["remedy"] for item in listed}
    assert [row.remedy for row in rows[:5]] == [remedies[row.code] for row in rows[:5]]


def test_invalid_lines_that_are_not_listed_are_counted(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial", MAX_REPORTED_PROBLEMS="1")
    record = run(app, BROKEN, device("a"), {"id": "b"}, b"// between", SYSTEM_MODULE)
    assert brief(app, record) == [
        (1, "leftOut", "id-characters"),
        (2, "imported", ""),
        (None, "leftOut", ""),
        (None, "leftOut", "system-modules"),
    ]


def test_several_problems_of_a_line_are_one_row(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    # A hub reads null as if the property were missing.
    a = device("a", moduleId=None, importMode=None)
    record = run(app, a, BROKEN, b'{"id": "c", "status": "enabled"} // x')
    rows = rows_of(app, record)
    assert [(row.line, row.result) for row in rows] == [
        (1, Result.IMPORTED),
        (2, Result.LEFT_OUT),
        (3, Result.IMPORTED),
    ]
    assert "(and 1 more; see problems.csv)" in rows[1].message


def test_csv_with_rows_of_several_lines(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    table = (
        'id,status,statusReason\na,enabled,"two\nlines"\nb,odd,\nc,enabled,"x\ny\nz"\nd,enabled,\n'
    )
    app.hub.registry.put(device("c"))
    app.configure(CSV_DEFAULT_IMPORT_MODE="create")
    app.upload("a.csv", table.encode())
    app.deliver("a.csv")
    app.finish()
    assert [
        (row.line, row.id, row.result, row.import_mode) for row in rows_of(app, app.record("a.csv"))
    ] == [
        (2, "a", Result.IMPORTED, "create"),
        (4, "b", Result.LEFT_OUT, ""),
        (5, "c", Result.FAILED, "create"),
        (8, "d", Result.IMPORTED, "create"),
    ]


def test_array_on_one_line(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    for name in ("a", "b"):
        app.hub.registry.put(device(name))
    lines = [
        device("a", importMode="create"),
        {"id": "x"},
        device("c"),
        {"id": "y", "status": "on"},
        device("b", importMode="create"),
        {"status": "enabled"},
        device("d", importMode="update"),
    ]
    app.upload("a.json", json.dumps(lines).encode())
    app.deliver("a.json")
    app.finish()
    rows = rows_of(app, app.record("a.json"))
    assert {row.line for row in rows} == {1}
    assert {row.id: row.code for row in rows} == {
        "a": "409001 DeviceAlreadyExists",
        "b": "409001 DeviceAlreadyExists",
        "c": "",
        "d": "404001 DeviceNotFound",
        "x": "status-missing",
        "y": "status-invalid",
        "": "id-missing",
    }


def test_rejected_file(app: App) -> None:
    """Nothing is staged of it: only lines with problems are known."""
    app.upload("a.ndjson", device("a"), BROKEN, {"id": "b"})
    app.deliver("a.ndjson")
    rows = rows_of(app, app.record("a.ndjson"))
    assert [(row.line, row.id, row.result) for row in rows] == [
        (2, "no id", Result.LEFT_OUT),
        (3, "b", Result.LEFT_OUT),
    ]
    app.upload("b.ndjson", *(device(f"d{n}", importMode="delete") for n in range(200)))
    app.deliver("b.ndjson")
    [row] = rows_of(app, app.record("b.ndjson"))
    assert (row.line, row.code) == (None, "too-many-deletes")


def test_shared_job(app: App) -> None:
    """Each file has the entries of its own lines, in another letter case, too."""
    app.configure(MAX_REPORTED_PROBLEMS="1")
    gather(
        app,
        {
            NAMES[0]: [device("Pump-A"), device("Pump-B")],
            NAMES[1]: [device("b-1"), device("b-1", moduleId="meter")],
            NAMES[2]: [device("gateway", moduleId="meter", importMode="update")],
        },
    )
    start(app)
    container = app.blobs.get_container_client(shared_job(app).staged.container)
    app.hub.wait_idle()
    entries = [entry(name) for name in ("PUMP-A", "pump-b", "GATEWAY")]
    write_log(container, *entries, entry("b-1", moduleId="meter", errorCode="409301"))
    app.finish()
    first, second, third = members(app)
    assert [row.id for row in rows_of(app, first)] == ["Pump-A", "Pump-B"]
    assert results(app, first) == ["failed", "failed"]
    assert all(row.message == "No." for row in rows_of(app, first))
    assert results(app, second) == ["imported", "failed"]
    assert results(app, third) == ["failed"]
    # Without the log, what the report lists is still known.
    container.delete_container()
    assert [row.code for row in rows_of(app, first)] == ["1", ""]


def test_log_with_entries_of_nobody(app: App) -> None:
    gather(app, {"a.ndjson": [device("a"), device("b")], "b.ndjson": [device("c")]})
    start(app)
    container = app.blobs.get_container_client(shared_job(app).staged.container)
    app.hub.wait_idle()
    write_log(container, entry("nobody"), entry("a"))
    app.finish()
    assert results(app, app.record("a.ndjson")) == ["failed", "unknown"]
    assert results(app, app.record("b.ndjson")) == ["unknown"]


def test_log_that_names_the_device_of_several_modules(app: App) -> None:
    """Which of them failed is not known."""
    app.hub.registry.put(device("gateway"))
    app.upload("a.ndjson", *(device("gateway", moduleId=name) for name in "ab"), device("c"))
    app.deliver("a.ndjson")
    app.hub.wait_idle()
    write_log(app.container_of(app.record("a.ndjson")), entry("gateway"), entry("c"))
    app.finish()
    record = app.record("a.ndjson")
    assert record.has_unknown_counts
    assert results(app, record) == ["unknown", "unknown", "failed"]


@pytest.mark.parametrize("fault", ["hangJob", "failJob"])
def test_job_that_did_not_complete(app: App, fault: str) -> None:
    app.hub.faults.add(fault)
    app.upload("a.ndjson", device("a"), device("b"))
    app.deliver("a.ndjson")
    with pytest.raises(NotPossibleError, match="once it has ended"):
        app.importer.reader.results(app.record("a.ndjson").id)
    app.importer.actions.cancel(app.record("a.ndjson"))
    app.tick()
    app.finish()
    record = app.record("a.ndjson")
    assert record.has_unknown_counts
    assert results(app, record) == ["unknown", "unknown"]


def test_cancelled_before_its_job(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    app.hub.occupy_slot()
    app.upload("a.ndjson", device("a"), BROKEN, device("b"))
    app.deliver("a.ndjson")
    record = app.importer.actions.cancel(app.record("a.ndjson"))
    rows = rows_of(app, record)
    assert [row.result for row in rows] == [Result.LEFT_OUT] * 3
    assert (rows[0].message, rows[0].remedy) == (
        "not sent: the import is cancelled",
        "retry the import",
    )
    assert rows[1].code == "id-characters"


def test_planned_and_cancelled_while_held(guarding: App) -> None:
    """Nothing was sent, so nothing failed, either."""
    guarding.configure(APPLY="changes", APPROVAL="always")
    guarding.upload("a.ndjson", pump(1), pump(2, "b"), device("x", importMode="update"))
    guarding.deliver("a.ndjson")
    for _ in range(3):
        guarding.hub.wait_idle()
        guarding.tick()
    record = guarding.record("a.ndjson")
    assert record.state == "held"
    record = guarding.importer.approvals.decline(record, "", ADA)
    assert results(guarding, record) == ["unchanged", "leftOut", "leftOut"]


def test_undo_with_what_others_changed(keeping: App) -> None:
    keeping.hub.registry.put(module(3, tags={"x": 1}))
    record = run(keeping, deletion(3), pump(1, "b"), pump(2, "b"), device("new-1"))
    assert results(keeping, record) == ["imported"] * 4
    keeping.hub.registry.put(pump(2, "theirs"))
    undone = undo(keeping, record)
    rows = rows_of(keeping, undone)
    assert Counter(row.result.value for row in rows) == {"imported": 4, "leftOut": 1}
    [left] = [row for row in rows if row.result is Result.LEFT_OUT]
    assert left.id == "pump-2"
    assert left.message == "somebody changed the device after the import that is undone"
    again = undo(keeping, record, also_changed=True)
    assert Counter(results(keeping, again)) == {"unchanged": 4, "imported": 1}


def test_undo_whose_jobs_both_have_failures(keeping: App) -> None:
    keeping.hub.registry.put(module(3, tags={"x": 1}))
    record = run(keeping, deletion(3), pump(1, "b"))
    new = begin_undo(keeping, record)
    changed: set[str] = set()

    def change(request: str) -> None:
        if "/planned-" in request and "first" not in changed:
            changed.add("first")
            keeping.hub.registry.put(pump(1, "theirs"))
        if f"{new.id}-modules/" in request and "second" not in changed:
            changed.add("second")
            keeping.hub.registry.put(module(3, tags={"x": "theirs"}))

    keeping.after_request = change
    keeping.finish()
    undone = current(keeping, new)
    assert counts(undone) == ("completedWithErrors", 1, 2, 0)
    rows = {(row.id, row.module_id): row for row in rows_of(keeping, undone)}
    assert rows["pump-3", ""].result is Result.IMPORTED
    for failed in (rows["pump-1", ""], rows["pump-3", "m1"]):
        assert failed.result is Result.FAILED
        assert "undo the import again" in failed.remedy


def test_retry_has_the_lines_of_the_upload(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    app.hub.registry.put(device("b"))
    record = run(app, BROKEN, device("a"), device("b", importMode="create"))
    app.importer.actions.retry(record, ADA)
    app.finish()
    [again] = [item for item in app.records() if item.retry_of]
    assert brief(app, again) == [(3, "failed", "409001 DeviceAlreadyExists")]


def test_staged_file_that_was_edited_or_deleted(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    record = run(app, BROKEN, device("a"), device("b"))
    container = app.container_of(record)
    container.upload_blob("devices.txt", b'{"id":"x"}\n{"id":"y"}\n', overwrite=True)
    _, edited = app.importer.reader.results(record.id)
    rows = list(edited)
    assert [(row.line, row.id, row.result.value) for row in rows] == [
        (1, "no id", "leftOut"),
        (2, "", "unknown"),
        (3, "", "unknown"),
    ]
    container.delete_blob("devices.txt")
    assert list(app.importer.reader.results(record.id)[1]) == rows
    container.delete_container()
    with pytest.raises(NotPossibleError, match="IMPORT_RETENTION_DAYS"):
        app.importer.reader.results(record.id)


@pytest.mark.parametrize("file", ["retry", "plan", "cut", "lines.bin", "report"])
def test_files_that_do_not_fit_together(app: App, file: str) -> None:
    app.configure(APPLY="changes")
    put_pumps(app, 3)
    record = run(
        *(app, device("new"), b"", pump(1), device("x", importMode="update"), pump(2, "b"))
    )
    assert counts(record) == ("completedWithErrors", 2, 1, 1)
    container = app.container_of(record)

    def name(path: str) -> str:
        return path.rpartition("/")[2]

    plan = container.download_blob(name(record.plan.rows)).readall()
    content = {
        "retry": (name(record.retry), b'{"id":"other"}\n'),
        "plan": (name(record.plan.rows), plan.replace(b"unchanged", b"update")),
        "cut": (name(record.plan.rows), plan[: plan.index(b"\n2") if b"\n2" in plan else 90]),
        "lines.bin": ("lines.bin", b"?"),
        "report": (name(record.report), b"[]"),
    }[file]
    container.upload_blob(*content, overwrite=True)
    if file == "report":
        # The plan's own file has the code, too.
        assert [row.code for row in rows_of(app, record)] == ["", "", "404001 DeviceNotFound", ""]
        return
    with pytest.raises(NotPossibleError, match="edited or deleted"):
        rows_of(app, record)


def test_a_missing_device_that_the_line_creates(app: App) -> None:
    """The hub's log is wrong, so its usual remedy is, too."""
    app.hub.faults.add("blameDevices")
    app.hub.registry.put(device("a"))
    app.upload("a.ndjson", device("a"), device("b", importMode="update"))
    app.deliver("a.ndjson")
    app.finish()
    rows = {row.id: row for row in rows_of(app, app.record("a.ndjson"))}
    assert {row.code for row in rows.values()} == {"404001 DeviceNotFound"}
    assert rows["a"].remedy.startswith("the hub's log may be wrong: compare the device")
    assert rows["b"].remedy.startswith("create the device first")


def test_table_is_safe_for_spreadsheets(app: App) -> None:
    rows = [
        LineResult(1, "=1+1", "-m", "", Result.FAILED, "x", "@a\nb", "+c"),
        LineResult(None, "a,b", "", "", Result.UNKNOWN),
    ]
    text = b"".join(results_csv(rows)).decode()
    assert [*csv.reader(io.StringIO(text, newline=""))] == [
        ["line", "id", "moduleId", "importMode", "result", "code", "message", "remedy"],
        ["1", "'=1+1", "'-m", "", "failed", "x", "'@a\nb", "'+c"],
        ["", "a,b", "", "", "unknown", "", "", ""],
    ]
