"""`upload`: device files into the upload container, checked before."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties
from rich.text import Text

from cli.errors import UsageError
from cli.exits import Exit
from cli.output import PROGRAM, Output, clean
from cli.precheck import is_importable
from cli.progress import bar
from cli.transfer import send
from cli.watch import follow_named
from shared.errors import ImportNotFoundError, NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportSummary
from shared.imports.services import Services
from shared.imports.workflow.registration import Upload, record_of

__all__ = ["run"]


def run(options: argparse.Namespace, importer: Importer, output: Output) -> int:
    """Check files and upload them; nothing is uploaded if one would be rejected.

    Raises:
        UsageError: it is not clear under which names.
        NotPossibleError: there is a blob of this name, or no upload container.
        OSError: a file cannot be read.
    """
    services = importer.services
    planned = _names(options, services)
    if options.check:
        # Each is told about, not the first wrong one alone.
        checked = [
            is_importable(path, name, options.confirm_deletes, services.settings, output)
            for name, path in planned.items()
        ]
        if not all(checked):
            output.error("Nothing was uploaded.")
            return Exit.BAD_END
    records: list[ImportRecord] = []
    for name, path in planned.items():
        if records:
            # Storage tells times in whole seconds: the imports are to be in the order of the files.
            time.sleep(1)
        record = _upload(path, name, options, importer, output)
        records.append(record)
        if not output.is_json:
            told = f"uploaded, {record.size:,} bytes"
            output.show(Text(f"{record.id}  {clean(record.file)}  {told}"))
        elif not options.watch:
            output.json({"id": record.id, "file": record.file, "hub": record.hub})
    if options.watch:
        return _follow(records, importer, output, options.interval)
    if not output.is_json:
        see = (
            f"it: {PROGRAM} show {records[0].id}" if len(records) == 1 else f"them: {PROGRAM} list"
        )
        output.note(f"See what becomes of {see}")
    return Exit.DONE


def _names(options: argparse.Namespace, services: Services) -> Mapping[str, Path]:
    """The files by the names of their blobs."""
    if options.name and len(options.files) > 1:
        raise UsageError("--name is for one file alone.")
    folder = _folder(options.hub, services)
    planned: dict[str, Path] = {}
    for path in map(Path, options.files):
        name = f"{folder}{options.name or path.name}"
        if name.endswith("/") or name in planned:
            raise UsageError(f"{path} would be uploaded as {name!r}, which cannot be: use --name.")
        if services.settings.hub_routes.hub_of(name) is None:
            raise UsageError(
                f"Which hub is {path} for? Use --hub with one of: {_choices(services)}."
            )
        planned[name] = path
    return planned


def _folder(hub: str | None, services: Services) -> str:
    if hub is None:
        return ""
    routes = services.settings.hub_routes
    if hub in routes.folders:
        return f"{hub}/"
    if hub not in services.hubs:
        raise UsageError(f"There is no hub {hub!r}; there are: {_choices(services)}.")
    folder = routes.folder_of(hub)
    return f"{folder}/" if folder else ""


def _choices(services: Services) -> str:
    """What --hub may be: the folders, or the name of a single hub."""
    return ", ".join(services.settings.hub_routes.folders or services.hubs)


def _upload(
    path: Path, name: str, options: argparse.Namespace, importer: Importer, output: Output
) -> ImportRecord:
    """Upload a file; returns the record that its import will begin with."""
    services = importer.services
    container = services.storage.container(services.settings.upload_container)
    blob = container.get_blob_client(name)
    # To be told before a long file is on its way; it is made sure of once more at the end.
    if not options.overwrite and (there := _existing(blob)):
        raise NotPossibleError(_occupied(there, importer))
    metadata = {"confirmDeletes": str(options.confirm_deletes)} if options.confirm_deletes else {}
    size = path.stat().st_size
    try:
        with path.open("rb") as stream, bar(output, f"uploading {name}", size) as advance:
            sent = send(blob, stream, metadata, overwrite=options.overwrite, advance=advance)
    except ResourceExistsError:
        raise NotPossibleError(
            f"Somebody else uploaded {name!r} meanwhile; --overwrite uploads it anew."
        ) from None
    except ResourceNotFoundError:
        raise _no_container(blob) from None
    return record_of(services, _version(name, sent, size))


def _version(name: str, sent: Mapping[str, Any], size: int) -> Upload:
    return Upload(name, str(sent["etag"]).strip('"'), sent["last_modified"], size)


def _existing(blob: BlobClient) -> BlobProperties | None:
    try:
        return blob.get_blob_properties()
    except ResourceNotFoundError as error:
        if getattr(error, "error_code", None) == "ContainerNotFound":
            raise _no_container(blob) from None
        return None


def _no_container(blob: BlobClient) -> NotPossibleError:
    return NotPossibleError(
        f"The storage account has no container {blob.container_name!r}: create it, or correct "
        "UPLOAD_CONTAINER."
    )


def _occupied(there: BlobProperties, importer: Importer) -> str:
    """That a name is in use, and how the import of what is there stands."""
    import_id = record_of(importer.services, Upload.of(there)).id
    try:
        state = f"is {importer.reader.get(import_id).state}"
    except ImportNotFoundError:
        state = "has not begun"
    return (
        f"There is a blob {there.name!r} already; its import {import_id} {state}. --overwrite "
        "uploads it anew, which is an import of its own; one that is still to be read is "
        "superseded by it."
    )


def _follow(
    records: list[ImportRecord], importer: Importer, output: Output, interval: float
) -> Exit:
    ended = follow_named(records, importer, output, interval)
    if output.is_json:
        for record in ended:
            output.json(ImportSummary.of(record))
    is_well = all(record.state is ImportState.COMPLETED for record in ended)
    return Exit.DONE if is_well else Exit.BAD_END
