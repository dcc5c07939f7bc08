"""Automatic device management configurations and edge deployments.

They are stored and returned; `api/effects.py` has their effect. Rules for content: a live hub.
"""

from __future__ import annotations

import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any

from iothub_emulator.clock import Clock, format_time
from iothub_emulator.errors import ErrorCode, HubError, invalid
from iothub_emulator.json_net import DOCUMENT, INTEGER, STRING, Contract, JsonObject
from iothub_emulator.query import Source, parse_query, source_of, targets_query
from iothub_emulator.registry.identity import ANY_ETAG, match_etag
from iothub_emulator.registry.settings import DESIRED
from iothub_emulator.store import Documents

#: Per hub (learn page on quotas).
MAX_CONFIGURATIONS = 100
DEVICE, MODULE, EDGE = "deviceContent", "moduleContent", "modulesContent"

_ID = re.compile(r"[a-z0-9\-+%_*!']{1,128}")
_FIRST_ETAG = 1

MEMBERS = {
    "schemaVersion": STRING,
    "labels": DOCUMENT,
    "content": DOCUMENT,
    "targetCondition": STRING,
    "priority": INTEGER,
    "metrics": Contract("Microsoft.Azure.Devices.ConfigurationMetrics", {"queries": DOCUMENT}),
}
CONFIGURATION = Contract("Microsoft.Azure.Devices.Configuration", {"id": STRING, **MEMBERS})


def read_configuration(body: JsonObject) -> dict[str, Any]:
    """Read a request body or a line of configurations.txt."""
    return {
        "schemaVersion": body.string("schemaVersion"),
        "labels": body.document("labels"),
        "content": body.document("content"),
        "targetCondition": body.string("targetCondition") or "",
        "priority": body["priority"] or 0,
        "metrics": {"results": {}, "queries": body.child("metrics").document("queries") or {}},
    }


