"""Plans for people and programs: counts, the first changes, and no secrets."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from shared.imports.operate.plan_report import MAX_BYTES
from shared.plan.file_devices import FileDevices
from shared.plan.planner import plan_file
from shared.plan.report import CSV_HEADER, PlanReport, csv_line, summary_line
from shared.plan.snapshot import Snapshot
from tests.plan.outcome import AS_OF
from tests.plan.test_planner import KEY, OTHER_KEY, OTHER_PRINT, Line, entry, line, sas, signed


def report_of(lines: list[Line], *entries: Line, **options: Any) -> tuple[PlanReport, str]:
    texts = [json.dumps(line).encode() for line in lines]
    devices = FileDevices(texts)
    with Snapshot(AS_OF, has_keys=True) as snapshot:
        export = [json.dumps(entry).encode() for entry in entries]
        snapshot.read_export(export, devices.__contains__)
        report = PlanReport(snapshot, source="export", **options)
        table = [CSV_HEADER]
        for one in plan_file(texts, devices, snapshot):
            report.add(one, one.number + 10)
            table.append(csv_line(one.number + 10, one.planned))
        return report, "".join(table)


LINES = [
    line(id="new"),
    line(id="same"),
    line(id="keys", authentication=sas(OTHER_KEY), tags={"site": "north"}),
    line(id="print", authentication=signed(OTHER_PRINT), status="disabled"),
    line(id="gone", importMode="delete"),
    line(id="absent", importMode="update"),
]
ENTRIES = [
    entry(id="same"),
    entry(id="keys", tags={"site": "south"}),
    entry(id="print", authentication=signed()),
    entry(id="gone"),
    entry(id="gone", moduleId="m"),
    entry(id="other"),
]


def test_a_plan_as_json() -> None:
    report, _ = report_of(LINES, *ENTRIES)
    plan = report.to_json()
    assert plan["asOf"] == AS_OF.isoformat()
    assert (plan["source"], plan["keysCompared"], plan["hubDevices"]) == ("export", True, 5)
    assert plan["counts"] == {
        **{"create": 1, "update": 2, "newKeys": 2, "disable": 1, "unchanged": 1},
        **{"delete": 1, "deletedModules": 1, "leftOut": 0, "fail": 1},
    }
    assert [(code["code"], code["count"]) for code in plan["codes"]] == [
        ("404001 DeviceNotFound", 1)
    ]
    assert plan["codes"][0]["remedy"]
    assert [(one["line"], one["id"], one["action"]) for one in plan["changes"]] == [
        # What destroys something comes first.
        *((13, "keys", "update"), (14, "print", "update"), (15, "gone", "delete")),
        *((11, "new", "create"), (16, "absent", "fail")),
    ]
    key, site = plan["changes"][0]["changes"]
    assert key == {"property": "authentication.symmetricKey", "certain": True}
    assert site == {"property": "tags.site", "old": "south", "new": "north", "certain": True}
    assert plan["changes"][0]["newKeys"] == "replaced"
    json.dumps(plan)


def test_the_summary_has_a_fixed_form() -> None:
    report, _ = report_of(LINES, *ENTRIES)
    assert summary_line(report.counts, left_out=3) == (
        "Plan: 1 to create, 2 to update (2 get new keys), 1 unchanged, 1 to delete, 3 left out, "
        "1 would fail"
    )


def test_a_plan_as_csv_is_safe_for_spreadsheets() -> None:
    lines = [*LINES, line(id="=cmd", tags={"a": 1, "b": 2})]
    _, table = report_of(lines, *ENTRIES, entry(id="=cmd"))
    header, *rows = csv.reader(io.StringIO(table))
    assert len(rows) == len(lines)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["action"] for row in found] == [
        *("create", "unchanged", "update", "update", "delete", "fail", "update"),
    ]
    assert found[-1]["id"] == "'=cmd"
    assert found[-1]["properties"] == "tags.a tags.b"
    assert found[5]["code"] == "404001 DeviceNotFound"


def test_no_secret_is_in_a_plan() -> None:
    text = f"SharedAccessKey={KEY}"
    twin = {"x": {KEY: 1}, "connection": text, "password": "hunter2", "wifi": {"password": "tr0ub"}}
    odd = line(id="odd", statusReason=text, tags=twin, properties={"desired": {"sig": "a4b"}})
    present = entry(id="odd", statusReason=KEY, tags={"password": "correct horse", "wifi": {}})
    report, table = report_of([*LINES, odd], *ENTRIES, present)
    plan = json.dumps(report.to_json()) + table
    for value in (KEY, OTHER_KEY, OTHER_PRINT, "hunter2", "tr0ub", "a4b", "correct horse"):
        assert value[:12] not in plan
    assert "tags.wifi.password" in plan


def test_a_long_plan_is_cut() -> None:
    lines = [
        line(id=f"d{number}", tags={f"t{n}": "x" * 2000 for n in range(60)}) for number in (1, 2)
    ]
    report, table = report_of(lines, entry(id="d1"), entry(id="d2"), max_listed=1)
    plan = report.to_json()
    assert (len(plan["changes"]), plan["truncated"]) == (1, True)
    [first] = plan["changes"]
    assert (len(first["changes"]), first["truncated"]) == (50, True)
    assert len(first["changes"][0]["new"]) == 1000
    assert all(len(row) < 2000 for row in table.splitlines())
    assert not report_of(LINES, *ENTRIES)[0].is_truncated


def test_the_digest_identifies_what_is_sent() -> None:
    first, _ = report_of(LINES, *ENTRIES)
    again, _ = report_of(LINES, *ENTRIES)
    assert first.digest == again.digest
    assert len(first.digest) == 32
    others = (
        report_of(LINES[1:], *ENTRIES),
        report_of(LINES, *ENTRIES[:3], entry(id="gone", eTag="Mg==")),
        report_of([line(id="new", tags={"a": 1}), *LINES[1:]], *ENTRIES),
    )
    assert len({first.digest, *(report.digest for report, _ in others)}) == 4


def test_a_plan_of_long_values_can_be_shown() -> None:
    """Nobody hides what it destroys behind lines that make the plan too long for its page."""
    tags = {f"{number}": "é" * 1000 for number in range(40)}
    lines = [line(id=f"pump-{number}", tags=tags) for number in range(300)]
    lines.append(line(id="gone", importMode="delete"))
    entries = [entry(id=f"pump-{number}") for number in range(300)]
    report, _ = report_of(lines, *entries, entry(id="gone"))
    plan = report.to_json()
    assert len(json.dumps(plan, ensure_ascii=False, indent=2).encode()) < MAX_BYTES
    assert plan["truncated"]
    assert plan["changes"][0]["id"] == "gone"
    assert plan["counts"]["update"] == 300
