"""The complete table row of imports that were compared with the registry."""

from __future__ import annotations

from tests.app import App, device
from tests.imports.pinned_rows import (
    CA,
    COUNTS,
    GOOD,
    JOB_STARTED,
    STAGED,
    row,
    start,
)


def start_planned(app: App, *lines: object) -> None:
    app.configure(APPLY="changes")
    for number in (1, 2):
        app.hub.registry.put(device(f"pump-{number}", authentication=CA))
    start(app, GOOD, device("gone", importMode="update", authentication=CA), *lines)
    app.finish()


NOTHING = dict.fromkeys(
    (
        *("create", "update", "newKeys", "disable", "unchanged"),
        *("delete", "deletedModules", "leftOut", "fail"),
    ),
    0,
)
PLANNED = {
    **STAGED,
    "apply": "changes",
    "devices": 2,
    "failed": 1,
    "failureReason": "<failureReason>",
    "imported": 0,
    "lines": 2,
    "plan": "import-<id>/plan-<hex>.json",
    "planAsOf": "<time>",
    "planCounts": {**NOTHING, "unchanged": 1, "fail": 1},
    "planDigest": "<planDigest>",
    "planFailed": 1,
    "planFailures": "import-<id>/plan-<hex>.ndjson",
    "planRows": "import-<id>/plan-<hex>.csv",
    "planSent": 0,
    "report": "import-<id>/report-<hex>.json",
    "retry": "import-<id>/retry-<hex>.ndjson",
    "size": 201,
    "stagedBytes": 202,
    "state": "completedWithErrors",
    "unchanged": 1,
    "validation": {
        **COUNTS,
        "authenticationTypes": {"certificateAuthority": 2},
        "importModes": {"createOrUpdate": 1, "update": 1},
        "lines": 2,
        "valid": 2,
    },
}


def test_planned_without_a_job(app: App) -> None:
    start_planned(app)
    assert row(app) == {
        **PLANNED,
        "history": ["validating", "queued", "planning", "completedWithErrors"],
    }


def test_planned(app: App) -> None:
    start_planned(app, device("pump-2", status="disabled", authentication=CA))
    history = ["validating", "queued", "planning", "queued", "starting", "running"]
    counts = {
        "authenticationTypes": {"certificateAuthority": 3},
        "importModes": {"createOrUpdate": 2, "update": 1},
        "lines": 3,
        "valid": 3,
    }
    planned = {
        "plannedContainer": "import-<id>",
        "plannedHasLineMap": False,
        "plannedStagedEtag": "<plannedStagedEtag>",
        "plannedStagedGeneration": 0,
        "plannedStagedStem": "planned",
        "plannedStagedSuffix": "<plannedStagedSuffix>",
    }
    columns = row(app)
    # The line and its guard, whose length is the hub's choice.
    assert columns.pop("plannedStagedBytes") > 139
    assert columns == {
        **JOB_STARTED,
        **PLANNED,
        **planned,
        "devices": 3,
        "history": [*history, "completedWithErrors"],
        "imported": 1,
        "jobStatus": "completed",
        "lines": 3,
        "planCounts": {**NOTHING, "update": 1, "disable": 1, "unchanged": 1, "fail": 1},
        "planSent": 1,
        "progress": 100,
        "size": 292,
        "stagedBytes": 293,
        "validation": {**COUNTS, **counts},
    }