class Configurations:
    """The configurations of the hub, in the form of the answer to a GET."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._documents = documents
        self._clock = clock
        self.after_change: Callable[[], None] = lambda: None

    def all(self) -> list[dict[str, Any]]:
        return [content for _, content in self._documents.all()]

    def find(self, id_: str) -> dict[str, Any]:
        configuration = self._find(id_)
        if configuration is None:
            raise _not_found(id_)
        return configuration

    def create(self, id_: str, declared: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._find(id_) is not None:
                message = f"A configuration with ID '{id_}' is already registered."
                raise HubError(ErrorCode.ConfigurationAlreadyExists, message)
            return self._write(id_, declared, None)

    def update(
        self, id_: str, declared: Mapping[str, Any], if_match: str = ANY_ETAG
    ) -> dict[str, Any]:
        """Overwrite a configuration except its content, which cannot change (live hub)."""
        with self._lock:
            current = self.find(id_)
            _match_etag(id_, current, if_match)
            return self._write(id_, declared, current)

    def create_or_update(
        self, id_: str, declared: Mapping[str, Any], if_match: str = ANY_ETAG
    ) -> dict[str, Any]:
        with self._lock:
            if self._find(id_) is None:
                return self._write(id_, declared, None)
        return self.update(id_, declared, if_match)

    def delete(self, id_: str, if_match: str = ANY_ETAG) -> None:
        with self._lock:
            current = self.find(id_)
            _match_etag(id_, current, if_match)
            self._documents.delete(id_)
            self.after_change()

    def _find(self, id_: str) -> dict[str, Any] | None:
        return next((content for key, content in self._documents.all() if key == id_), None)

    def _write(
        self, id_: str, declared: Mapping[str, Any], current: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if not _ID.fullmatch(id_):
            raise invalid(f"The configuration identifier {id_} is invalid.")
        content = (current or declared)["content"]
        check_content(declared["content"])  # Required even where it has no effect (live hub).
        check_metrics(declared["metrics"]["queries"])
        queries = _system_queries(id_, declared["targetCondition"], check_content(content))
        if current is None and len(self._documents.all()) >= MAX_CONFIGURATIONS:
            message = f"The hub has {MAX_CONFIGURATIONS} configurations, and cannot have more."
            raise HubError(ErrorCode.ConfigurationCountLimitExceeded, message)
        now = format_time(self._clock.now())
        etag = int(b64decode(current["etag"])) + 1 if current else _FIRST_ETAG
        written = {
            "id": id_,
            **declared,
            "content": content,
            "createdTimeUtc": current["createdTimeUtc"] if current else now,
            "lastUpdatedTimeUtc": now,
            "systemMetrics": {"results": {}, "queries": queries},
            "etag": b64encode(str(etag).encode()).decode(),
        }
        self._documents.put(id_, written)
        self.after_change()
        return written


def _match_etag(id_: str, current: Mapping[str, Any], if_match: str) -> None:
    message = f"The ETag given for configuration '{id_}' does not match the stored one."
    match_etag(current["etag"], if_match, message)


def check_content(content: Mapping[str, Any] | None) -> str:
    """Return the kind of a content; HubError if it has several.

    An empty content, which end-to-end tests of the C# client create, counts as one for devices.
    """
    kinds = (DEVICE, MODULE, EDGE)
    if content is None or (content and content.keys().isdisjoint(kinds)):
        raise _invalid_content(f"requires one of {', '.join(kinds)}")
    parts = {kind: content[kind] for kind in kinds if content.get(kind) is not None}
    filled = {kind: part for kind, part in parts.items() if part}
    if len(filled) > 1:
        raise _invalid_content(f"requires exactly one of {', '.join(kinds)}")
    if not filled and len(parts) != 1:
        return DEVICE
    [(kind, part)] = (filled or parts).items()
    for section in part.values() if kind == EDGE and isinstance(part, dict) else [part]:
        if not isinstance(section, dict) or not all(map(_is_desired, section)):
            raise _invalid_content(f"can contain only names that start with {DESIRED}")
        if not isinstance(section.get(DESIRED, {}), dict):
            raise _invalid_content(f"requires an object as {DESIRED}")
    if kind == EDGE and "$edgeAgent" not in part:
        raise _invalid_content("requires $edgeAgent")
    return kind


def check_metrics(queries: Mapping[str, Any]) -> None:
    """Refuse metrics that are not queries of twins."""
    for name, text in queries.items():
        try:
            if not isinstance(text, str) or parse_query(text).source is Source.JOBS:
                raise invalid("it must be a query of twins.")
        except HubError as error:
            code = ErrorCode.InvalidConfigurationCustomMetricsQuery
            raise HubError(code, f"Metric {name}: {error.message}") from None


def _is_desired(name: str) -> bool:
    return name == DESIRED or name.startswith(f"{DESIRED}.")


def _system_queries(id_: str, condition: str, kind: str) -> dict[str, str]:
    """The queries of the system metrics, as a live hub writes them.

    Those of module configurations are an assumption.
    """
    if (kind == MODULE) != (source_of(condition) is Source.MODULES) and condition:
        message = "Configurations of modules, and no others, require from devices.modules where."
        raise HubError(ErrorCode.InvalidConfigurationTargetCondition, message)
    applied = f"configurations.[[{id_}]].status = 'Applied'"
    queries = {"targetedCount": targets_query(condition, edge=kind == EDGE)}
    if kind == DEVICE:
        return queries | {"appliedCount": f"select deviceId from devices where {applied}"}
    if kind == MODULE:
        rows = "select deviceId, moduleId from devices.modules"
        return queries | {"appliedCount": f"{rows} where {applied}"}
    rows = f"select deviceId from devices.modules where moduleId = '$edgeAgent' and {applied}"
    reported = "properties.desired.$version = properties.reported.lastDesiredVersion"
    code = "properties.reported.lastDesiredStatus.code"
    return queries | {
        "appliedCount": rows,
        "reportedSuccessfulCount": f"{rows} and {reported} and {code} = 200",
        "reportedFailedCount": f"{rows} and {reported} and {code} != 200",
    }


def _invalid_content(reason: str) -> HubError:
    return HubError(ErrorCode.InvalidConfigurationContent, f"The content {reason}.")


def _not_found(id_: str) -> HubError:
    return HubError(ErrorCode.ConfigurationNotFound, id_)
