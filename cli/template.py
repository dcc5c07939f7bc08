"""`device-importer template`: an empty CSV file, or a mapping of the columns of another one.

Imports nothing of Azure.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cli.device_file import open_file, shown_name
from cli.errors import Exit, UsageError
from cli.output import PROGRAM, Output
from shared.csv_text import csv_row
from shared.device_files.mapping.document import InvalidMappingError, read_mapping
from shared.device_files.mapping.file_mapping import MAPPING_NAME
from shared.device_files.mapping.template import (
    MAX_HEAD_BYTES,
    NoHeaderError,
    guess_mapping,
    read_header_row,
)

__all__ = ["add_arguments", "run"]

#: The usual columns, and what is to be written into them.
_COLUMNS = {
    "id": "device id, required",
    "status": "enabled or disabled, required",
    "importMode": "empty: create the device, or update it if it exists; or create, update, delete "
    "and others (docs/validation.md)",
    "authentication.type": "sas, selfSigned or certificateAuthority; empty: by the other columns",
    "authentication.x509Thumbprint.primaryThumbprint": "40 or 64 hexadecimal digits",
    "authentication.symmetricKey.primaryKey": "base64; empty: the hub generates both keys",
    "authentication.symmetricKey.secondaryKey": "base64",
    "tags.site": "a tag of the twin; add or rename columns such as tags.<name>",
    "properties.desired.interval:number": "a desired property of the twin; :number, :boolean and "
    ":json are types",
    "capabilities.iotEdge": "true for an edge device",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--from", dest="source", metavar="CSV", help="map the columns of this CSV file")
    add("-o", "--output", metavar="FILE", help="write to this new file (default: standard output)")


def run(options: argparse.Namespace, output: Output) -> Exit:
    """Write a template, and say on stderr how to complete it.

    Raises:
        UsageError: the CSV file has no header, or a file cannot be read or written.
    """
    try:
        text, notes = _mapping(options) if options.source else _empty_file()
        if options.output is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            _write(Path(options.output), text)
    except NoHeaderError as error:
        raise UsageError(f"{shown_name(options.source)}: {error}") from None
    except BrokenPipeError:
        raise
    except FileExistsError:
        message = (
            f"{options.output} exists and is not overwritten. Rename or delete it, or name another "
            f"file: only in the upload container it must be called {MAPPING_NAME}."
        )
        raise UsageError(message) from None
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror or error}") from None
    for note in notes:
        output.note(note)
    return Exit.DONE


def _mapping(options: argparse.Namespace) -> tuple[str, list[str]]:
    with open_file(options.source) as stream:
        header = read_header_row(stream.read(MAX_HEAD_BYTES))
    template = guess_mapping(header.names)
    text = f"{json.dumps(template.document, ensure_ascii=False, indent=2)}\n"
    try:
        read_mapping(text.encode())
    except InvalidMappingError as error:
        raise UsageError(
            f"{shown_name(options.source)}: No mapping can name its columns: {error}. Delete or "
            "rename columns in the file."
        ) from None
    saved_as = options.output or MAPPING_NAME
    notes = [
        *template.notes,
        f"To check both: {PROGRAM} check --mapping {saved_as} {options.source}",
        f"To apply it to a folder: {PROGRAM} upload --name FOLDER/{MAPPING_NAME} {saved_as}",
        f"Then upload the files there: {PROGRAM} upload --name FOLDER/ {options.source}",
    ]
    if header.has_titles:
        notes.insert(0, f"The header is line {header.line:,}. Delete the lines before it.")
    return text, notes


def _empty_file() -> tuple[str, list[str]]:
    width = max(map(len, _COLUMNS))
    columns = [f"  {name:{width}}  {meaning}" for name, meaning in _COLUMNS.items()]
    notes = ["Write one device per row. Remove the columns that you do not need.", *columns]
    return csv_row(_COLUMNS), notes


def _write(path: Path, text: str) -> None:
    """Write a new file; one that exists is never overwritten."""
    with path.open("x", encoding="utf-8", newline="") as stream:
        stream.write(text)
