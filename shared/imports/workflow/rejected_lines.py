"""The lines of an import that the hub rejected, or that its plan did not send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shared.hub.error_log import FailedLine, Key
from shared.imports.model.record import ImportRecord
from shared.imports.store.import_container import ImportContainer, LinesLostError

__all__ = ["LineKey", "lines_with_fate", "planned_key", "rejected_lines"]

#: The key of a line; one that was not sent has another one than the hub's log could name.
LineKey = Key | tuple[str, str, str]


def planned_key(failed: FailedLine) -> LineKey:
    """The key of a line that was not sent since it would fail."""
    return "planned", failed.device_id, failed.module_id


def lines_with_fate(
    record: ImportRecord, container: ImportContainer
) -> Iterator[tuple[bytes, dict[str, Any], bool]]:
    """The staged lines, each with its JSON object and whether it was sent.

    Raises:
        ResourceNotFoundError, StagedFileChangedError, LinesLostError: they are not known any more.
    """
    file, count = record.planned, record.first_lines
    if record.is_in_second_job:
        file, count = record.second, record.second_lines or 0
    lines = container.staged_lines(record.staged, record.devices or 0)
    # The lines that a plan sends are in the order of the file.
    sent = (
        (_ids(json.loads(line)) for line in container.staged_lines(file, count))
        if count
        else iter(())
    )
    following = next(sent, None)
    for line in lines:
        device = json.loads(line)
        is_sent = record.plan.sent is None or following == _ids(device)
        if is_sent:
            following = next(sent, None)
        yield line, device, is_sent
    if following is not None:
        raise LinesLostError(count, 0)


def rejected_lines(
    staged: Callable[[], Iterable[tuple[bytes, dict[str, Any], bool]]], refused: set[int]
) -> Iterator[tuple[int, bytes, LineKey, str]]:
    """The staged lines that were rejected, with their numbers, keys and import modes.

    A log may name the device alone for a line of a module; not if the device has a line of its own.

    Args:
        refused: hashes of the keys of rejected lines.
    """
    left = len(refused)
    with_lines: set[int] | None = None
    # To the end, so that all lines are counted.
    for number, (line, device, is_sent) in enumerate(staged(), 1):
        if not left:
            continue
        device_id, module_id = ids = _ids(device)
        mode = device.get("importMode") or ""
        key: LineKey = ids if is_sent else ("planned", *ids)
        if is_sent and hash(key) not in refused:
            key = line.decode()
        if hash(key) in refused:
            left -= 1
            yield number, line, key, mode
        elif is_sent and module_id and hash((device_id, "")) in refused:
            if with_lines is None:
                with_lines = _with_lines(staged(), refused)
            if hash((device_id, "")) not in with_lines:
                yield number, line, (device_id, ""), mode


def _with_lines(
    staged: Iterable[tuple[bytes, dict[str, Any], bool]], refused: set[int]
) -> set[int]:
    """The rejected keys that have a line of their own."""
    keys = (hash(_ids(device)) for _, device, is_sent in staged if is_sent)
    return {key for key in keys if key in refused}


def _ids(device: dict[str, Any]) -> tuple[str, str]:
    return device["id"], device.get("moduleId") or ""
