"""Few and small things that are kept as JSON: configurations and jobs."""

from __future__ import annotations

import json
from typing import Any

from iothub_emulator.store import Store


class Documents:
    """The documents of one kind, in the order in which they were first put."""

    def __init__(self, store: Store, kind: str) -> None:
        self._store = store
        self._kind = kind

    def all(self) -> list[tuple[str, Any]]:
        rows = self._store.fetch(
            "SELECT id, content FROM documents WHERE kind = ? ORDER BY rowid", (self._kind,)
        )
        return [(id_, json.loads(content)) for id_, content in rows]

    def put(self, id_: str, content: Any) -> None:
        self._store.execute(
            "INSERT INTO documents VALUES (?, ?, ?) "
            "ON CONFLICT (kind, id) DO UPDATE SET content = excluded.content",
            (self._kind, id_, json.dumps(content)),
        )

    def delete(self, id_: str) -> None:
        self._store.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (self._kind, id_))
