"""Why lines failed: by the report, and beyond what that lists, by the plan and the hub's log."""

from __future__ import annotations

from collections.abc import Iterator

from azure.core.exceptions import ResourceNotFoundError

from shared.errors import ImporterError
from shared.hub.error_codes import EXPLANATIONS
from shared.hub.error_log import FailedLine, read_error_log
from shared.hub.explain import code_label, code_name
from shared.imports.model.record import ImportRecord
from shared.imports.operate.line_results import LineFailure
from shared.imports.operate.stored_report import ReportedFailure, StoredReport
from shared.imports.services import Services
from shared.imports.store.import_container import container_name, second_container_name
from shared.imports.workflow.changed_devices import (
    as_reported,
    remedy_of_failure,
    was_planned_guarded,
)
from shared.imports.workflow.job_outcome import identified
from shared.logs import logger
from shared.redaction import redact_id

__all__ = ["FailureDetails"]

log = logger(__name__)

#: Codes with messages that are kept besides those of the report: each message may contain an id.
_MAX_REASONS = 10_000


class FailureDetails:
    """Looks up why a line failed. A million failures that no report lists take about 150 MB."""

    def __init__(self, services: Services, record: ImportRecord, report: StoredReport) -> None:
        """Read the files of an import that name its failed lines, as far as they are kept.

        Raises:
            AzureError: storage is unavailable.
        """
        self._services = services
        self._record = record
        self._is_of_undo = bool(record.undo_of)
        failures = report.failures
        listed = failures.devices if failures else []
        #: By line and id, as several elements of an array may be on one line.
        self._listed = {
            (item.line, item.id, item.module_id): item for item in listed if item.line is not None
        }
        #: By the hash of both ids, without letter case: which of the reasons it was.
        self._others: dict[int, int] = {}
        self._reasons: list[LineFailure] = []
        if failures.truncated if failures else bool(record.failed or record.retry):
            self._read_others()

    def find(self, line: int, device_id: str, module_id: str) -> LineFailure | None:
        """Why a line failed; None if that is not known any more."""
        for name in dict.fromkeys((module_id, "")):
            if listed := self._listed.get((line, redact_id(device_id), redact_id(name))):
                return self._of_report(listed, is_of_line=name == module_id)
            index = self._others.get(_key(device_id, name))
            if index is not None:
                return self._reasons[index]._replace(is_of_line=name == module_id)
        return None

    def _of_report(self, listed: ReportedFailure, *, is_of_line: bool) -> LineFailure:
        # The label is that of `code_label`: the number, if there is one, and the name.
        name = code_name(listed.code.rpartition(" ")[2]) if listed.code != code_label("") else ""
        return self._failure(name, listed.message, is_of_line=is_of_line)

    def _failure(self, code: str, message: str, *, is_of_line: bool = True) -> LineFailure:
        remedy = remedy_of_failure(FailedLine("", "", code, message), is_of_undo=self._is_of_undo)
        return LineFailure(code_label(code), message, remedy, is_of_line)

    def _read_others(self) -> None:
        indexes: dict[tuple[str, str], int] = {}
        try:
            for failed in self._failures():
                reason = (failed.code, failed.text)
                if len(indexes) >= _MAX_REASONS and reason not in indexes:
                    # Of a known code, the message only repeats the id.
                    reason = (failed.code if failed.code in EXPLANATIONS else "", "")
                index = indexes.setdefault(reason, len(indexes))
                if index == len(self._reasons):
                    self._reasons.append(self._failure(*reason))
                self._others.setdefault(_key(failed.device_id, failed.module_id), index)
        except (ResourceNotFoundError, ImporterError, ValueError, KeyError) as error:
            log.warning("why lines failed is not known of all: %s", type(error).__name__)

    def _failures(self) -> Iterator[FailedLine]:
        """What the files of the plan and of the hub say, with its messages as in the report."""
        record, services = self._record, self._services
        if record.plan.failures:
            for failed in services.container_of(record).plan_failures(record):
                was_guarded = was_planned_guarded(failed, is_of_undo=self._is_of_undo)
                yield as_reported(failed, was_guarded=was_guarded)[0]
        names = [record.staged.container]
        if record.shares_job:
            names = [container_name(record.job_record)]
        if record.is_in_second_job:
            # What failed in the first job is among the failures of the plan.
            names = [second_container_name(record.id)]
        for name in names:
            file = services.container(name).error_log()
            if file is not None:
                for failed in map(identified, read_error_log(file.chunks(), set())):
                    yield as_reported(failed, was_guarded=bool(record.plan.as_of))[0]


def _key(device_id: str, module_id: str) -> int:
    return hash((device_id.lower(), module_id.lower()))
