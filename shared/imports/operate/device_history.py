"""The recent imports that touched a device, newest upload first, at a bounded cost."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.imports.model.record import ImportRecord
from shared.imports.operate.device_search import DeviceSearch, NotSearchedError, OutOfTimeError
from shared.imports.operate.import_detail import UndoSummary
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.operate.line_results import LineResult, Result
from shared.imports.operate.reader import Reader, continuation_at
from shared.imports.operate.retry import retry_id, was_retried
from shared.imports.services import Services
from shared.imports.store.rows import NewerRowError, UnreadableRowError

__all__ = ["DEFAULT_AGE", "DEFAULT_LIMIT", "DeviceHistory", "DeviceImport"]

#: How old the imports are that are searched unless it is said, and how many are.
DEFAULT_AGE = timedelta(days=7)
DEFAULT_LIMIT = 100

#: Imports per read of the table.
_PAGE_SIZE = 100


@dataclass(frozen=True)
class DeviceImport:
    """An import that has a device."""

    record: ImportRecord
    #: Its lines about the device, one at least.
    lines: Sequence[LineResult]
    #: Id of the import that retries it.
    retried_as: str = ""
    #: How a line that deleted the device can be undone.
    undo: UndoSummary | None = None

    @property
    def reason(self) -> str:
        """Why the import waits or ended as it did, if that explains what became of the lines."""
        return self.record.failure_reason if self._ends_with_import else ""

    @property
    def can_be_retried(self) -> bool:
        """Whether a retry of the import would send the lines again."""
        return self._ends_with_import and self.record.can_be_retried and not self.retried_as

    @property
    def _ends_with_import(self) -> bool:
        """Whether what became of a line is no result of that line alone."""
        results = (Result.UNKNOWN, Result.LEFT_OUT)
        return any(row.result in results and not row.code for row in self.lines)

    def outcome_of(self, row: LineResult) -> str:
        """What became of a line: its result, `waiting` or `deleted`."""
        if not self.record.state.is_final:
            return "waiting"
        return "deleted" if _deletes(row) else row.result.value


def _deletes(row: LineResult) -> bool:
    return row.result is Result.IMPORTED and row.import_mode.startswith("delete")


class DeviceHistory:
    """Searches recent imports for a device, one by one; says what was searched until then."""

    def __init__(
        self,
        services: Services,
        reader: Reader,
        device_id: str,
        module_id: str | None = None,
        *,
        wanted: ImportFilter,
        limit: int = DEFAULT_LIMIT,
        continuation: str = "",
        seconds: float = math.inf,
    ) -> None:
        """Prepare a search.

        Args:
            module_id: None: the device and all of its modules.
            wanted: selects the imports.
            limit: how many are searched at most.
            seconds: after which the search ends. At least one import is searched; one whose files
                take longer counts as not searched.
        """
        self._services = services
        self._reader = reader
        self._wanted = wanted
        self._limit = limit
        self._continuation = continuation
        self._until = time.monotonic() + seconds
        self._search = DeviceSearch(services, device_id, module_id, self._until)
        self._last: ImportRecord | None = None
        #: How many imports were searched.
        self.searched = 0
        #: The imports that have the device.
        self.found: list[DeviceImport] = []
        #: Those that may have it, with the reason why that is not known.
        self.not_searched: list[tuple[ImportRecord, str]] = []
        #: Whether there may be older imports that the filter selects.
        self.has_more = False

    @property
    def searched_back_to(self) -> datetime | None:
        """When the last import that was searched was uploaded; None if there was none."""
        return self._last.uploaded_at if self._last else None

    @property
    def continuation(self) -> str:
        """Where the next search begins; "" if there is nothing left to search."""
        return continuation_at(self._last.row_key) if self.has_more and self._last else ""

    def run(self) -> Iterator[ImportRecord]:
        """Search; yields each import before its files are read.

        Raises:
            FilterError: there is no such hub, or the continuation is invalid.
            AzureError: storage is unavailable.
        """
        for record, is_excluded in self._candidates():
            yield record
            try:
                lines = [] if is_excluded else self._search.lines_of(record)
            except NotSearchedError as error:
                self.not_searched.append((record, str(error)))
            except OutOfTimeError:
                if self._last is not None:
                    # It has all the time of the next search.
                    self.has_more = True
                    return
                self.not_searched.append((record, "its files take too long to search here"))
            else:
                self.searched += 1
                if lines:
                    self.found.append(self._found(record, lines))
            self._last = record
            if time.monotonic() > self._until:
                self.has_more = True
                return

    def _candidates(self) -> Iterator[tuple[ImportRecord, bool]]:
        """The imports to search, each with whether it is known not to have the device."""
        continuation, left = self._continuation, self._limit
        while left:
            page = self._reader.page(self._wanted, min(_PAGE_SIZE, left), continuation)
            excluded = self._search.excluded(page.imports)
            for record in page.imports:
                yield record, record.id in excluded
            left -= len(page.imports)
            continuation = page.continuation
            if not continuation:
                return
        self.has_more = True

    def _found(self, record: ImportRecord, lines: Sequence[LineResult]) -> DeviceImport:
        retried_as, undo = "", None
        if record.can_be_retried and was_retried(self._services, record.id):
            retried_as = retry_id(record.id)
        if record.can_be_undone and any(map(_deletes, lines)):
            # What cannot be read of an undo does not hide what is known of the device.
            with contextlib.suppress(UnreadableRowError, NewerRowError):
                undo = self._reader.undo_of(record)
        return DeviceImport(record, lines, retried_as, undo)
