"""The hub's state in SQLite: in memory, or in a file that outlives the process.

One connection serves all threads, one at a time. A million devices need neither a million
Python objects nor a database server.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CACHE_KIB = 64 * 1024
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identities (
    device_id TEXT NOT NULL,
    module_id TEXT NOT NULL,  -- empty for a device, which so comes before its modules
    revision INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    status_updated TEXT,
    authentication TEXT NOT NULL,
    primary_credential TEXT,  -- a key or a thumbprint, by the type of authentication
    secondary_credential TEXT,
    iot_edge INTEGER NOT NULL,
    other TEXT,  -- what few identities have, as a JSON array
    twin_version INTEGER NOT NULL,
    tags TEXT,  -- JSON, as the following; null for an empty object
    desired TEXT,
    desired_state TEXT,  -- version, time of the last change, metadata; null if never changed
    reported TEXT,
    reported_state TEXT,
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
    """Tables, and transactions that hold the lock.

    Parameters
    ----------
    path
        The file to keep the state in; None keeps it in memory.

    Raises
    ------
    ValueError
        The file is not such a state, or another emulator has it open.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = _connect(path)
        self._close = weakref.finalize(self, self._connection.close)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done inside is stored as a whole; may be nested."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN")
            self._depth += 1
            try:
                yield
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
        """Returns how many rows it changed."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    def reopen(self) -> None:
        """Open a file again that was closed; what is in memory stays as it is."""
        with self._lock:
            if not self._close.alive:
                self._connection = _connect(self._path)
                self._close = weakref.finalize(self, self._connection.close)

    def close(self) -> None:
        """Let go of the file; what is in memory stays, as it would be lost."""
        if self._path is not None:
            with self._lock:
                self._close()

    def _leave(self, verb: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._connection.execute(verb)


def _connect(path: Path | None) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False, timeout=0
        )
    except sqlite3.OperationalError as error:
        raise _unusable(path, error) from error
    try:
        # Losing the last moments to a power cut is fine here, a damaged file is not.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.executescript(_SCHEMA)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unusable(path, error) from error
    return connection


def _unusable(path: Path | None, error: sqlite3.Error) -> ValueError:
    return ValueError(f"{path} cannot be used as the hub's state: {error}")
