"""docs/operations.md explains all states, reasons, codes and problem types shown to operators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local.stack import ROOT
from shared.device_files.limits import Limits
from shared.device_files.mapping.folder_mapping import FolderMapping
from shared.device_files.validation import Validation
from shared.errors import ImporterError, TemporaryError
from shared.hub.error_codes import (
    BY_STATUS,
    EXPLANATIONS,
    LOCAL_AUTHENTICATION,
    NO_TOKEN,
    Explanation,
)
from shared.hub.exceptions import (
    HubAnswerError,
    HubThrottledError,
    HubUnauthorizedError,
    JobSlotBusyError,
    error_from_response,
)
from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.parts import HubJob, StagedFile
from shared.imports.model.record import CancelReason
from shared.imports.model.states import ImportState
from shared.imports.workflow import hold_reasons, job_reasons, plan_reasons, upload_reasons
from shared.imports.workflow.completion import unreadable, unwritten
from shared.imports.workflow.job_outcome import JobOutcome
from shared.plan.model import Note
from shared.storage.client import DelegationKeyRefusedError
from tests.records import import_record

TEXT = (ROOT / "docs/operations.md").read_text()
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)


RECORD = import_record("hub", "a.ndjson", "1", NOW, devices=5, lines=5, validation_attempts=5)
JOB = HubJob(id="1")

SHARED_JOB = JobRecord(
    hub="hub",
    id="0" * 24,
    members=(RECORD.row_key, RECORD.row_key),
    staged=StagedFile(),
    state=JobState.ENDED,
    created_at=NOW,
    updated_at=NOW,
)


def rejected(*lines: bytes) -> str:
    validation = Validation(Limits(max_devices=2))
    for _ in validation.run(iter([b"\n".join(lines)])):
        pass
    return upload_reasons.file_rejected(validation.report)


def rejected_mapping(content: bytes) -> str:
    validation = Validation(name="_mapping.json")
    assert not [*validation.run(iter([content]))]
    return upload_reasons.file_rejected(validation.report)


def refused_by_mapping() -> str:
    mapping = FolderMapping.of("east/_mapping.json", b"{")
    validation = Validation(refusal=mapping.refusal)
    assert not [*validation.run(iter([b""]))]
    return upload_reasons.file_rejected(validation.report)


def failed(*, is_in_registry: bool) -> str:
    outcome = JobOutcome(failed=2)
    outcome.codes["DeviceNotFound"] = 2
    if is_in_registry:
        outcome.failed = 0
        outcome.in_registry["pump-1"] = True
    return job_reasons.not_all_imported(RECORD, outcome)


def hub_error(name: str) -> ImporterError:
    return error_from_response(401, {"iothub-errorcode": name}, "")


GOOD = b'{"id": "pump-%d", "status": "enabled"}'
_REASONS = (*CancelReason, None)
#: Examples of every failure reason, by the function that writes it.
SAMPLES: Mapping[str, Sequence[str]] = {
    "file_rejected": [
        rejected(b"{}"),
        rejected(*(GOOD % number for number in range(3))),
        rejected_mapping(b"{"),
        rejected_mapping(b"{}"),
        refused_by_mapping(),
    ],
    "unknown_folder": [upload_reasons.unknown_folder("a.ndjson", ["east", "west"])],
    "dot_folder": [upload_reasons.dot_folder("../a.ndjson")],
    "superseded": [upload_reasons.superseded("a.ndjson")],
    "unsettled": [upload_reasons.unsettled("a.ndjson", DAY)],
    "older_than_records": [upload_reasons.older_than_records(30)],
    "storage_unavailable": [upload_reasons.storage_unavailable(OSError("x"))],
    "validation_failed": [upload_reasons.validation_failed(2, OSError("x"))],
    "validation_terminated": [upload_reasons.validation_terminated(RECORD)],
    "validation_gave_up": [upload_reasons.validation_gave_up(5, OSError("x"))],
    "record_deleted": [upload_reasons.record_deleted()],
    "unexpected_error": [upload_reasons.unexpected_error(OSError("x"))],
    "unexpected_end": [upload_reasons.unexpected_end(5, OSError("x"))],
    "hub_not_configured": [upload_reasons.hub_not_configured("fleet")],
    "cancelled_before_job": [upload_reasons.cancelled_before_job()],
    "waiting": [
        job_reasons.waiting(JobSlotBusyError()),
        job_reasons.waiting(HubThrottledError()),
        job_reasons.waiting(hub_error("IotHubUnauthorized")),
        job_reasons.waiting(hub_error("IotHubNotFound")),
        job_reasons.waiting(TemporaryError("x")),
    ],
    "job_rejected": [
        job_reasons.job_rejected(HubUnauthorizedError()),
        job_reasons.job_rejected(DelegationKeyRefusedError()),
    ],
    "although_cancelled": [
        job_reasons.although_cancelled(job_reasons.log_missing(), CancelReason.OPERATOR),
        job_reasons.although_cancelled(job_reasons.log_missing(), CancelReason.DEADLINE),
    ],
    "row_restored": [job_reasons.row_restored(DAY)],
    "log_unattributed": [
        job_reasons.log_unattributed(2, 15),
    ],
    "members_lost": [job_reasons.members_lost()],
    "job_may_be_ours": [job_reasons.job_may_be_ours()],
    "job_may_have_been_ours": [job_reasons.job_may_have_been_ours()],
    "start_unanswered": [job_reasons.start_unanswered(timedelta(minutes=10))],
    "start_unresolved": [job_reasons.start_unresolved()],
    "hub_unreadable": [
        job_reasons.hub_unreadable(HubUnauthorizedError()),
        job_reasons.hub_unreadable(TemporaryError("x")),
    ],
    "status_unreadable": [
        job_reasons.status_unreadable(job_reasons.unknown_status("paused")),
        job_reasons.status_unreadable("The hub's answer is not about the job (HTTP 400)."),
    ],
    "unknown_status": [job_reasons.unknown_status("paused")],
    "unexpected_answer": [
        job_reasons.unexpected_answer(HubAnswerError("The hub's answer is not about the job."))
    ],
    "job_row_deleted": [job_reasons.job_row_deleted()],
    "shared_job": [job_reasons.shared_job(SHARED_JOB)],
    "job_not_found": [job_reasons.job_not_found(DAY)],
    "cancelling": [job_reasons.cancelling(reason, DAY) for reason in _REASONS],
    "log_awaited": [job_reasons.log_awaited(job_reasons.log_missing(), DAY)],
    "not_all_imported": [failed(is_in_registry=False), failed(is_in_registry=True)],
    "job_failed": [job_reasons.job_failed(JOB, expired) for expired in (True, False)],
    "job_cancelled": [job_reasons.job_cancelled(reason, JOB) for reason in _REASONS],
    "job_forgotten": [job_reasons.job_forgotten(DAY)],
    "log_missing": [job_reasons.log_missing()],
    "log_does_not_fit": [
        job_reasons.log_does_not_fit(3, 1, 0),
        job_reasons.log_does_not_fit(3, 5, 1),
    ],
    "staged_file_edited": [job_reasons.staged_file_edited()],
    "counts_unknown": [job_reasons.counts_unknown()],
    "cancelled_without_job": [job_reasons.cancelled_without_job()],
    "cancelled_without_hub": [job_reasons.cancelled_without_hub("fleet")],
    "cancelled_too_late": [job_reasons.cancelled_too_late()],
    "cancelled_between_jobs": [job_reasons.cancelled_between_jobs()],
    "first_job_unclear": [job_reasons.first_job_unclear()],
    "modules_left": [job_reasons.modules_left(count) for count in (1, 2)],
    "lines_changed": [job_reasons.lines_changed(replace(RECORD, undo_of="x"), OSError("x"))],
    "not_compared_again": [plan_reasons.not_compared_again("x", is_undo=False)],
    "always": [hold_reasons.always({"deletes": 3})],
    "held": [hold_reasons.held([hold_reasons.too_many("deletes", 3, 2)])],
    "too_many": [hold_reasons.held([hold_reasons.too_many("disables", 1, 0)])],
    "too_many_of_lines": [hold_reasons.held([hold_reasons.too_many_of_lines(3, 4)])],
    "held_without_plan": [hold_reasons.without_plan("x")],
    "deadline_passed": [hold_reasons.deadline_passed(7)],
    "superseded_while_held": [hold_reasons.superseded("a.ndjson")],
    "declined": [hold_reasons.declined(reason) for reason in ("", "not today")],
    "comparing": [plan_reasons.comparing()],
    "begun_again": [plan_reasons.begun_again(plan_reasons.export_not_found())],
    "without_plan": [
        plan_reasons.without_plan(plan_reasons.export_not_found(), is_held=is_held)
        for is_held in (False, True)
    ],
    "export_failed": [plan_reasons.export_failed("failed", reason) for reason in ("", "x")],
    "export_not_found": [plan_reasons.export_not_found()],
    "status_awaited": [plan_reasons.status_awaited(plan_reasons.export_not_found(), DAY)],
    "export_takes_too_long": [plan_reasons.export_takes_too_long()],
    "export_unreadable": [plan_reasons.export_unreadable("x")],
    "needs_plan": [plan_reasons.needs_plan("x", is_undo=is_undo) for is_undo in (False, True)],
    "terminated": [plan_reasons.terminated()],
    "cancelled": [plan_reasons.cancelled()],
    "nothing_to_send": [plan_reasons.nothing_to_send(RECORD)],
    "unreadable": [unreadable("the report of the validation", OSError("x"))],
    "unwritten": [unwritten("the report", OSError("x"))],
    "an error outside of lines": ["The file contains 1 error: x."],
}
#: Shown by health, or part of other reasons.
NOT_IN_RECORDS = {"hub_trouble", "lines_that_break_rules", "rejection"}


def cells(section: str) -> list[str]:
    """Text in backticks in the first cells of a section's tables."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.M)
    return [name for row in rows for name in re.findall(r"`(.+?)`", row)]


