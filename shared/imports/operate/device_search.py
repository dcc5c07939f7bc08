"""Whether an import touched a device, found in the files that it keeps.

There is no index of devices. So imports are searched one by one (`device_history`): most are
excluded by their footprint, others by one reading of their staged file, and only a file that has
the device is read with all its results. A file that was not staged is read from the upload
container.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ResourceNotFoundError

from shared.device_files.footprint import MAX_LINES, Footprint
from shared.device_files.mapping.document import MAX_MAPPING_BYTES
from shared.device_files.mapping.file_mapping import mapping_path
from shared.device_files.mapping.folder_mapping import FolderMapping
from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from shared.imports.operate.api_models import has_results
from shared.imports.operate.line_results import (
    LineResult,
    Result,
    invalid_lines,
    read_staged_line,
)
from shared.imports.operate.results_reading import read_results
from shared.imports.operate.stored_report import read_report
from shared.imports.services import Services
from shared.imports.store.import_container import LinesLostError, StagedFileChangedError
from shared.imports.workflow.folder_mappings import find_mapping
from shared.imports.workflow.intake import configured_validation
from shared.imports.workflow.registration import has_dot_folder
from shared.redaction import redact_id
from shared.storage.blobs import SupersededError

__all__ = [
    "MAX_FOUND",
    "DeviceSearch",
    "NotSearchedError",
    "OutOfTimeError",
    "difference",
    "is_same_id",
]

T = TypeVar("T")

#: Lines that are returned of one import: those of a device and of its modules.
MAX_FOUND = 100

_NOT_ALL_LISTED = "not all of its invalid lines are listed (MAX_REPORTED_PROBLEMS)"


#: Answers of storage that are about the files of one import, and say nothing of the others.
_REASONS = {
    400: "storage rejects the name of its upload",
    403: "access to its files is denied",
}


class NotSearchedError(Exception):
    """It is not known whether an import has the device; the message says why."""


class OutOfTimeError(Exception):
    """The time of a search was over while it read the files of an import."""


def is_same_id(found: str, wanted: str) -> bool:
    """Whether ids differ at most by letter case or, if they are numbers, by leading zeros.

    Hubs distinguish them. Files contain such ids by mistake: spreadsheets drop leading zeros.
    """
    return _key(found) == _key(wanted)


def difference(found: str, wanted: str) -> str:
    """How an id differs from the one that is the same by `is_same_id`; "" if it does not."""
    if found == wanted or not is_same_id(found, wanted):
        # Redacted, or that of a problem of the file as a whole.
        return ""
    return "another letter case" if found.lower() == wanted.lower() else "other leading zeros"


def _key(id: str) -> str:
    return (id.lstrip("0") or "0") if _is_number(id) else id.lower()


def _is_number(id: str) -> bool:
    return id.isascii() and id.isdigit()


class DeviceSearch:
    """Searches imports for a device, also under ids that are the same by `is_same_id`."""

    def __init__(
        self,
        services: Services,
        device_id: str,
        module_id: str | None = None,
        until: float = math.inf,
    ) -> None:
        """Prepare a search.

        Args:
            module_id: None: the device and all of its modules.
            until: when its time is over, by `time.monotonic`.
        """
        self._services = services
        self._device_id = device_id
        self._until = until
        self._bytes = _key(device_id).encode()
        self._ids = _spellings(device_id)
        self._module_ids = None if module_id is None else _spellings(module_id)

    def excluded(self, records: Sequence[ImportRecord]) -> set[str]:
        """The ids of those imports that do not have the device, by their footprints.

        It takes a few requests for each hub. Open imports have a footprint, and ended ones of hubs
        at which imports were held or backed up. Those of numbers know nothing of leading zeros.
        """
        if _is_number(self._device_id):
            return set()
        guarded = self._services.known_hubs.guarded()
        keys: dict[str, list[str]] = {}
        for record in records:
            is_kept = not record.state.is_final or record.hub in guarded
            if is_kept and 0 < (record.devices or 0) <= MAX_LINES:
                keys.setdefault(record.hub, []).append(record.row_key)
        return {
            record.id
            for hub, row_keys in keys.items()
            for record in self._services.queries.records(hub, row_keys).values()
            if self._is_excluded(record)
        }

    def _is_excluded(self, record: ImportRecord) -> bool:
        # Of invalid lines it says nothing.
        footprint = None if record.invalid_lines else Footprint.from_bytes(record.footprint)
        return footprint is not None and not footprint.touches_device(self._device_id)

    def lines_of(self, record: ImportRecord) -> list[LineResult]:
        """The lines of an import that are about the device, `MAX_FOUND` at most.

        The result of a line of an open import is unknown.

        Raises:
            NotSearchedError: its files are not there any more.
            OutOfTimeError: the time of the search is over.
            AzureError: storage is unavailable.
        """
        try:
            found = self._found(record)
            return [*islice(found, MAX_FOUND)]
        except NotPossibleError as error:
            raise NotSearchedError(str(error)) from error
        except (StagedFileChangedError, LinesLostError, ResourceNotFoundError) as error:
            raise NotSearchedError(
                "its files were deleted (IMPORT_RETENTION_DAYS) or edited"
            ) from error
        except (SupersededError, ResourceModifiedError) as error:
            raise NotSearchedError(
                "its lines are not kept, and its upload was overwritten or deleted"
            ) from error
        except HttpResponseError as error:
            if error.status_code not in _REASONS:
                raise
            raise NotSearchedError(_REASONS[error.status_code]) from error

    def _found(self, record: ImportRecord) -> Iterator[LineResult]:
        if record.devices is None:
            return self._in_unstaged(record)
        staged = self._in_staged(record)
        if not record.state.is_final:
            return staged
        if next(staged, None) is None and not self._has_problem(record):
            return iter(())
        return self._in_results(record)

    def _in_results(self, record: ImportRecord) -> Iterator[LineResult]:
        return filter(self._is_wanted, self._in_time(read_results(self._services, record)))

    def _is_wanted(self, row: LineResult) -> bool:
        # The module of an invalid line is not known; nor is its importMode.
        return self._is_named(row.id, row.module_id if row.import_mode else None)

    def _is_named(self, device_id: str, module_id: str | None) -> bool:
        """Whether a line is about it, by its ids or by those that a report shows."""
        return _key(device_id) in self._ids and (
            self._module_ids is None or module_id is None or _key(module_id) in self._module_ids
        )

    def _in_staged(self, record: ImportRecord) -> Iterator[LineResult]:
        container = self._services.container_of(record)
        numbers = container.line_map(record.staged)
        lines = container.staged_lines(record.staged, record.devices or 0)
        for number, text in enumerate(self._in_time(lines), 1):
            if row := self._row(text, record):
                yield row._replace(line=numbers.upload_line(number))

    def _has_problem(self, record: ImportRecord) -> bool:
        """Whether an invalid line of it is about the device."""
        if not (record.problems and record.invalid_lines):
            # Warnings are about staged lines.
            return False
        report = read_report(self._services.container_of(record), record)
        if any(self._is_named(problem.id, None) for problem in report.problems):
            return True
        if record.validation.get("truncated"):
            raise NotSearchedError(_NOT_ALL_LISTED)
        return False

    def _in_unstaged(self, record: ImportRecord) -> Iterator[LineResult]:
        """The lines in a file that is still validated, or was rejected."""
        try:
            return self._in_upload(record)
        except SupersededError:
            if has_results(record) and (listed := [*self._in_results(record)]):
                return iter(listed)
            raise

    def _in_upload(self, record: ImportRecord) -> Iterator[LineResult]:
        if not record.upload_etag:
            raise SupersededError
        if has_dot_folder(record.file):
            # Clients resolve it to the path of another blob.
            raise NotSearchedError(f"its upload cannot be read: {record.failure_reason}")
        chunks = self._services.uploaded_file(record).chunks()
        mapping = self._mapping_of(record)
        validation = configured_validation(self._services.settings, record.file, 0, mapping)
        found: list[tuple[int, LineResult]] = []
        number = 0
        for batch in self._in_time(validation.run(chunks)):
            for text in batch.split(b"\n")[:-1]:
                number += 1
                if len(found) < MAX_FOUND and (row := self._row(text, record)):
                    found.append((number, row))
        good = [row._replace(line=validation.lines.upload_line(staged)) for staged, row in found]
        invalid = invalid_lines(validation.report.problems, is_rejected=True)
        rows = [*good, *filter(self._is_wanted, invalid)]
        if not rows and validation.report.counts_json()["truncated"]:
            raise NotSearchedError(_NOT_ALL_LISTED)
        return iter(sorted(rows, key=lambda row: row.line or 0))

    def _mapping_of(self, record: ImportRecord) -> FolderMapping | None:
        """The mapping that was applied to a file, else the present one of its folder."""
        if not record.mapping:
            return find_mapping(self._services, record.file)
        container = self._services.container_of(record)
        data = container.beginning_of(record.mapping, MAX_MAPPING_BYTES)
        return FolderMapping.of(mapping_path(record.file), data, record.mapping_etag)

    def _row(self, text: bytes, record: ImportRecord) -> LineResult | None:
        """The line if it is about the device; of an import that has ended, it was not sent."""
        # Quick for most lines. An escape may stand for any character.
        if self._bytes not in text.lower() and b"\\" not in text:
            return None
        device_id, module_id, import_mode = read_staged_line(text)
        if not self._is_named(device_id, module_id):
            return None
        ids = redact_id(device_id), redact_id(module_id)
        row = LineResult(None, *ids, import_mode, Result.UNKNOWN)
        if not record.state.is_final:
            return row
        message = f"not sent: the import is {record.state.label}"
        return row._replace(result=Result.LEFT_OUT, message=message)

    def _in_time(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if time.monotonic() > self._until:
                raise OutOfTimeError
            yield item


def _spellings(name: str) -> frozenset[str]:
    """The keys of an id as lines have it and as reports show it."""
    return frozenset({_key(name), _key(redact_id(name))})
