"""`device-importer upload`: check device files, then upload them to the upload container."""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, BlobProperties
from rich.text import Text

from cli.arguments import add_watch, whole_number
from cli.caller import caller
from cli.errors import Exit, UsageError
from cli.hub_access import hub_choices
from cli.output import Output, printable
from cli.problems import note_problems, show_report, validate
from cli.watch import watch_to_end
from shared.device_files.mapping.document import MAX_MAPPING_BYTES
from shared.device_files.mapping.file_mapping import MAPPING_NAME, is_mapping_name, mapping_path
from shared.device_files.mapping.folder_mapping import FolderMapping
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy
from shared.errors import ImportNotFoundError, NotPossibleError, error_text
from shared.imports.app import Importer
from shared.imports.model.keys import written_at
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.uploads import name_problem, upload_metadata
from shared.imports.services import Services
from shared.imports.store.tickets import UploadTicket
from shared.imports.workflow.folder_mappings import find_mapping
from shared.imports.workflow.intake import configured_validation
from shared.imports.workflow.registration import Upload, record_of
from shared.storage.client import CHUNK_BYTES
from shared.text import well_formed

__all__ = ["add_arguments", "run"]

#: Blocks of a blob that are uploaded at the same time; each is held in memory.
_PARALLEL_BLOCKS = 4
#: Within this time a file has to be uploaded, so that its import shows who did it.
_LONGEST_UPLOAD = timedelta(days=1)
#: Seconds by which the clocks of a storage account's servers differ at most; there is no such
#: number, and this is many times what time servers allow.
_CLOCK_DIFFERENCE = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a device file")
    add(
        "--hub",
        metavar="FOLDER",
        help="folder in IOTHUB, or hub name; required if there are several hubs",
    )
    add(
        "--name",
        help="name of the blob (default: name of the file); with / at its end, the folder of all "
        "files, such as maker/",
    )
    add("--no-check", dest="check", action="store_false", help="skip the check before the upload")
    add(
        "--confirm-deletes",
        type=whole_number(0, 10_000_000),
        default=0,
        metavar="N",
        help="confirm that each file deletes up to N devices, more than MAX_DELETES allows",
    )
    add(
        "--overwrite",
        action="store_true",
        help="overwrite an existing blob; the upload is a new import",
    )
    add_watch(parser, "follow the imports until they end")


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Check all files, then upload them.

    Raises:
        UsageError: the hub or the name of a blob is missing or ambiguous.
        NotPossibleError: the blob exists, or the upload container does not.
        OSError: a file cannot be read.
    """
    services = importer.services
    files = _files_by_blob(options, services)
    for path in files.values():
        # Before anything is said or uploaded.
        path.open("rb").close()
    if options.check:
        # A list: the problems of all files are shown.
        importable = [
            _is_importable(
                path,
                configured_validation(
                    services.settings,
                    name,
                    options.confirm_deletes,
                    _mapping_for(name, files, services, output),
                ),
                services.settings.validation.policy,
                output,
            )
            for name, path in files.items()
        ]
        if not all(importable):
            output.error("Nothing was uploaded.")
            return Exit.UNSUCCESSFUL
    records: list[ImportRecord] = []
    for name, path in files.items():
        if records:
            _wait_for_order(records, files, output)
        record = _upload(path, name, options, importer, output)
        if is_mapping_name(name) and (mapping := _read_mapping(path)).refusal is None:
            _show_mapping(record, mapping, output)
            continue
        records.append(record)
        if not output.is_json:
            message = f"{record.id}  {printable(record.file)}  uploaded, {record.size:,} bytes"
            output.show(Text(message))
        elif not options.watch:
            output.json({"id": record.id, "file": record.file, "hub": record.hub})
    if not records:
        return Exit.DONE
    if options.watch:
        return watch_to_end(records, ImportState.COMPLETED, importer, output, options.interval)
    if not output.is_json:
        arguments = ("show", records[0].id) if len(records) == 1 else ("list",)
        output.note(f"To see the result: {output.command(*arguments)}")
    return Exit.DONE


def _wait_for_order(
    records: Sequence[ImportRecord], files: Mapping[str, Path], output: Output
) -> None:
    """Wait until the next upload is later by the clock of storage: the queue keeps the order."""
    last = records[-1]
    if written_at(last.upload_etag, last.uploaded_at):
        time.sleep(_CLOCK_DIFFERENCE)
        return
    if len(records) == 1 and not output.is_json:
        output.note(
            f"{len(files):,} files, one per second: the storage account gives their times in whole "
            "seconds, and the hub gets them in this order."
        )
    time.sleep(1)


def _files_by_blob(options: argparse.Namespace, services: Services) -> Mapping[str, Path]:
    """The files by the names of their blobs."""
    named: str | None = options.name
    is_folder = named is None or named.endswith("/")
    if not is_folder and len(options.files) > 1:
        raise UsageError("--name requires a single file, or a folder with / at its end.")
    folder = _folder(options.hub, services) + (named or "")
    files: dict[str, Path] = {}
    for path in map(Path, options.files):
        name = f"{folder}{path.name if is_folder else ''}"
        if problem := "another file has it" if name in files else name_problem(name):
            raise UsageError(f"{path}: the blob cannot be named {name!r}: {problem}. Use --name.")
        if services.settings.hub.routes.hub_of(name) is None:
            raise UsageError(
                f"{path}: no hub specified. Use --hub with one of: {hub_choices(services)}."
            )
        files[name] = path
    # What a mapping applies to comes after it.
    return dict(sorted(files.items(), key=lambda item: not is_mapping_name(item[0])))


def _folder(hub: str | None, services: Services) -> str:
    if hub is None:
        return ""
    routes = services.settings.hub.routes
    if hub in routes.folders:
        return f"{hub}/"
    if hub not in services.hubs:
        raise UsageError(f"Unknown hub {hub!r}. Use --hub with one of: {hub_choices(services)}.")
    folder = routes.folder_of(hub)
    return f"{folder}/" if folder else ""


def _mapping_for(
    name: str, files: Mapping[str, Path], services: Services, output: Output
) -> FolderMapping | None:
    """The mapping that will apply to a blob: one uploaded with it, or that of its folder."""
    path = None if is_mapping_name(name) else files.get(mapping_path(name))
    mapping = _read_mapping(path) if path else find_mapping(services, name)
    if mapping is not None and not output.is_json:
        output.note(f"{files[name]}: checked with the mapping {mapping.name}")
    return mapping


def _read_mapping(path: Path) -> FolderMapping:
    with path.open("rb") as stream:
        return FolderMapping.of(str(path), stream.read(MAX_MAPPING_BYTES + 1))


def _show_mapping(record: ImportRecord, mapping: FolderMapping, output: Output) -> None:
    """Say that a mapping was uploaded: it applies, and has no import."""
    folder = record.file.removesuffix(MAPPING_NAME) or "the container's root"
    if output.is_json:
        output.json({"file": record.file, "hub": record.hub, "mapping": True})
    else:
        effect = f"applies to all files of {printable(folder)} that are validated from now on"
        if mapping.applied.required:
            effect += "; CSV files without its columns are rejected"
        output.show(Text(f"{printable(record.file)}  uploaded; {effect}"))


def _is_importable(path: Path, validation: Validation, policy: Policy, output: Output) -> bool:
    """Check a file as the app will; shows the problems if it would be rejected."""
    with path.open("rb") as stream:
        title = f"checking {path.name}"
        report = validate(validation, stream, title, path.stat().st_size, output)
    if not report.may_be_imported(policy):
        if output.is_json:
            problems = report.problems_json(str(path))
            rejection = {"file": well_formed(str(path)), "importable": False}
            output.json({**rejection, **report.counts_json(), "problems": problems})
        else:
            show_report(str(path), report, policy, output)
        return False
    note_problems(str(path), report, output)
    return True


def _upload(
    path: Path, name: str, options: argparse.Namespace, importer: Importer, output: Output
) -> ImportRecord:
    """Upload a file; returns the record that its import will start with."""
    services = importer.services
    container = services.storage.container(services.settings.uploads.container)
    blob = container.get_blob_client(name)
    # Before a long upload; `_write_blob` makes sure.
    if not options.overwrite and (existing := _properties(blob)):
        raise NotPossibleError(_exists_message(existing, importer))
    size = path.stat().st_size
    metadata = upload_metadata(_ticket(name, importer, output), options.confirm_deletes)
    try:
        with output.progress(f"uploading {name}", size) as advance:
            written = _write_blob(blob, path, metadata, options.overwrite, advance)
    except ResourceExistsError:
        raise NotPossibleError(
            f"Another process uploaded {name!r} at the same time. Use --overwrite to replace it."
        ) from None
    except ResourceNotFoundError:
        raise NotPossibleError(
            f"The container {blob.container_name!r} does not exist in the storage account. "
            "Create it, or correct UPLOAD_CONTAINER."
        ) from None
    upload = Upload(name, written["etag"].strip('"'), written["last_modified"], size)
    return record_of(services, upload)


def _properties(blob: BlobClient) -> BlobProperties | None:
    try:
        return blob.get_blob_properties()
    except ResourceNotFoundError:
        return None


def _exists_message(blob: BlobProperties, importer: Importer) -> str:
    import_id = record_of(importer.services, Upload.of(blob)).id
    try:
        state = f"is {importer.reader.get(import_id).state}"
    except ImportNotFoundError:
        state = "has not started"
    return (
        f"The blob {blob.name!r} already exists; its import {import_id} {state}. Use --overwrite "
        "to replace it: that is a new import, and supersedes the old one if that has not been "
        "validated yet."
    )


def _ticket(name: str, importer: Importer, output: Output) -> UploadTicket | None:
    """Record who uploads; None without access to the table, which an upload does not need."""
    services = importer.services
    until = services.clock() + _LONGEST_UPLOAD
    try:
        return services.tickets.issue(name, caller(importer), until)
    except AzureError as error:
        output.note(
            f"The import of {printable(name)} will not show who uploaded it: the table cannot be "
            f"written ({printable(error_text(error))})."
        )
        return None


def _write_blob(
    blob: BlobClient,
    path: Path,
    metadata: dict[str, str],
    overwrite: bool,
    advance: Callable[[int], None],
) -> Mapping[str, Any]:
    """Upload a file block by block; the blob appears when it is complete.

    Not by `upload_blob`: its block ids are the same for each upload, so two uploads to one name
    at the same time could mix their blocks.

    Returns:
        ETag and Last-Modified of the blob.

    Raises:
        ResourceExistsError: the blob exists and must not be overwritten.
    """
    blocks: list[BlobBlock] = []

    def stage(block: BlobBlock, content: bytes) -> None:
        blob.stage_block(block.id, content)
        advance(len(content))

    with path.open("rb") as stream, ThreadPoolExecutor(_PARALLEL_BLOCKS) as pool:
        chunks = iter(lambda: stream.read(CHUNK_BYTES), b"")
        while batch := list(islice(chunks, _PARALLEL_BLOCKS)):
            new_blocks = [BlobBlock(uuid.uuid4().hex) for _ in batch]
            list(pool.map(stage, new_blocks, batch))
            blocks += new_blocks
    condition: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
    written: Mapping[str, Any] = blob.commit_block_list(blocks, metadata=metadata, **condition)
    return written
