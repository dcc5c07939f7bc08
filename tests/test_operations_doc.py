"""docs/operations.md tells of everything that an operator may read in a record or an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from local.stack import ROOT
from shared.device_files.limits import Limits
from shared.device_files.validation import Validation
from shared.errors import ImporterError, TemporaryError
from shared.hub.codes import BY_STATUS, CODES, LOCAL_AUTHENTICATION, NO_TOKEN, Refusal
from shared.hub.errors import (
    HubAnswerError,
    HubThrottledError,
    HubUnauthorizedError,
    JobSlotBusyError,
    error_from_response,
)
from shared.imports.model import reasons
from shared.imports.model.record import ImportRecord, ImportState, Stop
from shared.imports.workflow.job_outcome import Outcome
from shared.storage.client import DelegationKeyRefusedError

TEXT = (ROOT / "docs/operations.md").read_text()
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)


def record(**members: object) -> ImportRecord:
    made = ImportRecord.of_upload(
        "hub",
        "Imports",
        "uploads",
        "a.ndjson",
        "1",
        NOW,
        created_at=NOW,
        updated_at=NOW,
        devices=5,
        lines=5,
    )
    return made.model_copy(update=members)


def rejected(*lines: bytes) -> str:
    validation = Validation(Limits(max_devices=2))
    for _ in validation.run(iter([b"\n".join(lines)])):
        pass
    return reasons.file_rejected(validation.report)


def failed(*, is_there: bool) -> str:
    outcome = Outcome(failed=2)
    outcome.codes["DeviceNotFound"] = 2
    if is_there:
        outcome.failed = 0
        outcome.looked_up["pump-1"] = True
    return reasons.not_all_imported(record(), outcome)


def refused(name: str) -> ImporterError:
    return error_from_response(401, {"iothub-errorcode": name}, "")


GOOD = b'{"id": "pump-%d", "status": "enabled"}'
#: By the function of `reasons`: what it may say.
SAMPLES: Mapping[str, Sequence[str]] = {
    "answer_lost": [reasons.answer_lost(timedelta(minutes=10))],
    "cancelled": [reasons.cancelled(record(stop=stop)) for stop in Stop],
    "cancelled_in_queue": [reasons.cancelled_in_queue()],
    "cancelled_too_late": [reasons.cancelled_too_late()],
    "cancelled_without_hub": [reasons.cancelled_without_hub("fleet")],
    "cancelled_without_trace": [reasons.cancelled_without_trace()],
    "cannot_follow": [
        reasons.cannot_follow(HubUnauthorizedError()),
        reasons.cannot_follow(TemporaryError("x")),
    ],
    "counts_unknown": [reasons.counts_unknown()],
    "file_rejected": [rejected(b"{}"), rejected(*(GOOD % number for number in range(3)))],
    "followed_blindly": [
        reasons.followed_blindly(reasons.unknown_status("paused")),
        reasons.followed_blindly("The hub's answer is not about the job (HTTP 400)."),
    ],
    "hub_not_configured": [reasons.hub_not_configured("fleet")],
    "hub_refused": [
        reasons.hub_refused(HubUnauthorizedError()),
        reasons.hub_refused(DelegationKeyRefusedError()),
    ],
    "job_failed": [reasons.job_failed(record(), expired) for expired in (True, False)],
    "job_forgotten": [reasons.job_forgotten(record(), DAY)],
    "job_lost": [reasons.job_lost(DAY)],
    "job_may_be_ours": [reasons.job_may_be_ours()],
    "job_may_have_been_ours": [reasons.job_may_have_been_ours()],
    "log_awaited": [reasons.log_awaited(reasons.log_missing(), DAY)],
    "log_does_not_fit": [reasons.log_does_not_fit(3, 1, 0), reasons.log_does_not_fit(3, 5, 1)],
    "log_missing": [reasons.log_missing()],
    "not_all_imported": [failed(is_there=False), failed(is_there=True)],
    "odd_answer": [reasons.odd_answer(HubAnswerError("The hub's answer is not about the job."))],
    "older_than_records": [reasons.older_than_records(30)],
    "outcome_unknown": [reasons.outcome_unknown()],
    "record_deleted": [reasons.record_deleted()],
    "staged_file_edited": [reasons.staged_file_edited()],
    "stopping": [
        reasons.stopping(Stop.OPERATOR, DAY),
        reasons.stopping(Stop.DEADLINE, DAY),
    ],
    "storage_refused": [reasons.storage_refused(OSError("x"))],
    "superseded": [reasons.superseded("a.ndjson")],
    "dots_in_name": [reasons.dots_in_name("../a.ndjson")],
    "unexpected": [reasons.unexpected(OSError("x"))],
    "unexpected_end": [reasons.unexpected_end(5, OSError("x"))],
    "unknown_folder": [reasons.unknown_folder("a.ndjson", ["east", "west"])],
    "unknown_status": [reasons.unknown_status("paused")],
    "unreadable": [reasons.unreadable("the report of the validation", OSError("x"))],
    "unsettled": [reasons.unsettled("a.ndjson", DAY)],
    "unwritten": [reasons.unwritten("the report", OSError("x"))],
    "validation_died": [reasons.validation_died(record(attempts=5))],
    "validation_failed": [reasons.validation_failed(2, OSError("x"))],
    "validation_gave_up": [reasons.validation_gave_up(5, OSError("x"))],
    "waiting": [
        reasons.waiting(JobSlotBusyError()),
        reasons.waiting(HubThrottledError()),
        reasons.waiting(refused("IotHubUnauthorized")),
        reasons.waiting(refused("IotHubNotFound")),
        reasons.waiting(TemporaryError("x")),
    ],
}
#: What is told elsewhere than in a record, and what puts reasons together.
NOT_IN_RECORDS = {"hub_trouble", "joined"}


def told(section: str) -> list[str]:
    """The first cells of a section's tables."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    return re.findall(r"^\| (`[^|]*`) \|", text, re.M)


