"""Random registries, device files about them, and another writer, drawn from one source."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

from iothub_emulator.jobs.importing import DeviceImport
from iothub_emulator.registry.registry import Registry
from shared.device_files.lines.values import ImportMode

__all__ = ["Draw", "Line"]

Line = dict[str, Any]

_SCOPES = ("ms-azure-iot-edge://gateway-1", "ms-azure-iot-edge://gateway-2")
_DEVICES = ("a", "b", "c", "d")
_MODULES = ("m", "n")
#: Values that are alike in Python and differ in JSON are among them.
_SCALARS: tuple[Any, ...] = (1, 1.0, True, 0, False, "1", "", "x", [1], [1.0], [])
_THUMBPRINTS = tuple(digit * 40 for digit in "aAbB")


class Draw:
    """Draws few different values, so that lines and registry often agree."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def often(self, share: float = 0.5) -> bool:
        return self.chance.random() < share

    def one(self, values: Any) -> Any:
        return self.chance.choice(values)

    def registry(self, registry: Registry) -> None:
        """Fill a registry; each identity has been changed a few times."""
        for device_id in _DEVICES:
            if self.often(0.7):
                lines: list[Line] = [{"id": device_id, **self.identity(), **self.edge()}]
                for module_id in _MODULES:
                    if self.often(0.4):
                        lines.append({"id": device_id, "moduleId": module_id, **self.identity()})
                DeviceImport(registry).apply(map(json.dumps, lines))
        self.other_writer(registry)

    def other_writer(self, registry: Registry) -> None:
        """Change, delete and create identities at random."""
        for _ in range(self.chance.randint(0, 6)):
            ids: Line = {"id": self.one(_DEVICES)}
            if self.often(0.3):
                ids["moduleId"] = self.one(_MODULES)
            change = self.one(("delete", "again", "twin", "identity", "identity"))
            line = {**ids, **self.identity(), **({} if "moduleId" in ids else self.edge())}
            lines = [line]
            if change in ("delete", "again"):
                lines = [{**ids, "status": "enabled", "importMode": "delete"}]
                lines += [line] if change == "again" else []
            elif change == "twin":
                lines = [{**line, "importMode": "updateTwin"}]
            # Some are refused.
            DeviceImport(registry).apply(map(json.dumps, lines))

    def identity(self) -> Line:
        """Everything of a line but its ids, mode and ETags."""
        line: Line = {"status": self.one(("enabled", "enabled", "disabled"))}
        parts: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("statusReason", lambda: self.one((None, "", "broken"))),
            ("authentication", self.authentication),
            ("tags", self.section),
            ("properties", self.properties),
            ("attributes", lambda: self.one((None, {}, {"a": 1}, {"a": True}, {"a": None}))),
        )
        for name, value in parts:
            if self.often(0.75):
                line[name] = value()
        return line

    def edge(self) -> Line:
        line: Line = {}
        if self.often(0.3):
            line["capabilities"] = self.one((None, {"iotEdge": True}, {"iotEdge": False}))
        if self.often(0.2):
            line["deviceScope"] = self.one((None, "", *_SCOPES))
        if self.often(0.2):
            line["parentScopes"] = self.one((None, [], [_SCOPES[0]], [_SCOPES[1]]))
        return line

    def authentication(self) -> Any:
        keys = [base64.b64encode(bytes([n]) * 16).decode() for n in (1, 2)]
        pair = {"primaryKey": self.one(keys), "secondaryKey": keys[0]}
        prints = {"primaryThumbprint": self.one(_THUMBPRINTS)}
        if self.often():
            prints["secondaryThumbprint"] = self.one((None, "", *_THUMBPRINTS))
        sas: Line = {"symmetricKey": pair}
        signed: Line = {"x509Thumbprint": prints, "symmetricKey": None}
        return self.one(
            (
                *(sas, {**sas, "type": "sas"}, {**sas, "x509Thumbprint": {}}),
                *(signed, {**signed, "type": "selfSigned"}, {"type": "selfSigned"}),
                *({"type": "certificateAuthority"}, None, {}, {"type": "sas"}),
            )
        )

    def properties(self) -> Any:
        if self.often(0.1):
            return None
        properties: Line = {}
        if self.often(0.8):
            properties["desired"] = self.section()
            if properties["desired"] and self.often(0.1):
                properties["desired"]["$metadata"] = {"$lastUpdated": "2026-01-02T03:04:05Z"}
        if self.often(0.3):
            properties["reported"] = self.section()
        return properties

    def section(self, depth: int = 0) -> Any:
        if not depth and self.often(0.15):
            return None
        section: Line = {}
        for name in ("p", "q", "r"):
            if self.often(0.4):
                nests = depth < 2 and self.often(0.3)
                section[name] = self.section(depth + 1) if nests else self.one(_SCALARS)
                if self.often(0.1):
                    section[name] = None
        return section

    def file(self, state: dict[tuple[str, str], Line]) -> list[Line]:
        """Lines about some identities, many of them as they are or nearly so."""
        keys = [(device, module) for device in _DEVICES for module in ("", *_MODULES)]
        keys += [key for key in state if key[1].startswith("$")]
        lines = []
        for key in keys:
            if self.often(0.6):
                lines.append(self._file_line(key, state.get(key)))
        self.chance.shuffle(lines)
        return lines

    def _file_line(self, key: tuple[str, str], present: Line | None) -> Line:
        line: Line = {} if key[1] else self.edge()
        line |= self.identity()
        if present is not None and self.often(0.75):
            line = copy.deepcopy(present)
            if self.often(0.3):
                line |= {} if key[1] else self.edge()
            for name, value in self.identity().items():
                if self.often(0.15):
                    line[name] = value
            for name in list(line):
                if self.often(0.05):
                    del line[name]
            if self.often(0.2):
                prints = (line.get("authentication") or {}).get("x509Thumbprint") or {}
                prints.update((name, value and value.swapcase()) for name, value in prints.items())
        line = {**line, "id": key[0], "status": line.get("status", "enabled")}
        if key[1]:
            line["moduleId"] = key[1]
        if mode := self.one((None, *ImportMode)):
            line["importMode"] = str(mode)
        for name in ("eTag", "twinETag"):
            line.pop(name, None)
            etag = (present or {}).get(name, "AAAA")
            if self.often(0.6):
                line[name] = self.one((etag, etag, f'"{etag}"', "*", "", None, "c3RhbGU="))
        return line
