"""Cancels or retries the imports that a filter shows."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from azure.core.exceptions import AzureError, ResourceNotFoundError

from shared.errors import FilterError, ImporterError, NotPossibleError, SharedJobError
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.model.states import ImportState, StateGroup
from shared.imports.operate.actions import Actions
from shared.imports.operate.api_models import ImportSummary
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.operate.reader import Page, Reader
from shared.imports.store.import_store import ConflictError
from shared.logs import logger

__all__ = ["MAX_SELECTED", "Bulk", "BulkAction", "Outcome", "Result", "Selection"]

log = logger(__name__)

#: Imports that are selected at a time, and seconds after which the selection is not continued.
MAX_SELECTED = 1000
MAX_SECONDS = 20.0

#: Filters by these may be meant to include what waits for approval.
_MEAN_WAITING = StateGroup.WAITING.states | {ImportState.HELD}


class BulkAction(StrEnum):
    """What is done with each import."""

    CANCEL = "cancel"
    RETRY = "retry"

    @property
    def states(self) -> frozenset[ImportState]:
        """The states of imports for which it may be possible."""
        if self is BulkAction.CANCEL:
            # A held import is declined, with a reason.
            return StateGroup.OPEN.states - {ImportState.HELD}
        return frozenset(state for state in ImportState if state.is_retryable)


class Outcome(StrEnum):
    """What became of one of the imports."""

    CANCELLED = "cancelled"
    #: It ends as soon as the hub has ended its job.
    CANCEL_REQUESTED = "cancelRequested"
    RETRIED = "retried"
    #: It ended before it could be cancelled.
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """What became of one of the imports."""

    #: As it was selected.
    selected: ImportRecord
    outcome: Outcome
    #: The import as it is now, or its retry; None if it is not known.
    record: ImportRecord | None = None
    #: Why it failed.
    message: str = ""


@dataclass(frozen=True)
class Selection:
    """The imports that an action is about, the newest upload first."""

    action: BulkAction
    #: Selects the same imports again: nothing that is uploaded later, nothing that is older.
    filter: ImportFilter
    imports: Sequence[ImportRecord] = ()
    #: These would be cancelled with a job that contains files which were not selected.
    in_shared_jobs: Sequence[ImportRecord] = ()
    #: If the filter is about what waits: how many wait for approval at its hubs. They are not
    #: cancelled.
    held: int = 0
    #: Whether there may be older ones: after `MAX_SELECTED`, or where the search ended.
    is_cut: bool = False
    searched_back_to: datetime | None = None

    @property
    def count(self) -> int:
        return len(self.imports)

    def is_confirmed(self, count: int | None) -> bool:
        """Whether somebody who confirmed a number of imports meant at least these.

        Fewer may be left, as some ended since; none need to be confirmed.
        """
        return not self.imports or (count is not None and self.count <= count)


class Bulk:
    """Acts on many imports, on each as if it were the only one."""

    def __init__(self, reader: Reader, actions: Actions) -> None:
        self._reader = reader
        self._actions = actions

    def select(self, action: BulkAction, wanted: ImportFilter) -> Selection:
        """The imports that a filter shows and for which an action is possible.

        It costs a few searches, see `Reader.page`; for a retry also one request for each import.

        Raises:
            FilterError: there is no such hub, or nothing is filtered: a number alone would confirm
                whatever is open at all hubs.
        """
        if wanted == ImportFilter():
            example = "open" if action is BulkAction.CANCEL else "failed"
            raise FilterError("state", f"at least one filter is required, such as state={example}")
        states = wanted.states & action.states if wanted.states else action.states
        held = 0
        if action is BulkAction.CANCEL and (not wanted.states or wanted.states & _MEAN_WAITING):
            held = self._reader.held_count(wanted.hubs)
        if not states:
            return Selection(action, wanted, held=held)
        listed: list[ImportRecord] = []
        possible: list[ImportRecord] = []
        page = Page([])
        end = time.monotonic() + MAX_SECONDS
        narrowed = replace(wanted, states=states)
        while True:
            page = self._reader.page(narrowed, MAX_SELECTED, page.continuation)
            listed += page.imports
            possible += self._possible(action, page.imports)
            is_enough = len(possible) >= MAX_SELECTED or time.monotonic() >= end
            if is_enough or page.searched_back_to or not page.continuation:
                break
        is_cut = bool(page.continuation) or len(possible) > MAX_SELECTED
        imports, in_shared_jobs = _by_jobs(possible[:MAX_SELECTED])
        return Selection(
            action,
            _fixed(wanted, listed, page.searched_back_to, is_cut=is_cut),
            imports,
            in_shared_jobs,
            held,
            is_cut,
            page.searched_back_to,
        )

    def _possible(
        self, action: BulkAction, imports: Sequence[ImportRecord]
    ) -> Sequence[ImportRecord]:
        if action is BulkAction.CANCEL:
            return [record for record in imports if record.can_be_cancelled]
        imports = [record for record in imports if record.can_be_retried]
        retried = self._reader.retried(imports)
        return [record for record in imports if record.id not in retried]

    def run(self, selection: Selection, by: Actor) -> Iterator[Result]:
        """Act on each of the imports when its result is asked for.

        They are cancelled newest first: what waits before what it waits for, so that nothing starts
        meanwhile. They are retried oldest first, so that they are applied in upload order. An
        outage of storage is the last result.
        """
        ids = frozenset(record.id for record in selection.imports)
        is_retry = selection.action is BulkAction.RETRY
        for record in reversed(selection.imports) if is_retry else selection.imports:
            try:
                yield self._act(selection.action, record, ids, by)
            except ResourceNotFoundError:
                message = f"The record of import {record.id} was deleted."
                yield Result(record, Outcome.FAILED, message=message)
            except ConflictError:
                message = f"Import {record.id} is being changed by other processes. Try again."
                yield Result(record, Outcome.FAILED, message=message)
            except ImporterError as error:
                yield self._failed(record, error)
            except AzureError:
                log.exception("bulk %s: storage is unavailable", selection.action)
                message = "The storage account does not respond as expected. Try again."
                yield Result(record, Outcome.FAILED, message=message)
                return

    def _act(
        self, action: BulkAction, record: ImportRecord, ids: frozenset[str], by: Actor
    ) -> Result:
        if action is BulkAction.RETRY:
            return Result(record, Outcome.RETRIED, self._actions.retry(record, by))
        try:
            now = self._actions.cancel(record, by=by)
        except SharedJobError as error:
            if not ids.issuperset(error.imports):
                raise
            now = self._actions.cancel(record, error.job_record, by)
        is_over = now.state.is_final
        return Result(record, Outcome.CANCELLED if is_over else Outcome.CANCEL_REQUESTED, now)

    def _failed(self, record: ImportRecord, error: ImporterError) -> Result:
        if isinstance(error, NotPossibleError) and not record.state.is_final:
            with contextlib.suppress(ImporterError):
                now = self._reader.get(record.id)
                if now.state.is_final:
                    # Cancelled with the job of another one, or by somebody else.
                    is_cancelled = now.state is ImportState.CANCELLED
                    outcome = Outcome.CANCELLED if is_cancelled else Outcome.ENDED
                    return Result(record, outcome, now)
        return Result(record, Outcome.FAILED, message=str(error))


def _fixed(
    wanted: ImportFilter,
    imports: Sequence[ImportRecord],
    searched_back_to: datetime | None,
    *,
    is_cut: bool,
) -> ImportFilter:
    """The filter, bounded by the times of what it found; upload times are whole seconds."""
    if not imports:
        # Nothing is confirmed.
        return wanted
    before = imports[0].uploaded_at + timedelta(seconds=1)
    if wanted.uploaded_before:
        before = min(before, wanted.uploaded_before)
    oldest = searched_back_to or (imports[-1].uploaded_at if is_cut else wanted.uploaded_after)
    return replace(wanted, uploaded_before=before, uploaded_after=oldest)


def _by_jobs(
    candidates: Sequence[ImportRecord],
) -> tuple[list[ImportRecord], list[ImportRecord]]:
    """Those that can be cancelled without others, and those that share a job with others.

    A hub can cancel only a whole job.
    """
    files = Counter(record.job_record for record in candidates)
    alone: list[ImportRecord] = []
    shared: list[ImportRecord] = []
    for record in candidates:
        is_started = ImportSummary.of(record).shares_started_job
        is_whole = not is_started or files[record.job_record] == record.job_files
        (alone if is_whole else shared).append(record)
    return alone, shared
