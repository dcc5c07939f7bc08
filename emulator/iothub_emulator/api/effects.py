"""The effect of configurations and deployments on the twins of their targets.

A live hub evaluates them shortly after their creation and then every five minutes; here each
change has its effect at once. The rules are those of the learn pages "Automatic device management
at scale" and "Understand IoT Edge automatic deployments".
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any

from iothub_emulator.api.documents import twin_document
from iothub_emulator.errors import HubError
from iothub_emulator.query import Query, parse_query
from iothub_emulator.registry import configurations as rules
from iothub_emulator.registry.deployment import AGENT, MANAGER, set_modules
from iothub_emulator.registry.entries import FIRST_KEY, Entry, Kind
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.registry import Registry
from iothub_emulator.registry.settings import BY, DESIRED, DIGEST, Setting, configured
from iothub_emulator.store import Store

_BATCH = 1000


@dataclass(frozen=True, eq=False)
class _Configuration:
    kind: str
    targets: Query
    content: Mapping[str, Any]
    mark: Mapping[str, str]

    def setting(self, module_id: str | None) -> Setting:
        is_edge = self.kind == rules.EDGE
        return Setting(self.content[module_id or ""] if is_edge else self.content, self.mark)


class Effects:
    """Evaluates all devices when a configuration changes, and a device when it changes."""

    def __init__(
        self, registry: Registry, configurations: rules.Configurations, store: Store
    ) -> None:
        self._registry = registry
        self._stored = configurations
        self._store = store
        self._changed: set[str] = set()
        self._configurations = self._read()
        registry.before_change.append(self._note)
        store.before_commit = self._evaluate_changed
        configurations.after_change = self._evaluate_all

    def _read(self) -> list[_Configuration]:
        """By rising priority; of equal ones the youngest is the last."""
        return [
            _Configuration(
                kind := rules.check_content(stored["content"]),
                parse_query(stored["systemMetrics"]["queries"]["targetedCount"]),
                stored["content"].get(kind) or {},
                {BY: stored["id"], DIGEST: _ticks(stored["createdTimeUtc"])},
            )
            for stored in sorted(self._stored.all(), key=itemgetter("priority"))
        ]

    def _note(self, key: Key) -> None:
        if self._configurations:
            self._changed.add(key.device_id)

    def _evaluate_all(self) -> None:
        self._configurations = self._read()
        after = FIRST_KEY
        while entries := self._registry.scan(Kind.DEVICES, after, _BATCH):
            after = entries[-1].identity.key
            with self._store.transaction():
                self._changed.update(entry.identity.key.device_id for entry in entries)

    def _evaluate_changed(self) -> None:
        """Until nothing changes: a new module can be the target of another configuration."""
        while self._changed:
            device = self._registry.find(Key(self._changed.pop()))
            if device is not None:
                self._evaluate(device)

    def _evaluate(self, device: Entry) -> None:
        """Layers have an effect only above the highest base, which defines everything."""
        targeting, device_id = self._targeting(device), device.identity.key.device_id
        layers = [c for c in targeting if c.kind == rules.EDGE]
        bases = [n for n, layer in enumerate(layers) if DESIRED in layer.content[AGENT]]
        active = layers[bases[-1] :] if bases else []
        self._configure(device, [c for c in targeting if c.kind == rules.DEVICE], [])
        for module in self._registry.modules(device_id):
            module_id = module.identity.key.module_id
            own = [*self._targeting(module), *(c for c in layers if module_id in c.content)]
            idle = [c for c in layers if c not in active]
            self._configure(module, [c for c in self._configurations if c in own], idle)
        if active:
            with suppress(HubError):
                set_modules(self._registry, device_id, {id_ for c in active for id_ in c.content})

    def _targeting(self, entry: Entry) -> list[_Configuration]:
        document, is_module = twin_document(entry, is_row=True), entry.identity.key.module_id
        kinds = {rules.MODULE} if is_module else {rules.DEVICE, rules.EDGE}
        return [c for c in self._configurations if c.kind in kinds and c.targets.matches(document)]

    def _configure(
        self, entry: Entry, targeting: list[_Configuration], idle: list[_Configuration]
    ) -> None:
        """A module of a deployment keeps its settings when no other deployment follows."""
        if not targeting and not entry.configurations:
            return
        key = entry.identity.key
        settings = [c.setting(key.module_id) for c in targeting if c not in idle]
        keep = entry.identity.managed_by == MANAGER and not settings
        with suppress(HubError):  # The twin cannot hold the settings.
            ids = sorted(c.mark[BY] for c in targeting)
            change = partial(configured, settings=settings, targeting=ids, keep=keep)
            self._registry.configure(key, change)


def _ticks(time: str) -> str:
    since = datetime.fromisoformat(time) - datetime(1, 1, 1, tzinfo=UTC)
    return str(since // timedelta(microseconds=1) * 10)
