"""Credentials in cells that are not imported: without them, the hub generates other keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.device_files.formats.csv_columns import Header
from shared.device_files.lines.damage import is_secret
from shared.device_files.lines.values import is_thumbprint, joined_thumbprint
from shared.device_files.rules import Finding, Rule

__all__ = ["misplaced_credentials"]

#: Modes by which the hub ignores credentials, in lower case.
_WITHOUT_CREDENTIALS = ("delete", "updatetwin")


def misplaced_credentials(
    cells: Sequence[str], header: Header, members: Mapping[str, Any]
) -> Iterator[Finding]:
    """Find credentials of a row in columns that are not imported.

    A row that says how its device authenticates may have others, such as a second thumbprint, in a
    column that the mapping ignores. No finding repeats a cell.

    Args:
        members: of the row, with defaults.
    """
    mode = members.get("importMode")
    if isinstance(mode, str) and mode.lower().startswith(_WITHOUT_CREDENTIALS):
        return
    is_open = not members.get("authentication")
    for index, place in header.unused.items():
        cell = cells[index] if index < len(cells) else ""
        is_ignored = index in header.ignored
        if is_secret(cell) and (is_open or not is_ignored):
            target = "authentication.symmetricKey"
        elif is_open and is_thumbprint(joined_thumbprint(cell.strip())):
            target = "authentication.x509Thumbprint.primaryThumbprint"
        else:
            continue
        detail = f"in {place}; they belong in {target}"
        if is_open:
            detail += ". To import none of them, give authentication.type"
        yield Finding("", Rule.CREDENTIALS_MISPLACED, detail)
