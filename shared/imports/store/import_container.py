"""The containers of imports and jobs: what was validated, the hub's log, and the report."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from shared.device_files.line_map import LineMap
from shared.errors import PermanentError, TemporaryError
from shared.hub.error_log import LOG_NAME, FailedLine
from shared.imports.model.parts import StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.store.plan_files import PlanFiles, failure_line, read_failures
from shared.storage.blobs import BlockWriter, StoredFile, digest_of
from shared.storage.client import whole

__all__ = [
    "BACKUP_PREFIX",
    "PREFIX",
    "ForeignContainerError",
    "ImportContainer",
    "LinesLostError",
    "StagedFileChangedError",
    "backup_name",
    "container_name",
    "is_snapshot_name",
    "second_container_name",
    "snapshot_name",
]

#: Names of the containers of imports and jobs begin so.
PREFIX = "import-"
#: And those of their backups.
BACKUP_PREFIX = "backup-"
PROBLEMS_NAME = "problems.csv"
LINES_NAME = "lines.bin"


class ForeignContainerError(TemporaryError):
    """The container of an import belongs to another import or deployment."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The metadata of container {name} name another import. Delete the container if nobody "
            "needs it."
        )


class LinesLostError(TemporaryError):
    """Not every line that was staged is in the staged file."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"{found:,} of {expected:,} lines are in the staged file.")


class StagedFileChangedError(PermanentError):
    """The staged file is not the one that was validated."""


def container_name(record_id: str, attempt: int = 1) -> str:
    return f"{PREFIX}{record_id}" if attempt == 1 else f"{PREFIX}{record_id}-{attempt}"


def backup_name(record_id: str) -> str:
    """The container of what an import destroys. The hub's role does not reach it."""
    return f"{BACKUP_PREFIX}{record_id}"


def snapshot_name(record_id: str) -> str:
    """The container of an export for the plan of an import: a new one each time."""
    return f"{PREFIX}{record_id}-snapshot-{uuid.uuid4().hex[:8]}"


def second_container_name(record_id: str) -> str:
    """The container of the second job of an undo."""
    return f"{PREFIX}{record_id}-modules"


def is_snapshot_name(name: str) -> bool:
    """Whether a container is one of exports; the columns of a job may have been edited."""
    return "-snapshot-" in name


def _generation_of(name: str) -> int:
    match = re.match(r"[a-z]+-([0-9]+)[-.]", name)
    return int(match[1]) if match else 0


