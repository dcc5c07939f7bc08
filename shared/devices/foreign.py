"""JSON documents of other kinds than device files, known by the names of their members.

Each has the devices in another layout, or none at all, so that every line of it would break rules.
They are told from the beginning of a file. A line with id and status is never one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from shared.devices.strictjson import MAX_NESTING

__all__ = ["Kind", "completed", "foreign_kind"]

_EXPORT = "az iot hub device-identity export"


class Kind(NamedTuple):
    """A kind of documents that is no device file."""

    name: str
    remedy: str
    #: Names of members that only such documents have together, in any case. A name ends in {} if
    #: its value must be an object; /subscriptions/ is how the id of an Azure resource begins.
    marks: tuple[str, ...]


_KINDS = (
    Kind(
        "an Azure Resource Manager template",
        "deploy it with az deployment group create",
        ("$schema resources", "$schema contentVersion", "$schema parameters"),
    ),
    Kind(
        "Azure resources, such as az iot hub show prints them",
        f"export the devices of the hub with {_EXPORT}",
        ("id /subscriptions/",),
    ),
    Kind(
        "a state of az iot hub state export",
        f"use az iot hub state import, or export the devices with {_EXPORT}",
        ("devices{}", "configurations{}", "arm{}"),
    ),
    Kind(
        "enrollments or registrations of the Device Provisioning Service",
        "import them with az iot dps enrollment create; for a hub write id, status and "
        "authentication of each device",
        (
            *("registrationId attestation", "enrollmentGroupId attestation"),
            *("registrationId provisioningStatus", "enrollmentGroupId provisioningStatus"),
            *("registrationId assignedHub", "registrationId substatus"),
            "registrationId createdDateTimeUtc",
        ),
    ),
    Kind(
        "device identities of the REST API, such as az iot hub device-identity show prints them",
        f"use {_EXPORT}, or rename deviceId to id and etag to eTag",
        ("deviceId generationId", "deviceId authentication etag"),
    ),
    Kind(
        "device twins, such as az iot hub device-identity list and az iot hub query print them",
        f"use {_EXPORT} --include-keys, as twins contain no keys",
        (
            *("deviceId version", "deviceId deviceEtag", "deviceId connectionState"),
            *("deviceId statusUpdateTime", "deviceId lastActivityTime"),
            *("deviceId etag tags", "deviceId etag properties"),
        ),
    ),
    Kind(
        "devices of IoT Central",
        "write id, status and authentication of each device",
        ("id displayName provisioned", "id displayName simulated"),
    ),
    Kind(
        "things of AWS IoT",
        "write id, status and authentication of each device",
        ("thingName",),
    ),
    Kind(
        "the error log of an import job",
        "correct the lines of the file that was imported, and upload that",
        ("errorCode errorStatus",),
    ),
)

#: Lines at the beginning of a file that are looked at.
_MAX_LINES = 20
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?P<end>"?)|[{}\[\],]', re.DOTALL)
_CLOSERS = {b"{": ord("}"), b"[": ord("]")}


def foreign_kind(head: bytes) -> Kind | None:
    """The kind of the documents that a file begins with; None if it may be a device file."""
    kinds = {_kind_of(document) for document in _documents(head)}
    return kinds.pop() if len(kinds) == 1 else None


def completed(head: bytes) -> Any:
    """The first JSON value of a file, as far as its beginning shows it; None if it is not JSON."""
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
        # Behind a bracket or in front of a comma, a value may end.
        cut = match.start() if token == b"," else match.end()
        ends = bytes(reversed(closers))
        if not closers:
            break
    return _value(head[:cut] + ends)


def _documents(head: bytes) -> Iterator[dict[str, Any]]:
    """The objects on the first lines or, if these are not whole, in the first value."""
    lines = [] if head.startswith(b"[") else head.split(b"\n", _MAX_LINES)[:_MAX_LINES]
    values = [value for value in map(_value, lines) if isinstance(value, dict) and value]
    for value in values or [completed(head)]:
        yield from _objects(value)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
    elif isinstance(value, dict):
        within = [item for item in value.values() if isinstance(item, list) and item]
        is_wrapper = len(within) == 1 and isinstance(within[0][0], dict) and not _kind_of(value)
        yield from _objects(within[0]) if is_wrapper and "id" not in value else [value]


def _kind_of(document: dict[str, Any]) -> Kind | None:
    names = {name.lower() for name in document}
    if {"id", "status"} <= names:
        return None
    if str(document.get("id")).startswith("/subscriptions/"):
        names.add("/subscriptions/")
    names |= {f"{name.lower()}{{}}" for name, value in document.items() if isinstance(value, dict)}
    for kind in _KINDS:
        for mark in kind.marks:
            marks = set(mark.lower().split())
            if marks <= names and ("id" in marks or "id" not in names):
                return kind
    return None


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
