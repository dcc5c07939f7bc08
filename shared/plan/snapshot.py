"""The state of a registry for the devices of one file, in a temporary database.

SQLite keeps it in memory up to 32 MiB, and the rest in a file of the temporary folder that nobody
else can open and that is gone with the process. The file takes about 100 bytes per device of the
file and module of these, and the JSON of their twins; it contains digests of keys instead of keys.
"""

from __future__ import annotations

import gzip
import itertools
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Self

import msgspec

from shared.device_files.duplicates import fingerprint
from shared.errors import PermanentError
from shared.plan.entries import Entry, RegistryLineError, read_entry

__all__ = ["ExportError", "Snapshot", "export_lines"]

_CACHE_KIB = 32 * 1024
_BATCH = 1000
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
_BLOCK_BYTES = 1 << 20
#: A device with the largest twin has less than 200 KiB.
_MAX_LINE_BYTES = 1 << 22
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Entry)

_FIND = "SELECT entry FROM entries WHERE device = ? AND module_id = ?"
_DELETE = "DELETE FROM entries WHERE device = ? AND module_id = ?"
_COUNT_MODULES = "SELECT count(*) FROM entries WHERE device = ? AND module_id > ''"
_MODULES = "SELECT module_id FROM entries WHERE device = ? AND module_id > ''"
_READ_MODULES = "SELECT module_id, entry FROM entries WHERE device = ? AND module_id > ''"
_KEEP = "INSERT INTO kept VALUES (?, ?, 0)"
_TAKE = "UPDATE kept SET is_found = 1 WHERE device = ? AND module_id = ? AND NOT is_found"
_COUNT_LEFT = "SELECT count(*) FROM kept WHERE NOT is_found"

#: Device id, and module id or "".
Ids = tuple[str, str]


