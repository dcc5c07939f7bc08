"""What one line does to one device or module: a pure function, and the guards of the line.

Where documentation does not say what a hub does, a line counts as unchanged only if it is unchanged
whatever the hub does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import msgspec

from shared.device_files.lines.values import AuthenticationType, ImportMode, Status
from shared.plan import twins
from shared.plan.entries import Entry, FileLine
from shared.plan.model import Action, NewKeys, Note, PlannedLine, PropertyChange

__all__ = ["MAX_MODULES", "Device", "Fate", "guarded", "plan_line"]

#: Modules per device (learn: "Understand and use module twins").
MAX_MODULES = 50
#: ETags that match each device: in the header If-Match, and as observed on a hub.
_ANY_ETAG = ("", "*")
_REPORTED = "properties.reported"


class Fate(Enum):
    """What the file does to the device of a module."""

    KEPT = "kept"
    CREATED = "created"
    DELETED = "deleted"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of the device of a module, or of the modules of a device."""

    #: Of a module's device.
    fate: Fate = Fate.KEPT
    #: Modules that it has (None: not known), and those that lines of the file may add.
    modules: int | None = 0
    added_modules: int = 0


@dataclass(slots=True)
class _Findings:
    changes: list[PropertyChange] = field(default_factory=list)
    notes: dict[Note, None] = field(default_factory=dict)
    new_keys: NewKeys | None = None

    def change(self, name: str, old: Any, new: Any) -> None:
        if old != new:
            self.changes.append(PropertyChange(name, old, new))

    def unknown(self, note: Note, *changes: PropertyChange) -> None:
        self.notes[note] = None
        self.changes += [replace(change, is_certain=False) for change in changes]


def plan_line(
    line: FileLine, present: Entry | None, device: Device, *, is_recent: bool = False
) -> PlannedLine:
    """What a line does.

    Args:
        present: what the registry has of its device or module; None: nothing.
        device: for a module its device, for a device its modules.
        is_recent: whether the registry may have changed since `present` was read.
    """
    planned = _plan(line, present, device)
    notes = []
    if line.module_id and device.fate in (Fate.CREATED, Fate.DELETED):
        notes.append(Note.DEPENDS_ON_ORDER)
    if is_recent:
        notes.append(Note.IMPORTED_RECENTLY)
    if not notes:
        return planned
    if is_recent and planned.action is Action.FAIL and line.mode is ImportMode.CREATE:
        # It may have been deleted since, and overwrites nothing if not.
        planned = _created(line, device)
    action = Action.UPDATE if planned.action is Action.UNCHANGED else planned.action
    return replace(planned, action=action, notes=(*notes, *planned.notes))


def _plan(line: FileLine, present: Entry | None, device: Device) -> PlannedLine:
    mode = line.mode
    if present is None:
        if not mode.creates:
            return _failing(line, _missing_code(line, device))
        if line.module_id and device.fate is Fate.MISSING:
            return _failing(line, "DeviceNotFound")
        return _created(line, device)
    if mode is ImportMode.CREATE:
        code = "ModuleAlreadyExistsOnDevice" if line.module_id else "DeviceAlreadyExists"
        return _failing(line, code)
    if _has_other_etag(line, present):
        return _failing(line, "PreconditionFailed")
    if mode.deletes:
        planned = PlannedLine(line.id, line.module_id, mode, Action.DELETE)
        if line.module_id:
            return planned
        if device.modules is None:
            return replace(planned, notes=(Note.MODULES_NOT_COUNTED,))
        return replace(planned, deleted_modules=device.modules)
    findings = _Findings()
    if not mode.updates_twin:
        if line.iot_edge and not present.iot_edge and line.device_scope:
            # Observed on a hub, which answers 503 to such an update.
            return _failing(line, "ServiceUnavailable")
        _compare_identity(line, present, findings)
    _compare_twin(line, present, findings)
    if not findings.changes:
        # Notes say what cannot be known of a line that is sent.
        return PlannedLine(line.id, line.module_id, mode, Action.UNCHANGED)
    is_disabled = not mode.updates_twin and line.status == Status.DISABLED != present.status
    return PlannedLine(
        line.id,
        line.module_id,
        mode,
        Action.UPDATE,
        tuple(findings.changes),
        findings.new_keys,
        is_disabled,
        notes=tuple(findings.notes),
    )