def documents(refusal: Explanation, name: str = "") -> bool:
    """Whether a table row contains this name and the remedy of the code."""
    rows = re.findall(r"^\| (.+) \| .+ \| (.+) \|$", TEXT, re.M)
    return any(name in codes and remedy == refusal.remedy for codes, remedy in rows)


def pattern(beginning: str) -> re.Pattern[str]:
    """A pattern for a documented reason: N and M are numbers, … is any text."""
    return re.compile(re.sub(r"\b[NM]\b", "[0-9,]+", re.escape(beginning)).replace("…", ".*"), re.S)


def test_every_reason_is_documented() -> None:
    modules = (upload_reasons, plan_reasons, job_reasons)
    functions = {name for module in modules for name in module.__all__} - NOT_IN_RECORDS
    assert functions <= set(SAMPLES)
    beginnings = cells("Failure reasons")
    used = set()
    for sample in filter(None, (sample for samples in SAMPLES.values() for sample in samples)):
        matching = {beginning for beginning in beginnings if pattern(beginning).match(sample)}
        assert matching, sample
        used |= matching
    assert used == set(beginnings)


@pytest.mark.parametrize("refusal", EXPLANATIONS.values(), ids=lambda refusal: refusal.name)
def test_every_hub_error_code_is_documented(refusal: Explanation) -> None:
    assert documents(refusal, f"`{refusal.label}`")


