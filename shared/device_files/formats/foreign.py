"""JSON documents of other tools, by the names of their properties.

They have the devices in another layout, or none at all, so that every line would break rules. A
line with id and status is never one of them, unless its status is a number, as the SDK for .NET
writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from shared.device_files.lines.members import MEMBERS
from shared.device_files.lines.strict_json import MAX_NESTING

__all__ = ["Kind", "completed", "foreign_kind"]


class Kind(NamedTuple):
    """A kind of documents that are not device files."""

    name: str
    remedy: str
    #: Sets of traits (`_traits`) that only such documents have.
    marks: tuple[str, ...]


_EXPORT = "az iot hub device-identity export"
_EXPORT_DEVICES = f"export the devices of the hub with {_EXPORT}"
_WRITE = "write id, status and authentication of each device"
# fmt: off
#: A document of several kinds is of the first.
_KINDS = (
    Kind("an Azure Resource Manager template", "it defines resources and no devices",
         ("$schema resources", "$schema contentVersion", "$schema parameters")),
    Kind("Azure resources, as az iot hub show prints them", _EXPORT_DEVICES,
         ("id /subscriptions/",)),
    Kind("a state of az iot hub state export", _EXPORT_DEVICES,
         ("devices.*.identity", "devices.*.twin", "configurations{}", "arm{}",
          "identity{} twin{}")),
    Kind("the error log of an import job", "correct the lines of the imported file",
         ("errorCode errorStatus",)),
    Kind("an error that a service returned instead of devices",
         "read its message, fix the cause and download the devices again",
         ("error.code", "error.message", "code message", "errorCode message",
          "message exceptionMessage", "errorCode trackingId")),
    Kind("an object that has the devices as its properties",
         "write an array of devices, each with its id",
         ("devices.*.status", "devices.*.authentication", "*.status", "*.authentication")),
    Kind("import or export jobs, not their devices",
         "download the file of devices from the blob container of the job",
         ("jobId type", "jobId status", "jobId inputBlobContainerUri")),
    Kind("enrollments or registrations of the Device Provisioning Service",
         f"a hub cannot import them: {_WRITE}",
         ("registrationId", "enrollmentGroupId attestation",
          "enrollmentGroupId provisioningStatus")),
    Kind("devices as the SDK for .NET or Get-AzIotHubDevice | ConvertTo-Json writes them",
         f"use {_EXPORT}, or {_WRITE}",
         ("PascalCase id generationId", "PascalCase id statusUpdatedTime")),
    Kind("devices or twins of the SDK for Python (as_dict)", f"use {_EXPORT}, or {_WRITE}",
         ("device_id",)),
    Kind("device identities of the REST API, as az iot hub device-identity show prints them",
         f"use {_EXPORT}, or rename deviceId to id and etag to eTag",
         ("deviceId generationId", "deviceId authentication")),
    Kind("device twins, as az iot hub device-identity list and az iot hub query print them",
         f"use {_EXPORT} --include-keys, as twins contain no keys",
         ("deviceId version", "deviceId deviceEtag", "deviceId connectionState",
          "deviceId statusUpdateTime", "deviceId lastActivityTime",
          "deviceId tags", "deviceId properties")),
    Kind("parts of device twins or identities, as az iot hub query prints them",
         f"use {_EXPORT} --include-keys, or rename deviceId to id", ("deviceId",)),
    Kind("devices of IoT Central", _WRITE,
         ("id displayName provisioned", "id displayName simulated")),
    Kind("things of AWS IoT", _WRITE, ("thingName",)),
)
# fmt: on
_MARKS = [(frozenset(mark.lower().split()), kind) for kind in _KINDS for mark in kind.marks]
#: Traits of devices with an id and a status that is a number.
_OF_DOTNET = frozenset({"pascalcase", "generationid", "status#"})
_MEMBERS = frozenset(name.lower() for name in MEMBERS)

#: Lines at the beginning of a file that are examined.
_MAX_LINES = 20
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?P<end>"?)|[{}\[\],]', re.DOTALL)
_CLOSERS = {b"{": ord("}"), b"[": ord("]")}


def foreign_kind(head: bytes) -> Kind | None:
    """Return the kind of documents that a file begins with; None if it may be a device file."""
    kinds: set[Kind] = set()
    for document in _documents(head):
        kind = _kind_of(document)
        if kind is None:
            return None
        kinds.add(kind)
    # Rows of a query lack properties without a value; those with more properties are more precise.
    return min(kinds, key=_KINDS.index, default=None)


def completed(head: bytes) -> Any:
    """Return the first JSON value of a file, as far as it is in its beginning; None if not JSON."""
    closers = bytearray()
    cut, ends = 0, b""
    for match in _TOKEN.finditer(head):
        token = match[0]
        if token in _CLOSERS:
            closers.append(_CLOSERS[token])
            if len(closers) > MAX_NESTING:
                return None
        elif token in (b"}", b"]"):
            if not closers:
                return None
            closers.pop()
        elif token != b",":
            if not match["end"]:
                break  # within a string
            continue
        # A value may end after a bracket or before a comma.
        cut = match.start() if token == b"," else match.end()
        ends = bytes(reversed(closers))
        if not closers:
            break
    return _value(head[:cut] + ends)


def _documents(head: bytes) -> Iterator[dict[str, Any]]:
    """Return the objects on the first lines or, if these are incomplete, in the first value."""
    lines = [] if head.startswith(b"[") else head.split(b"\n", _MAX_LINES)[:_MAX_LINES]
    values = [value for value in map(_value, lines) if isinstance(value, dict) and value]
    for value in values or [completed(head)]:
        yield from _objects(value)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
    elif isinstance(value, dict):
        arrays = [item for item in value.values() if isinstance(item, list) and item]
        is_wrapper = len(arrays) == 1 and isinstance(arrays[0][0], dict) and not _kind_of(value)
        yield from _objects(arrays[0]) if is_wrapper and "id" not in value else [value]


def _kind_of(document: dict[str, Any]) -> Kind | None:
    traits = _traits(document)
    if {"id", "status"} <= traits and not traits >= _OF_DOTNET:
        return None
    has_id = "id" in traits
    return next(
        (kind for marks, kind in _MARKS if marks <= traits and ("id" in marks or not has_id)), None
    )


def _traits(document: dict[str, Any]) -> set[str]:
    """Return what characterises a document, in lower case.

    The names of its properties; `name{}` and `name#` for objects and numbers; `name.below` for
    properties of objects; `name.*.below` and `*.below` where all properties are objects;
    /subscriptions/ for the id of an Azure resource; PascalCase.
    """
    names = {name.lower() for name in document}
    traits = set(names)
    if str(document.get("id")).startswith("/subscriptions/"):
        traits.add("/subscriptions/")
    if all(name[:1].isupper() for name in document):
        traits.add("pascalcase")
    if names.isdisjoint(_MEMBERS):
        traits.update(f"*.{name}" for name in _names_below(document))
    for name, value in document.items():
        if isinstance(value, dict):
            traits.add(f"{name.lower()}{{}}")
            traits.update(f"{name.lower()}.{below.lower()}" for below in value)
            traits.update(f"{name.lower()}.*.{below}" for below in _names_below(value))
        elif isinstance(value, int | float):
            traits.add(f"{name.lower()}#")
    return traits


def _names_below(document: dict[str, Any]) -> set[str]:
    """Return the names in the objects that a document consists of."""
    values = [value for value in document.values() if isinstance(value, dict)]
    if len(values) < len(document):
        return set()
    return {name.lower() for value in values for name in value}


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
