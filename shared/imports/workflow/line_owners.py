"""Whose line failed in a job of several imports.

A line is known by its device's id, whose letter case a hub may have changed, or else by itself:
hubs quote lines that they cannot parse.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from shared.hub.error_log import FailedLine

__all__ = ["LineOwners", "object_in"]


class LineOwners:
    """Which import of a job a line belongs to: no two of them touch the same device."""

    def __init__(self, lines: Iterable[bytes], counts: Sequence[int]) -> None:
        """Read the lines of a job.

        Args:
            counts: how many of them each import has, in this order.

        Raises:
            ValueError: there are more or fewer lines.
        """
        #: By folded id: the import's number, and the ids as they are written.
        self._ids: dict[str, tuple[int, set[str]]] = {}
        #: By the hash of the line.
        self._lines: dict[int, int] = {}
        owners = (number for number, count in enumerate(counts) for _ in range(count))
        for line, owner in zip(lines, owners, strict=True):
            device_id = json.loads(line)["id"]
            self._ids.setdefault(device_id.lower(), (owner, set()))[1].add(device_id)
            self._lines[hash(line.decode())] = owner

    def find(self, failed: FailedLine) -> tuple[int | None, FailedLine]:
        """The number of the import whose line failed; None if there is none.

        Returns:
            Also the failure, with the id as the line has it.
        """
        if failed.device_id:
            owner, written = self._ids.get(failed.device_id.lower(), (None, set()))
            if failed.device_id not in written and len(written) == 1:
                failed = replace(failed, device_id=next(iter(written)))
            return owner, failed
        if failed.raw_line:
            owner = self._lines.get(hash(failed.raw_line))
            if owner is None:
                owner, _ = self._ids.get(_id_in(failed.raw_line).lower(), (None, set()))
            return owner, failed
        return None, failed


def _id_in(line: str) -> str:
    """The id in a line that a hub could not parse; "" if there is none."""
    device_id = object_in(line).get("id")
    return device_id if isinstance(device_id, str) else ""


def object_in(line: str) -> dict[str, Any]:
    """The JSON object in a line; empty if it cannot be read."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