@pytest.mark.parametrize("refusal", [*BY_STATUS.values(), LOCAL_AUTHENTICATION, NO_TOKEN])
def test_every_other_hub_error_is_documented(refusal: Explanation) -> None:
    assert documents(refusal)


def test_no_other_code_is_documented() -> None:
    assert sorted(cells("Error codes of the hub")) == sorted(
        refusal.label for refusal in EXPLANATIONS.values()
    )


def test_every_state_is_documented() -> None:
    documented = [ImportState(name) for name in cells("States")]
    assert set(documented) == set(ImportState)
    # "The last six are final."
    assert [state.is_final for state in documented] == [False] * 6 + [True] * 6


def test_every_note_of_a_plan_is_documented() -> None:
    documented = cells("Only what changes")
    assert len(documented) == len(Note)
    assert {Note(name) for name in documented} == set(Note)


def test_every_problem_type_is_documented() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "shared/web").glob("*.py"))
    raised = set(re.findall(r'ProblemError\(\s*\d{3},\s*"([a-z-]+)"', sources))
    assert len(raised) > 8
    assert raised <= set(cells("HTTP API"))


def test_every_metric_is_documented() -> None:
    source = (ROOT / "shared/imports/metrics.py").read_text()
    names = set(re.findall(r'"(deviceimporter\.[a-z.]+)"', source))
    assert len(names) > 8
    assert not {name for name in names if name not in TEXT}


@pytest.mark.parametrize("function", ["validation_gave_up", "validation_terminated"])
def test_the_alert_on_unreadable_uploads_matches_the_log(function: str) -> None:
    query = (ROOT / "infra/alerts/uploads-unreadable.kql").read_text()
    [beginning] = re.findall(r'startswith "(.+)"', query)
    [reason] = SAMPLES[function]
    assert f"{ImportState.FAILED}. {reason}".startswith(beginning)
