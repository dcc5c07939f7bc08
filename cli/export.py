"""`device-importer export`: the registry of a hub as a file."""

from __future__ import annotations

import argparse
import gzip
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from cli.errors import CommandError, Exit, UsageError
from cli.export_job import Export, exported
from cli.hub_access import chosen_hub, hub_errors
from cli.output import Output, printable
from cli.times import full_time
from shared.imports.app import Importer
from shared.text import well_formed

__all__ = ["add_arguments", "run"]

STANDARD_OUTPUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="where to write it, compressed if the name ends in .gz; only you can read the file. "
        "- is standard output",
    )
    add("--keys", action="store_true", help="include the symmetric keys of devices and modules")
    add(
        "--hub",
        metavar="NAME",
        help="hub name, or folder in IOTHUB; required if there are several hubs",
    )


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Export a registry; the file appears when it is complete.

    Raises:
        UsageError: no hub is specified, or the file cannot be written there.
        CommandError: the hub cannot be reached or refuses, or its export is damaged.
        OSError: the file cannot be written.
    """
    to_stdout = options.output == STANDARD_OUTPUT
    if to_stdout and output.is_json:
        raise UsageError("--format json needs a file: use --output FILE.")
    hub = chosen_hub(options.hub, importer.services)
    # Before the job, so that a wrong path takes no time.
    with (
        hub_errors(hub),
        _target(options.output) as target,
        exported(importer.services, hub, output, keys=options.keys) as export,
    ):
        lines = _copy(export, target, hub, output)
    if output.is_json:
        summary = {"file": well_formed(options.output), "hub": hub, "lines": lines}
        output.json({**summary, "keys": options.keys, "asOf": export.as_of.isoformat()})
    else:
        name = "standard output" if to_stdout else printable(options.output)
        keys = "with keys" if options.keys else "without keys"
        output.note(
            f"{name}: {lines:,} devices and modules of {hub}, {keys}, read "
            f"{full_time(export.as_of)}"
        )
    return Exit.DONE


@contextmanager
def _target(name: str) -> Iterator[BinaryIO]:
    """A file that only its owner can read, and that has its name when it is complete."""
    if name == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(os.path.realpath(name))
    if path.exists() and not path.is_file():
        raise UsageError(f"{name} is not a regular file. Use - for standard output.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from None
    with open(descriptor, "wb") as stream:
        try:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, stream, mtime=0) as compressed:
                    yield cast(BinaryIO, compressed)
            else:
                yield stream
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _copy(export: Export, target: BinaryIO, hub: str, output: Output) -> int:
    """Copy an export as the hub wrote it; return the number of its devices and modules.

    Raises:
        CommandError: it is not complete.
    """
    lines, tail, has_note = 0, b"", False
    with output.progress("downloading the export", export.file.size) as advance:
        for index, chunk in enumerate(_filled(export.file.chunks())):
            if index == 0:
                # An export without keys begins with a note.
                has_note = not chunk.lstrip().startswith(b"{")
            try:
                target.write(chunk)
            except BrokenPipeError:
                raise
            except OSError as error:
                message = f"The export cannot be written: {error.strerror or error}."
                raise UsageError(message) from None
            lines += chunk.count(b"\n")
            *ended, rest = chunk.rsplit(b"\n", 1)
            tail = rest if ended else tail + rest
            advance(len(chunk))
    if tail and not (has_note and not lines):
        lines += 1
        try:
            msgspec.json.decode(tail, type=dict)
        except (msgspec.DecodeError, ValueError):
            message = f"The export of the hub {hub} ends in the middle of a line. Try again."
            raise CommandError(Exit.NO_ACCESS, message) from None
    return max(0, lines - has_note)


def _filled(chunks: Iterable[bytes]) -> Iterator[bytes]:
    return (chunk for chunk in chunks if chunk)
