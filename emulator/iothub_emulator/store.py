"""The hub's state in SQLite, in memory or in a file that survives the process.

All threads share one connection, behind a lock.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CACHE_KIB = 64 * 1024
#: To be increased with each change of the schema, or of what a column holds.
_SCHEMA_VERSION = 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identities (
    device_id TEXT NOT NULL,
    module_id TEXT NOT NULL,  -- empty for a device, so that it sorts before its modules
    revision INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    status_updated INTEGER NOT NULL,
    authentication TEXT NOT NULL,
    primary_credential TEXT,  -- a key or a thumbprint, depending on authentication
    secondary_credential TEXT,
    iot_edge INTEGER NOT NULL,
    other TEXT,  -- rarely used properties, as a JSON array
    twin_version INTEGER NOT NULL,
    tags TEXT,  -- JSON, like the columns below; null for an empty object
    desired TEXT,
    desired_state TEXT,  -- version, time of the last change, metadata; null if unchanged
    reported TEXT,
    reported_state TEXT,
    configurations TEXT,
    PRIMARY KEY (device_id, module_id)
);
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
"""


class Store:
    """The database.

    Parameters
    ----------
    path
        The database file; None keeps the state in memory.

    Raises
    ------
    ValueError
        The file is not a database of an emulator, or another emulator has it open.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._depth = 0
        #: Called at the end of each transaction, within it.
        self.before_commit: Callable[[], None] = lambda: None
        self._connection = _connect(path)
        self._close = weakref.finalize(self, self._connection.close)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock and commit at the end, or roll back on an exception; may be nested."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self.before_commit()
            except BaseException:
                self._leave("ROLLBACK")
                raise
            self._leave("COMMIT")

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def fetch_one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchone()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; return the number of changed rows."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    def reopen(self) -> None:
        """Reopen a closed file; no effect on a database in memory."""
        with self._lock:
            if not self._close.alive:
                self._connection = _connect(self._path)
                self._close = weakref.finalize(self, self._connection.close)

    def close(self) -> None:
        """Close the file; a database in memory stays open, or its content would be lost."""
        if self._path is not None:
            with self._lock:
                self._close()

    def _leave(self, verb: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._connection.execute(verb)


class Documents:
    """JSON documents of one kind (configurations, jobs), in the order of their creation."""

    def __init__(self, store: Store, kind: str) -> None:
        self._store = store
        self._kind = kind

    def all(self) -> list[tuple[str, Any]]:
        """Ids with contents."""
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


def _connect(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.touch(mode=0o600)  # It has the keys of devices.
    try:
        connection = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False, timeout=0
        )
    except sqlite3.OperationalError as error:
        raise _unusable(path, error) from error
    try:
        # Losing the last commits in a power cut is acceptable, a damaged file is not.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        _check(connection)
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unusable(path, error) from error
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Refuse a damaged database, and one of another program or with another schema."""
    (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if damage != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({damage})")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and version != _SCHEMA_VERSION:
        raise sqlite3.DatabaseError("it is not of this version of the emulator")


def _unusable(path: Path | None, error: sqlite3.Error) -> ValueError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return ValueError(f"another emulator uses {path}")
    return ValueError(f"{path} cannot be used: {error}")
