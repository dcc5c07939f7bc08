"""Automatic device management configurations and edge deployments.

They are stored and returned, without any effect on devices.
"""

from __future__ import annotations

import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from iothub_emulator.clock import Clock, format_time
from iothub_emulator.errors import ErrorCode, HubError, invalid
from iothub_emulator.json_net import DOCUMENT, INTEGER, STRING, Contract, JsonObject
from iothub_emulator.registry.identity import ANY_ETAG, match_etag
from iothub_emulator.store import Documents

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
CONFIGURATION = Contract("Microsoft.Azure.Devices.Configuration", MEMBERS)


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
            match_etag("configuration", id_, current["etag"], if_match)
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
            match_etag("configuration", id_, current["etag"], if_match)
            self._documents.delete(id_)

    def _find(self, id_: str) -> dict[str, Any] | None:
        return next((content for key, content in self._documents.all() if key == id_), None)

    def _write(
        self, id_: str, declared: Mapping[str, Any], current: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if not _ID.fullmatch(id_):
            raise invalid(f"The configuration identifier {id_} is invalid.")
        if not declared["content"]:  # Required even where it has no effect (live hub).
            raise invalid("The content of the configuration is missing.")
        now = format_time(self._clock.now())
        etag = int(b64decode(current["etag"])) + 1 if current else _FIRST_ETAG
        written = {
            "id": id_,
            **declared,
            "content": (current or declared)["content"],
            "createdTimeUtc": current["createdTimeUtc"] if current else now,
            "lastUpdatedTimeUtc": now,
            "systemMetrics": {"results": {}, "queries": {}},
            "etag": b64encode(str(etag).encode()).decode(),
        }
        self._documents.put(id_, written)
        return written


def _not_found(id_: str) -> HubError:
    return HubError(ErrorCode.ConfigurationNotFound, id_)
