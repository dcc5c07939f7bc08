"""What a plan says of a line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.device_files.lines.values import ImportMode

__all__ = ["Action", "NewKeys", "Note", "PlannedLine", "PropertyChange"]


class Action(StrEnum):
    """What the import does to a device or module."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    DELETE = "delete"
    #: Not sent, though it might have an effect.
    LEFT_OUT = "leftOut"
    #: The hub would reject the line.
    FAIL = "fail"

    @property
    def is_sent(self) -> bool:
        """Whether an import that was planned sends the line."""
        return self in (Action.CREATE, Action.UPDATE, Action.DELETE)


class NewKeys(StrEnum):
    """Why the credentials of a device do not work any more after an update."""

    REPLACED = "replaced"
    MADE_BY_HUB = "madeByHub"
    OTHER_TYPE = "otherType"
    OTHER_THUMBPRINT = "otherThumbprint"


class Note(StrEnum):
    """What cannot be known of a line; the value is its code in plan.json and plan.csv."""

    #: The file also creates or deletes the module's device, and a job has no order.
    DEPENDS_ON_ORDER = "dependsOnOrder"
    #: Documentation does not say whether an update keeps a section that the line omits.
    MAY_CLEAR_TWIN = "mayClearTwin"
    #: Documentation does not say whether an import writes reported properties.
    MAY_WRITE_REPORTED = "mayWriteReported"
    #: The line has $metadata, which replaces metadata that no export contains.
    METADATA_NOT_COMPARED = "metadataNotCompared"
    KEYS_NOT_COMPARED = "keysNotCompared"
    #: The line has properties that the snapshot does not contain.
    NOT_IN_EXPORT = "notInExport"
    #: Documentation does not say whether null is accepted in a section that is written as a whole.
    NULL_MAY_FAIL = "nullMayFail"
    #: A twin with the properties of an updateTwin may be larger than the hub allows.
    TOO_LARGE_MAY_FAIL = "tooLargeMayFail"
    #: The device may have more modules than the hub allows.
    TOO_MANY_MODULES_MAY_FAIL = "tooManyModulesMayFail"
    #: The hub does not list the modules of a disabled device, which are deleted with it.
    MODULES_NOT_COUNTED = "modulesNotCounted"
    #: An import changed the device a short time ago, and the snapshot may be older.
    IMPORTED_RECENTLY = "importedRecently"
    #: Somebody changed the device between the plan that was approved and the job.
    CHANGED_WHILE_HELD = "changedWhileHeld"
    #: Of an undo: somebody changed the device after the import that is undone.
    CHANGED_SINCE = "changedSince"
    MADE_AGAIN = "madeAgain"
    #: The lines of one job have no order.
    AFTER_ITS_DEVICE = "afterItsDevice"
    SCOPE_NOT_RESTORED = "scopeNotRestored"

    @property
    def text(self) -> str:
        return _TEXTS[self]


_TEXTS = {
    Note.DEPENDS_ON_ORDER: "depends on the order in which the hub applies the lines",
    Note.MAY_CLEAR_TWIN: "the line omits a section of the twin, which the hub may clear",
    Note.MAY_WRITE_REPORTED: "the hub may write the reported properties or ignore them",
    Note.METADATA_NOT_COMPARED: "$metadata is written and cannot be compared",
    Note.KEYS_NOT_COMPARED: "keys are not compared, since the export has none",
    Note.NOT_IN_EXPORT: "the line has properties that exports or lookups do not contain",
    Note.NULL_MAY_FAIL: "the hub may reject null in a twin that is not updated by updateTwin",
    Note.TOO_LARGE_MAY_FAIL: "the updated twin may be too large",
    Note.TOO_MANY_MODULES_MAY_FAIL: "the device may have too many modules",
    Note.MODULES_NOT_COUNTED: "the modules that are deleted with the device are not known",
    Note.IMPORTED_RECENTLY: "an import changed the device a short time ago",
    Note.CHANGED_WHILE_HELD: "the device changed after the plan that was approved",
    Note.CHANGED_SINCE: "somebody changed the device after the import that is undone",
    Note.MADE_AGAIN: (
        "made again: its generation id, reported properties, queued messages and the settings of "
        "$edgeAgent and $edgeHub do not come back"
    ),
    Note.AFTER_ITS_DEVICE: "sent in a second job, once its device is there",
    Note.SCOPE_NOT_RESTORED: (
        "its deviceScope and parentScopes are not restored: its parent has another scope by then, "
        "or it was an edge device meanwhile (then another undo restores them)"
    ),
}


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One property that an update changes. Keys and thumbprints are never shown."""

    #: Dotted path, such as `tags.site`.
    field: str
    #: JSON values; None where there is none, or where the values are not shown.
    old: Any = None
    new: Any = None
    #: False where the hub's behaviour is not known, or the values cannot be compared.
    is_certain: bool = True
    #: False for keys and thumbprints.
    is_shown: bool = True


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """What a plan says of one line of a device file."""

    id: str
    #: "" for a device.
    module_id: str
    mode: ImportMode
    action: Action
    changes: tuple[PropertyChange, ...] = ()
    new_keys: NewKeys | None = None
    #: Whether an enabled device is disabled.
    disables: bool = False
    #: Modules that are deleted with a device.
    deleted_modules: int = 0
    #: The hub's error code, if the line would fail: its symbolic name.
    code: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def is_destructive(self) -> bool:
        """Whether it deletes or disables a device, or former credentials do not work any more."""
        return self.action is Action.DELETE or self.disables or self.new_keys is not None