def _failing(line: FileLine, code: str) -> PlannedLine:
    return PlannedLine(line.id, line.module_id, line.mode, Action.FAIL, code=code)


def _missing_code(line: FileLine, device: Device) -> str:
    if not line.module_id or device.fate is Fate.MISSING:
        return "DeviceNotFound"
    return "ModuleNotFound"


def _has_other_etag(line: FileLine, present: Entry) -> bool:
    mode = line.mode
    if mode.updates_twin:
        is_compared, expected, actual = mode.compares_etag, line.twin_etag, present.twin_etag
    else:
        is_compared, expected, actual = mode.compares_etag, line.etag, present.etag
        if not mode.deletes and line.twin_etag not in (*_ANY_ETAG, present.twin_etag):
            return True
    return is_compared and expected not in (*_ANY_ETAG, actual)


def _created(line: FileLine, device: Device) -> PlannedLine:
    notes = []
    if twins.has_null(twins.decode(line.tags)) or twins.has_null(twins.decode(line.desired)):
        notes.append(Note.NULL_MAY_FAIL)
    if line.module_id and (device.modules or 0) + device.added_modules > MAX_MODULES:
        notes.append(Note.TOO_MANY_MODULES_MAY_FAIL)
    return PlannedLine(line.id, line.module_id, line.mode, Action.CREATE, notes=tuple(notes))


def _compare_identity(line: FileLine, present: Entry, findings: _Findings) -> None:
    findings.change("status", present.status, line.status)
    findings.change("statusReason", present.status_reason, line.status_reason)
    _compare_credentials(line, present, findings)
    findings.change("capabilities.iotEdge", present.iot_edge, line.iot_edge)
    scope, parents = _scopes(line, present)
    if line.iot_edge and not present.iot_edge:
        # The hub makes the scope.
        findings.changes.append(PropertyChange("deviceScope", is_shown=False))
    else:
        findings.change("deviceScope", present.device_scope, scope)
    findings.change("parentScopes", list(present.parent_scopes), list(parents))
    if line.attributes is not None and line.attributes != present.attributes:
        # An update that omits them keeps them. They may contain null, and answers of older versions
        # of the API do not contain them.
        old, new = twins.decode(present.attributes), twins.decode(line.attributes)
        if present.attributes is None:
            findings.unknown(Note.NOT_IN_EXPORT, PropertyChange("attributes", None, new))
        elif not twins.are_same(old, new):
            findings.changes.append(PropertyChange("attributes", old, new))
    if line.not_compared:
        findings.unknown(Note.NOT_IN_EXPORT, *map(PropertyChange, line.not_compared))


def _compare_credentials(line: FileLine, present: Entry, findings: _Findings) -> None:
    type_ = line.authentication_type
    if type_ is AuthenticationType.NONE:
        type_ = AuthenticationType.SAS
    old_type = present.authentication_type
    if old_type != type_:
        findings.change("authentication.type", old_type, type_.value)
        findings.new_keys = NewKeys.OTHER_TYPE
    if type_ is AuthenticationType.SAS:
        _compare_keys(line, present, findings)
        return
    if type_ is AuthenticationType.SELF_SIGNED and line.thumbprints == (None, None):
        # Observed on a hub: it keeps what the device has.
        return
    if present.keys is not None or old_type == AuthenticationType.SAS:
        findings.changes.append(PropertyChange("authentication.symmetricKey", is_shown=False))
    if line.thumbprints != present.thumbprints:
        findings.changes.append(PropertyChange("authentication.x509Thumbprint", is_shown=False))
        if _folded(line) != _folded(present):
            findings.new_keys = findings.new_keys or NewKeys.OTHER_THUMBPRINT