def patterns() -> dict[str, re.Pattern[str]]:
    """How reasons begin: N and M are numbers, … is anything."""
    heads = [cell.strip("`") for cell in told("Failure reasons")]
    return {
        head: re.compile(re.sub(r"\b[NM]\b", "[0-9,]+", re.escape(head)).replace("…", ".*"))
        for head in heads
    }


def test_every_reason_is_told_with_its_remedy() -> None:
    assert set(SAMPLES) | NOT_IN_RECORDS == set(reasons.__all__)
    heads = patterns()
    matched = set()
    for samples in SAMPLES.values():
        for sample in filter(None, samples):
            fitting = [head for head, pattern in heads.items() if pattern.match(sample)]
            assert fitting, sample
            matched |= set(fitting)
    assert matched == set(heads)


@pytest.mark.parametrize("refusal", CODES, ids=lambda refusal: refusal.name)
def test_every_code_of_a_hub_is_told(refusal: Refusal) -> None:
    assert f"| `{refusal.label}` | {refusal.reason} | {refusal.remedy} |" in TEXT


@pytest.mark.parametrize("refusal", [*BY_STATUS.values(), LOCAL_AUTHENTICATION, NO_TOKEN])
def test_every_other_refusal_is_told(refusal: Refusal) -> None:
    assert f" | {refusal.reason} | {refusal.remedy} |" in TEXT


def test_no_other_code_is_told() -> None:
    cells = [cell.strip("`") for cell in told("Error codes of the hub")]
    assert cells == [refusal.label for refusal in CODES]


def test_every_state_is_told() -> None:
    assert {cell.strip("`") for cell in told("States")} == {state.value for state in ImportState}


def test_every_problem_type_is_told() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "shared/web").glob("*.py"))
    raised = set(re.findall(r'ProblemError\(\s*\d{3},\s*"([a-z-]+)"', sources))
    cells = "".join(told("HTTP API"))
    assert len(raised) > 8
    assert raised == set(re.findall(r"`([a-z-]+)`", cells))


def test_every_metric_is_told() -> None:
    source = (ROOT / "shared/imports/metrics.py").read_text()
    names = set(re.findall(r'"(deviceimporter\.[a-z.]+)"', source))
    assert len(names) > 8
    assert not {name for name in names if name not in TEXT}
