"""The registry that a plan is made for, from a file that was exported before.

Imports nothing of Azure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.device_file import STANDARD_INPUT, size_of
from cli.errors import UsageError
from cli.output import Output, printable
from cli.times import full_time
from shared.plan.file_devices import FileDevices
from shared.plan.snapshot import ExportError, Snapshot, export_lines

__all__ = ["Registry", "export_file"]

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Registry:
    """What is known of a registry, and from where."""

    snapshot: Snapshot
    #: `export` or `lookups`.
    source: str
    #: File or hub, as part of a sentence.
    title: str


@contextmanager
def export_file(file: str, devices: FileDevices, output: Output) -> Iterator[Registry]:
    """The devices of a file in an export of the registry, plain or gzipped.

    Raises:
        UsageError: it is not a complete export, or standard input.
        OSError: it cannot be read.
    """
    if file == STANDARD_INPUT:
        raise UsageError(
            "--registry must be a file, not standard input: its time is that of the registry. "
            f"Write the export to a file first: {output.command('export', '-o', 'export.txt')}"
        )
    with Path(file).open("rb") as stream:
        modified_at = datetime.fromtimestamp(Path(file).stat().st_mtime, UTC)
        with closing(Snapshot(modified_at, has_keys=True)) as snapshot:
            with output.progress(f"reading {file}", size_of(stream)) as advance:

                def chunks() -> Iterator[bytes]:
                    while chunk := stream.read(_CHUNK_BYTES):
                        yield chunk
                        advance(len(chunk))

                try:
                    snapshot.read_export(export_lines(chunks()), devices.__contains__)
                except ExportError as error:
                    raise UsageError(f"{file}: {error}") from None
            if not snapshot.devices:
                # The export of an empty hub is such a file.
                command = output.command("export", "-o", file)
                output.note(
                    f"warning: {file} contains no devices, so the plan is for an empty hub. If the "
                    f"hub has devices, export its registry again: {command}"
                )
            title = (
                f"the registry in {printable(file)} ({snapshot.devices or 0:,} devices), "
                f"last modified {full_time(modified_at)}"
            )
            yield Registry(snapshot, "export", title)