def _compare_keys(line: FileLine, present: Entry, findings: _Findings) -> None:
    change = PropertyChange("authentication.symmetricKey", is_shown=False)
    if line.keys is None:
        findings.changes.append(change)
        findings.new_keys = NewKeys.MADE_BY_HUB
    elif present.keys is None and present.authentication_type == AuthenticationType.SAS:
        findings.unknown(Note.KEYS_NOT_COMPARED, change)
    elif line.keys != present.keys:
        findings.changes.append(change)
        findings.new_keys = findings.new_keys or NewKeys.REPLACED
    if any(present.thumbprints):
        findings.changes.append(PropertyChange("authentication.x509Thumbprint", is_shown=False))


def _folded(holder: FileLine | Entry) -> tuple[str, ...]:
    return tuple((thumbprint or "").lower() for thumbprint in holder.thumbprints)


def _scopes(line: FileLine, present: Entry) -> tuple[str | None, tuple[str | None, ...]]:
    """Scope and parents after an update, as observed on a hub.

    An edge device keeps its scope; that of another device names its parent. A device that ceases
    to be an edge device has neither.
    """
    if line.iot_edge:
        return present.device_scope, line.parent_scopes
    if present.iot_edge:
        return None, ()
    return line.device_scope, (line.device_scope,) if line.device_scope else ()


def _compare_twin(line: FileLine, present: Entry, findings: _Findings) -> None:
    """The line of an identity replaces the sections that it has, an updateTwin merges them."""
    is_patch = line.mode.updates_twin
    for name, section, before in (
        ("tags", line.tags, present.tags),
        ("properties.desired", line.desired, present.desired),
        ("properties.reported", line.reported, present.reported),
    ):
        if section == before:
            continue
        old = twins.stored_values(before)
        if section is None:
            if old and not is_patch and name != _REPORTED:
                findings.unknown(Note.MAY_CLEAR_TWIN, *_property_changes(old, {}, name))
            continue
        given = twins.decode(section)
        new = twins.merged(old if is_patch else {}, given)
        if changes := _property_changes(old, new, name):
            if name == _REPORTED:
                findings.unknown(Note.MAY_WRITE_REPORTED, *changes)
            else:
                findings.changes += changes
                if is_patch and twins.is_too_large(name, new):
                    findings.notes[Note.TOO_LARGE_MAY_FAIL] = None
        if not is_patch and twins.has_null(given):
            findings.notes[Note.NULL_MAY_FAIL] = None
        if name != "tags" and twins.has_metadata(given):
            metadata = PropertyChange(f"{name}.$metadata", is_shown=False)
            findings.unknown(Note.METADATA_NOT_COMPARED, metadata)


def _property_changes(old: Any, new: Any, path: str) -> list[PropertyChange]:
    return [PropertyChange(*difference) for difference in twins.differences(old, new, path)]


def guarded(text: bytes, line: FileLine, present: Entry | None) -> bytes:
    """The line as it is sent: it fails if the registry is not as the plan saw it.

    No createOrUpdateIfMatchETag: it makes a device again that was deleted since. A deletion
    compares the ETag of the identity alone, and an updateTwin that of the twin alone, which new
    devices have in common: no line can do more.
    """
    mode = line.mode
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if present is None or mode is ImportMode.CREATE:
        members.pop("eTag", None)
        members.pop("twinETag", None)
        members["importMode"] = _raw(ImportMode.CREATE.value)
        return msgspec.json.encode(members)
    if mode.updates_twin:
        members["importMode"] = _raw(ImportMode.UPDATE_TWIN_IF_MATCH_ETAG.value)
    else:
        guarded_mode = ImportMode.UPDATE_IF_MATCH_ETAG
        if mode.deletes:
            guarded_mode = ImportMode.DELETE_IF_MATCH_ETAG
        members["importMode"] = _raw(guarded_mode.value)
        members["eTag"] = _raw(present.etag)
    # Documentation does not say whether an update keeps a section that the line omits. A hub
    # without twins has no ETags of them.
    if not mode.deletes and present.twin_etag:
        members["twinETag"] = _raw(present.twin_etag)
    return msgspec.json.encode(members)


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))
