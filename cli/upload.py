"""`device-importer upload`: check device files, then upload them to the upload container."""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, BlobProperties
from rich.text import Text

from cli.arguments import add_watch, whole_number
from cli.errors import Exit, UsageError
from cli.hub_access import hub_choices
from cli.output import PROGRAM, Output, printable
from cli.problems import note_problems, show_report, validate
from cli.watch import watch_to_end
from shared.errors import ImportNotFoundError, NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.workflow.intake import configured_validation
from shared.imports.workflow.registration import Upload, has_dot_folder, record_of
from shared.settings import Settings
from shared.storage.client import CHUNK_BYTES
from shared.text import well_formed

__all__ = ["add_arguments", "run"]

#: Blocks of a blob that are uploaded at the same time; each is held in memory.
_PARALLEL_BLOCKS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a device file")
    add(
        "--hub",
        metavar="FOLDER",
        help="folder in IOTHUB, or hub name; required if there are several hubs",
    )
    add("--name", help="name of the blob (default: name of the file)")
    add("--no-check", dest="check", action="store_false", help="skip the check before the upload")
    add(
        "--confirm-deletes",
        type=whole_number(0, 10_000_000),
        default=0,
        metavar="N",
        help="allow the file to delete up to N devices",
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
    if options.check:
        # A list: the problems of all files are shown.
        importable = [
            _is_importable(path, name, options.confirm_deletes, services.settings, output)
            for name, path in files.items()
        ]
        if not all(importable):
            output.error("Nothing was uploaded.")
            return Exit.UNSUCCESSFUL
    records: list[ImportRecord] = []
    for name, path in files.items():
        if records:
            # Last-Modified has whole seconds; the queue keeps the order of the files.
            time.sleep(1)
        record = _upload(path, name, options, importer, output)
        records.append(record)
        if not output.is_json:
            message = f"{record.id}  {printable(record.file)}  uploaded, {record.size:,} bytes"
            output.show(Text(message))
        elif not options.watch:
            output.json({"id": record.id, "file": record.file, "hub": record.hub})
    if options.watch:
        return watch_to_end(records, ImportState.COMPLETED, importer, output, options.interval)
    if not output.is_json:
        command = f"show {records[0].id}" if len(records) == 1 else "list"
        output.note(f"To see the result: {PROGRAM} {command}")
    return Exit.DONE


def _files_by_blob(options: argparse.Namespace, services: Services) -> Mapping[str, Path]:
    """The files by the names of their blobs."""
    if options.name and len(options.files) > 1:
        raise UsageError("--name requires a single file.")
    folder = _folder(options.hub, services)
    files: dict[str, Path] = {}
    for path in map(Path, options.files):
        name = f"{folder}{path.name if options.name is None else options.name}"
        if name.endswith("/") or name in files or has_dot_folder(name) or not name:
            raise UsageError(f"{path}: invalid or repeated blob name {name!r}. Use --name.")
        if services.settings.hub.routes.hub_of(name) is None:
            raise UsageError(
                f"{path}: no hub specified. Use --hub with one of: {hub_choices(services)}."
            )
        files[name] = path
    return files


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


def _is_importable(
    path: Path, name: str, confirmed_deletes: int, settings: Settings, output: Output
) -> bool:
    """Check a file as the app will; shows the problems if it would be rejected."""
    validation = configured_validation(settings, name, confirmed_deletes)
    with path.open("rb") as stream:
        title = f"checking {path.name}"
        report = validate(validation, stream, title, path.stat().st_size, output)
    if not report.may_be_imported(settings.validation.policy):
        if output.is_json:
            problems = report.problems_json(str(path))
            rejection = {"file": well_formed(str(path)), "importable": False}
            output.json({**rejection, **report.counts_json(), "problems": problems})
        else:
            show_report(str(path), report, settings.validation.policy, output)
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
    try:
        with output.progress(f"uploading {name}", size) as advance:
            written = _write_blob(blob, path, options, advance)
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


def _write_blob(
    blob: BlobClient, path: Path, options: argparse.Namespace, advance: Callable[[int], None]
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
    metadata = {"confirmDeletes": str(options.confirm_deletes)} if options.confirm_deletes else {}
    condition: dict[str, Any] = (
        {} if options.overwrite else {"match_condition": MatchConditions.IfMissing}
    )
    written: Mapping[str, Any] = blob.commit_block_list(blocks, metadata=metadata, **condition)
    return written