class ImportContainer:
    """The blobs of one import or job, by what they are."""

    def __init__(self, client: ContainerClient) -> None:
        self._client = client

    def create(self, owner: dict[str, str]) -> None:
        """Create the container, with metadata that lead to its record.

        Raises:
            ForeignContainerError: there is one of another import or deployment.
        """
        try:
            self._client.create_container(metadata=owner)
        except ResourceExistsError:
            if self._client.get_container_properties().metadata != owner:
                raise ForeignContainerError(str(self._client.container_name)) from None

    def exists(self) -> bool:
        """Whether it was created and not deleted."""
        return self._client.exists()

    def stage(self) -> BlockWriter:
        """A writer of the staged file."""
        return self._writer(StagedFile().name)

    def writer(self, file: StagedFile) -> BlockWriter:
        """A writer of another file of lines, under a name that nobody has used before."""
        return self._writer(file.name)

    def committed(self, file: StagedFile, writer: BlockWriter) -> StagedFile:
        """The file once it is complete."""
        return replace(file, etag=writer.commit(), size=writer.size)

    def check_staged(self, staged: StagedFile) -> None:
        """Check that the hub will read what was validated.

        Raises:
            StagedFileChangedError: the staged file was deleted or changed.
        """
        name = staged.name
        with contextlib.suppress(ResourceNotFoundError):
            file = self.file(name)
            if (file.etag, file.size) == (staged.etag, staged.size):
                return
        remedy = "after it was validated. Upload the device file again."
        if staged.stem:
            remedy = (
                "after the device file was compared with the registry. Retry the import, which "
                "compares it again."
            )
        raise StagedFileChangedError(
            f"The staged file {self._path(name)} was deleted or changed {remedy}"
        )

    def was_staged_file_edited(self, staged: StagedFile) -> bool:
        """Whether the staged file is another one than was validated; not if it was deleted."""
        try:
            return self.file(staged.name).etag != staged.etag
        except ResourceNotFoundError:
            return False

    def staged_lines(self, staged: StagedFile, count: int) -> Iterator[bytes]:
        """The lines that the hub was given.

        Args:
            count: how many there are.

        Raises:
            ResourceNotFoundError: the staged file was deleted.
            StagedFileChangedError: the file is not the one that was staged.
            LinesLostError: there are more or fewer lines than were staged.
        """
        file = self.file(staged.name)
        if file.etag != staged.etag:
            raise StagedFileChangedError
        found = 0
        for line in file.lines():
            found += 1
            yield line
        if found != count:
            raise LinesLostError(count, found)

    def read_staged(self, staged: StagedFile) -> bytes:
        """The whole staged file, if it is small.

        Raises:
            ResourceModifiedError, ResourceNotFoundError: it was changed or deleted.
            IncompleteReadError: not all of it could be read.
        """
        blob = self._client.get_blob_client(staged.name)
        version = {"etag": staged.etag, "match_condition": MatchConditions.IfNotModified}
        return b"".join(whole(blob.download_blob, staged.size or 0, **version))

    def rename_staged(self, staged: StagedFile) -> StagedFile:
        """Write the staged file under another name too, which nobody has used before.

        Returns:
            The copy; with no ETag if the staged file was deleted or changed since it was written.
        """
        copy = replace(
            staged,
            generation=staged.generation + 1,
            suffix=uuid.uuid4().hex[:12],
            etag="",
        )
        try:
            source = self.file(staged.name)
        except ResourceNotFoundError:
            return copy
        if source.etag != staged.etag:
            return copy
        writer = self._writer(copy.name)
        for chunk in source.chunks():
            writer.write(chunk)
        return replace(copy, etag=writer.commit(overwrite=False))

    def commit_once(self, writer: BlockWriter) -> str:
        """Commit a file that another process may have written too; returns its ETag.

        Raises:
            StagedFileChangedError: the file is there with other content.
        """
        try:
            return writer.commit(overwrite=False)
        except ResourceExistsError:
            existing = self.file(writer.name)
            if digest_of(existing.chunks()) != writer.digest:
                raise StagedFileChangedError(
                    f"{self._path(writer.name)} is not what was staged."
                ) from None
            return existing.etag

    def delete_former_names(self, staged: StagedFile, *, is_last: bool = False) -> None:
        """Delete the staged file under its former names.

        Args:
            is_last: whether it is never renamed again. Otherwise what another process wrote later
                stays.
        """
        # By listing, as the number may have been edited.
        with contextlib.suppress(ResourceNotFoundError):
            stem = staged.stem or "devices"
            for blob in self._client.list_blobs(name_starts_with=stem):
                is_former = is_last or _generation_of(blob.name) < staged.generation
                if is_former and blob.name != staged.name:
                    with contextlib.suppress(ResourceNotFoundError):
                        self._client.delete_blob(blob.name)

    def rejected_lines(self, record: ImportRecord) -> Iterator[bytes]:
        """The staged lines that the hub rejected."""
        return self.file_at(record.retry).lines()

    def write_rejected_lines(self) -> tuple[BlockWriter, str]:
        """A writer for the lines that the hub rejected, and the path of the file."""
        name = _unique("retry", "ndjson")
        return self._writer(name), self._path(name)

    def write_line_map(self, lines: LineMap) -> None:
        self._client.upload_blob(LINES_NAME, lines.to_bytes(), overwrite=True)

    def line_map(self, staged: StagedFile) -> LineMap:
        """Maps staged lines to those of the upload."""
        if not staged.has_line_map:
            return LineMap()
        return LineMap.from_bytes(b"".join(self.file(LINES_NAME).chunks()))

    def export_file(self) -> StoredFile:
        """The export of a registry, under the name that hubs give it.

        Raises:
            ResourceNotFoundError: there is none.
        """
        return self.file(StagedFile().name)

    def plan_files(self, *, keeps_prints: bool) -> PlanFiles:
        """Writers of the files of a plan, under new names."""
        return PlanFiles(self._client, keeps_prints=keeps_prints)

    def approved_prints(self, record: ImportRecord) -> Iterator[str]:
        """The prints of all lines in the plan that was approved.

        Raises:
            StagedFileChangedError: the file was deleted or cut.
        """
        with contextlib.suppress(ResourceNotFoundError):
            count = 0
            for line in self.file_at(record.plan.prints).lines():
                yield line.decode()
                count += 1
            if count == record.devices:
                return
        raise StagedFileChangedError(
            f"The file {record.plan.prints} was deleted or changed after the import was approved. "
            "Retry the import, which compares it again."
        )

    def plan_failures(self, record: ImportRecord) -> Iterator[FailedLine]:
        """The lines that were not sent, since the hub would have rejected them."""
        return read_failures(self.file_at(record.plan.failures))

    def write_failures(self, failures: Iterable[FailedLine]) -> str:
        """Write what failed in the first job with what was not sent; returns the path."""
        writer = self._writer(_unique("plan", "ndjson"))
        for failed in failures:
            writer.write(failure_line(failed))
        writer.commit()
        return self._path(writer.name)

    def has_error_log(self) -> bool:
        """Whether a job has run: the hub writes its log at the end of each."""
        return self._client.get_blob_client(LOG_NAME).exists()

    def error_log(self) -> StoredFile | None:
        """The hub's log; None if the hub has written none."""
        try:
            return self.file(LOG_NAME)
        except ResourceNotFoundError:
            return None

    def write_report(self, report: dict[str, Any]) -> str:
        """Write report.json under a new name; returns its path, container included.

        The record names the report that counts: another process that writes one changes nothing.
        """
        name = _unique("report", "json")
        data = json.dumps(report, ensure_ascii=False, indent=2).encode()
        self._client.upload_blob(name, data, overwrite=True)
        return self._path(name)

    def write_mapping(self, data: bytes) -> str:
        """Write the mapping that was applied, under a new name; returns its path."""
        name = _unique("mapping", "json")
        self._client.upload_blob(name, data, overwrite=True)
        return self._path(name)

    def read_report(self, path: str) -> dict[str, Any]:
        """The report at a path that a record names.

        Raises:
            ResourceNotFoundError: it was deleted.
            ValueError: it is not a JSON object.
        """
        report = json.loads(b"".join(self.file_at(path).chunks()))
        if not isinstance(report, dict):
            raise ValueError("The report is not a JSON object.")
        return report

    def write_problems(self, rows: Iterable[str]) -> str:
        """Write problems.csv; returns its path, container included."""
        writer = self._writer(PROBLEMS_NAME)
        for row in rows:
            writer.write(row.encode())
        writer.commit()
        return self._path(PROBLEMS_NAME)

    def file(self, name: str) -> StoredFile:
        """One of its files.

        Raises:
            ResourceNotFoundError: there is none.
        """
        return StoredFile(self._client.get_blob_client(name))

    def file_at(self, path: str) -> StoredFile:
        """One of its files, by the path that a record names.

        Raises:
            ResourceNotFoundError: there is none.
        """
        return self.file(path.rpartition("/")[2])

    def beginning_of(self, path: str, length: int) -> bytes:
        """The first bytes of one of its files, in one request for at most 4 MiB.

        Raises:
            ResourceNotFoundError: there is none.
        """
        blob = self._client.get_blob_client(path.rpartition("/")[2])
        data: bytes = blob.download_blob(0, length, decompress=False).readall()
        return data

    def _writer(self, name: str) -> BlockWriter:
        return BlockWriter(self._client.get_blob_client(name))

    def _path(self, name: str) -> str:
        return f"{self._client.container_name}/{name}"


def _unique(name: str, suffix: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}.{suffix}"