class ExportError(PermanentError):
    """A file is not a complete export of a registry."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(
            f"Line {line:,} of the export cannot be read: {why}. Export the registry again."
        )


class Snapshot:
    """Close it after use; use it in the thread that made it."""

    def __init__(self, as_of: datetime, *, has_keys: bool) -> None:
        """Make an empty one.

        Args:
            as_of: when the registry was read.
            has_keys: whether it is known which keys devices have.
        """
        self.as_of = as_of
        self.has_keys = has_keys
        #: Devices, and devices with modules, in the registry; None: not known.
        self.devices: int | None = None
        self.identities: int | None = None
        self._has_modules = False
        #: By device id, where they were only counted.
        self._modules: dict[str, int | None] = {}
        # The name "" makes a database that is deleted when it is closed.
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            # Appended in any order; the index of fingerprints stays in memory.
            "CREATE TABLE entries (device INTEGER, module_id TEXT, entry BLOB)",
            "CREATE INDEX devices ON entries (device)",
            "CREATE TABLE kept (device INTEGER, module_id TEXT, is_found INTEGER)",
            "CREATE INDEX kept_devices ON kept (device)",
            # One transaction for ever: its end would write the pages that changed.
            "BEGIN",
        ):
            self._database.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def add(self, ids: Ids, entry: Entry) -> None:
        """Add a device or module, or replace it."""
        row = _row(ids, entry)
        self._database.execute(_DELETE, row[:2])
        self._insert([row])

    def note_modules(self, device_id: str, count: int | None) -> None:
        """Note how many modules a device has, of which not all are added; None: not known."""
        self._modules[device_id] = count

    def remove(self, device_id: str) -> None:
        """Remove a device with its modules, to look it up again."""
        self._database.execute("DELETE FROM entries WHERE device = ?", (fingerprint(device_id),))

    def read_export(
        self,
        lines: Iterable[bytes],
        is_wanted: Callable[[str], bool],
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Add the wanted devices of an export, with their modules.

        Args:
            lines: of the export, without their ends.
            is_wanted: whether the file has lines of this device.
            progress: is called with the number of lines that were read, now and then.

        Raises:
            ExportError: it is damaged, or not an export.
        """
        self.devices, self.identities = 0, 0
        rows = []
        number = 0
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
                if line.strip() and not (line.lstrip().startswith(b"{") or b'":' in line):
                    # Observed on a hub: an export without keys begins with a sentence.
                    self.has_keys = False
                    continue
            if not line.strip():
                continue
            try:
                ids, entry = read_entry(line)
            except RegistryLineError as error:
                raise ExportError(number, str(error)) from None
            self.identities += 1
            self.devices += not ids[1]
            if is_wanted(ids[0]):
                rows.append(_row(ids, entry))
            if len(rows) >= _BATCH:
                self._insert(rows)
                rows.clear()
            if number % _BATCH == 0:
                progress(number)
        self._insert(rows)
        progress(number)

    def find(self, device_id: str, module_id: str = "") -> Entry | None:
        row = self._database.execute(_FIND, (fingerprint(device_id), module_id)).fetchone()
        return None if row is None else _DECODER.decode(row[0])

    def has_device(self, device_id: str) -> bool:
        return self._database.execute(_FIND, (fingerprint(device_id), "")).fetchone() is not None

    def modules(self, device_id: str) -> int | None:
        """Number of the modules of a device, with those that the hub creates itself.

        None: it is not known.
        """
        if device_id in self._modules:
            return self._modules[device_id]
        if not self._has_modules:
            return 0
        count: int = self._database.execute(_COUNT_MODULES, (fingerprint(device_id),)).fetchone()[0]
        return count

    def modules_of(self, device_id: str) -> Iterator[tuple[str, Entry]]:
        """The modules of a device that were read, by id."""
        if not self._has_modules:
            return
        rows = self._database.execute(_READ_MODULES, (fingerprint(device_id),)).fetchall()
        for module_id, entry in rows:
            yield module_id, _DECODER.decode(entry)

    def keep(self, device_id: str, module_id: str = "", *, with_modules: bool = False) -> None:
        """Note that a device or module is to be backed up.

        Args:
            with_modules: whether its modules are, too.
        """
        device = fingerprint(device_id)
        ids = [module_id]
        if with_modules:
            rows = self._database.execute(_MODULES, (device,))
            ids += [row[0] for row in rows.fetchall()]
        self._database.executemany(_KEEP, [(device, each) for each in ids])

    def takes(self, device_id: str, module_id: str) -> bool:
        """Whether a device or module is to be backed up and was not taken before."""
        row = fingerprint(device_id), module_id
        return bool(self._database.execute(_TAKE, row).rowcount)

    def left(self) -> int:
        """How many that are to be backed up were not taken."""
        count: int = self._database.execute(_COUNT_LEFT).fetchone()[0]
        return count

    def _insert(self, rows: Sequence[tuple[int, str, bytes]]) -> None:
        self._has_modules = self._has_modules or any(row[1] for row in rows)
        self._database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)


def _row(ids: Ids, entry: Entry) -> tuple[int, str, bytes]:
    return fingerprint(ids[0]), ids[1], _ENCODER.encode(entry)


def export_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of an export, plain or gzipped, without their ends.

    Raises:
        ExportError: the gzip file is damaged or incomplete, or a line is too long.
    """
    number = 0
    tail = b""
    try:
        for chunk in _unzipped(iter(chunks)):
            *lines, tail = (tail + chunk).split(b"\n")
            number += len(lines)
            yield from lines
            if len(tail) > _MAX_LINE_BYTES:
                raise ExportError(number + 1, "it is too long")
    except (zlib.error, gzip.BadGzipFile) as error:
        raise ExportError(number + 1, f"the gzip file is damaged ({error})") from None
    if tail:
        yield tail


def _unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a file in blocks of limited size, gzipped or not."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(_GZIP):
            break
    if not head.startswith(_GZIP):
        yield head
        yield from chunks
        return
    member = zlib.decompressobj(_GZIP_WINDOW)
    for data in itertools.chain((head,), chunks):
        has_more = True
        while has_more:
            if member.eof and data:
                member = zlib.decompressobj(_GZIP_WINDOW)
            block = member.decompress(data, _BLOCK_BYTES)
            yield block
            data = member.unused_data if member.eof else member.unconsumed_tail
            has_more = bool(data) or (len(block) == _BLOCK_BYTES and not member.eof)
    if not member.eof:
        raise gzip.BadGzipFile("it ends early")
