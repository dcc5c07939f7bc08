"""Lines that fail since their devices changed after they were compared with the registry."""

from __future__ import annotations

from dataclasses import replace

from shared.hub.error_log import FailedLine
from shared.hub.explain import remedy_of
from shared.imports.store.plan_files import CHANGED_WHILE_HELD, DEVICE_NOT_MADE, IMPORTED_RECENTLY

__all__ = [
    "MISSING",
    "as_reported",
    "changed_remedy",
    "remedy_of_failure",
    "was_planned_guarded",
]

#: Codes by which the hub reports a device or module as missing.
MISSING = frozenset({"DeviceNotFound", "ModuleNotFound"})

#: Codes by which the hub rejects a line whose device is not as its plan saw it.
_CHANGED = MISSING | {
    *("PreconditionFailed", "EtagDoesNotMatch"),
    *("DeviceAlreadyExists", "ModuleAlreadyExistsOnDevice"),
}
_TEXT = "Changed after it was compared with the registry"
#: How messages begin of lines that failed, or were not sent, for that reason.
_TEXTS = (_TEXT, CHANGED_WHILE_HELD, DEVICE_NOT_MADE)
_AGAIN = {
    False: "retry the import, which compares the line again",
    True: "undo the import again, which compares it again",
}


def changed_remedy(*, is_of_undo: bool) -> str:
    """What to do about a line whose device has changed."""
    return (
        "the device changed after it was compared with the registry, and that change was not "
        f"overwritten; check the device, then {_AGAIN[is_of_undo]}"
    )


def was_planned_guarded(failed: FailedLine, *, is_of_undo: bool) -> bool:
    """Whether a line was not sent since its device had changed."""
    is_recent = is_of_undo and failed.text == IMPORTED_RECENTLY
    return failed.text.startswith(_TEXTS) or is_recent


def as_reported(failed: FailedLine, *, was_guarded: bool) -> tuple[FailedLine, bool]:
    """The failure with its message in the report, and whether its device has changed.

    Args:
        was_guarded: whether the line was sent so that it fails if its device has changed.
    """
    # Of a module, the file may have created the device too late.
    is_order = bool(failed.module_id) and failed.code in MISSING
    if not was_guarded or failed.code not in _CHANGED or is_order:
        return failed, False
    if not failed.text.startswith((*_TEXTS, IMPORTED_RECENTLY)):
        failed = replace(failed, text=f"{_TEXT}: {failed.text}".rstrip(": "))
    return failed, True


def remedy_of_failure(failed: FailedLine, *, is_of_undo: bool) -> str:
    """What to do about a line, by the code and the message that the report has of it."""
    if was_planned_guarded(failed, is_of_undo=is_of_undo):
        return changed_remedy(is_of_undo=is_of_undo)
    return remedy_of(failed.code)
