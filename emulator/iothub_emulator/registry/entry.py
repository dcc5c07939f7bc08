"""An identity as the registry holds it, and its form in an export."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from iothub_emulator.registry.identity import Identity
from iothub_emulator.registry.twin import Twin


@dataclass(frozen=True, slots=True)
class Entry:
    """A device or module with its twin."""

    identity: Identity
    twin: Twin
    #: A number that grows with each change of the identity, of whatever identity it is.
    revision: int
    generation_id: str
    #: When it was enabled or disabled last.
    status_updated: str

    @property
    def etag(self) -> str:
        """The revision in disguise (live hub)."""
        return b64encode(b"%d" % self.revision).decode()

    def to_json(self, *, with_keys: bool = True) -> dict[str, Any]:
        """The line that a hub writes for it in an export; without keys they are null."""
        identity, twin = self.identity, self.twin
        exported: dict[str, Any] = {"id": identity.key.device_id}
        if identity.key.module_id is not None:
            exported["moduleId"] = identity.key.module_id
        exported |= {
            "eTag": self.etag,
            "status": identity.status.value,
            "statusReason": identity.status_reason,
            "authentication": identity.credentials.to_json(with_keys=with_keys),
            "twinETag": twin.etag,
            "tags": twin.tags,
            "properties": {"desired": twin.desired.values, "reported": twin.reported.values},
            "capabilities": {"iotEdge": identity.iot_edge},
        }
        return exported | self.scopes()

    def scopes(self) -> dict[str, Any]:
        """Only identities that belong to an edge device show them (live hub)."""
        if self.identity.device_scope is None:
            return {}
        return {
            "deviceScope": self.identity.device_scope,
            "parentScopes": list(self.identity.parent_scopes),
        }
