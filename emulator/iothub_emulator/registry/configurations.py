"""Automatic device management configurations and edge deployments, as far as jobs carry them.

They are stored and given back; no device is configured by them.
"""

from __future__ import annotations

import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from iothub_emulator.clock import Clock
from iothub_emulator.documents import Documents
from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.json_net import JsonObject
from iothub_emulator.registry.identity import invalid
from iothub_emulator.times import shown_time

ANY_ETAG = "*"

_ID = re.compile(r"[a-z0-9\-+%_*!']{1,128}")
_FIRST_ETAG = 1


def read_configuration(body: JsonObject) -> dict[str, Any]:
    """What a client declares, in a request or in a line of configurations.txt."""
    return {
        "schemaVersion": body.string("schemaVersion"),
        "labels": body.document("labels"),
        "content": body.document("content"),
        "targetCondition": body.string("targetCondition") or "",
        "priority": body.integer("priority") or 0,
        "metrics": {"results": {}, "queries": body.child("metrics").document("queries") or {}},
    }


class Configurations:
    """All configurations of the hub, by id; documents are as a GET shows them."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._documents = documents
        self._clock = clock

    def all(self) -> list[dict[str, Any]]:
        return [content for _, content in self._documents.all()]

    def find(self, id_: str) -> dict[str, Any]:
        found = self._find(id_)
        if found is None:
            raise _not_found(id_)
        return found

    def create(self, id_: str, declared: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._find(id_) is not None:
                message = f"A configuration with ID '{id_}' is already registered."
                raise HubError(ErrorCode.ConfigurationAlreadyExists, message)
            return self._write(id_, declared, None)

    def update(
        self, id_: str, declared: Mapping[str, Any], if_match: str = ANY_ETAG
    ) -> dict[str, Any]:
        """Overwrite a configuration but for its content, which stays as it is (live hub)."""
        with self._lock:
            current = self._find(id_)
            if current is None:
                raise _not_found(id_)
            _match(id_, current, if_match)
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
            current = self._find(id_)
            if current is None:
                raise _not_found(id_)
            _match(id_, current, if_match)
            self._documents.delete(id_)

    def _find(self, id_: str) -> dict[str, Any] | None:
        return next((content for key, content in self._documents.all() if key == id_), None)

    def _write(
        self, id_: str, declared: Mapping[str, Any], current: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if not _ID.fullmatch(id_):
            raise invalid(f"The configuration identifier {id_} is invalid.")
        if not declared["content"]:  # Needed even where it changes nothing (live hub).
            raise invalid("The content of the configuration is missing.")
        now = shown_time(self._clock.now())
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


def _match(id_: str, current: Mapping[str, Any], wanted: str) -> None:
    if wanted not in (ANY_ETAG, current["etag"]):
        message = f"The ETag given for configuration '{id_}' does not match the stored one."
        raise HubError(ErrorCode.PreconditionFailed, message)


def _not_found(id_: str) -> HubError:
    return HubError(ErrorCode.ConfigurationNotFound, id_)
