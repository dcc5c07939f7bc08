"""Files of an import: report, problems and lines to try again."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from cli.output import Output
from cli.progress import bar
from shared.imports.operate.api_models import FileName
from shared.imports.operate.reader import Reader
from shared.storage.blobs import StoredFile

__all__ = ["download", "read_report"]

STANDARD_OUTPUT = "-"


def download(
    reader: Reader, import_id: str, name: FileName, target: str | None, output: Output
) -> None:
    """Write a file of an import piece by piece.

    Raises:
        ImportNotFoundError: there is no such import.
        NotPossibleError: it has no such file, or no longer.
        OSError: the target cannot be written.
    """
    _, file = reader.file(import_id, name)
    if target in (None, STANDARD_OUTPUT):
        _copy(file, sys.stdout.buffer, lambda _: None)
        return
    path = Path(str(target))
    part = path.with_name(f"{path.name}.part")
    try:
        with (
            open(part, "wb", opener=_privately) as stream,
            bar(output, name, file.size) as advance,
        ):
            _copy(file, stream, advance)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    output.note(f"{path}: {file.size:,} bytes.")


def _privately(name: str, flags: int) -> int:
    """Refused lines hold device keys: nobody else is to read them."""
    return os.open(name, flags, 0o600)


def _copy(file: StoredFile, stream: BinaryIO, advance: Callable[[int], None]) -> None:
    for chunk in file.chunks():
        stream.write(chunk)
        advance(len(chunk))
    stream.flush()


def read_report(reader: Reader, import_id: str) -> dict[str, Any]:
    """What report.json says, the problems and failures that it lists included.

    Raises:
        NotPossibleError: it is not there any more.
    """
    _, file = reader.file(import_id, "report.json")
    report: dict[str, Any] = json.loads(b"".join(file.chunks()))
    return report
