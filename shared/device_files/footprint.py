"""Which devices a file touches, in a few bytes: whether two files may be in one job.

A job of a hub has no order. So two files go into one job only if neither touches a device that the
other touches or refers to. A device is known by a hash of its id without letter case; a module
counts as its device; references are the parents that scopes name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import msgspec

from shared.device_files.lines.values import ImportMode

__all__ = ["MAX_LINES", "Footprint", "FootprintBuilder"]

#: A file with more lines has no footprint, and a job of its own.
MAX_LINES = 4000

#: Bytes of a hash: among 10,000 devices, two share one once in 10^11 jobs, which costs a job.
_HASH_BYTES = 8
#: A binary column has 64 KiB at most (learn: "Understanding the Table service data model").
_MAX_BYTES = 64 * 1024
#: Flags, and the number of ids.
_HEADER_BYTES = 5
_CREATES, _DELETES = 1, 2

#: As the hub builds it: the parent's id, and a number.
_SCOPE = re.compile(r"ms-azure-iot-edge://(.+)-[0-9]+")


@dataclass(frozen=True)
class Footprint:
    """The devices of one file."""

    #: Hashes of the devices that the file touches, and of those that it refers to.
    ids: frozenset[bytes]
    references: frozenset[bytes]
    creates: bool = False
    deletes: bool = False

    def to_bytes(self) -> bytes:
        """As the table keeps it; nothing if it does not fit."""
        flags = _CREATES * self.creates | _DELETES * self.deletes
        header = bytes([flags]) + len(self.ids).to_bytes(4)
        data = header + b"".join(sorted(self.ids)) + b"".join(sorted(self.references))
        return data if len(data) <= _MAX_BYTES else b""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self | None:
        """None if the file has no footprint, or the row was edited."""
        header, body = data[:_HEADER_BYTES], data[_HEADER_BYTES:]
        end = int.from_bytes(header[1:]) * _HASH_BYTES
        if len(header) < _HEADER_BYTES or len(body) % _HASH_BYTES or not 0 < end <= len(body):
            return None
        hashes = [body[start : start + _HASH_BYTES] for start in range(0, len(body), _HASH_BYTES)]
        count = end // _HASH_BYTES
        return cls(
            frozenset(hashes[:count]),
            frozenset(hashes[count:]),
            bool(header[0] & _CREATES),
            bool(header[0] & _DELETES),
        )

    def may_precede(self, other: Footprint) -> bool:
        """Whether a job may have the lines of both, in any order, if the other is the later file.

        Where this file deletes, the other may need the room for what it creates.
        """
        return (
            self.ids.isdisjoint(other.ids)
            and self.ids.isdisjoint(other.references)
            and self.references.isdisjoint(other.ids)
            and not (self.deletes and other.creates)
        )

    def touches_device(self, device_id: str) -> bool:
        """Whether the file may have lines of this device, in any letter case, or of its modules."""
        return _hash(device_id) in self.ids

    def touches(self, other: Footprint) -> bool:
        """Whether both files have lines of one device."""
        return not self.ids.isdisjoint(other.ids)

    def joined(self, other: Footprint) -> Footprint:
        """The footprint of both files together."""
        return Footprint(
            self.ids | other.ids,
            self.references | other.references,
            self.creates or other.creates,
            self.deletes or other.deletes,
        )


class _Line(msgspec.Struct, rename="camel", gc=False):
    """What matters of a line that was validated: names and values are in the documented case."""

    id: str
    import_mode: ImportMode | None = None
    device_scope: str | None = None
    parent_scopes: list[str | None] | None = None


_DECODER = msgspec.json.Decoder(_Line)


class FootprintBuilder:
    """Builds the footprint of a file from its validated lines."""

    def __init__(self) -> None:
        self._lines = 0
        self._ids: set[bytes] = set()
        self._references: set[bytes] = set()
        self._creates = self._deletes = False
        #: A file with a line that cannot be read here has no footprint.
        self._is_known = True

    def add(self, batch: bytes) -> None:
        """Add some whole lines."""
        if not self._is_known:
            return
        self._lines += batch.count(b"\n")
        self._is_known = self._lines <= MAX_LINES
        if self._is_known:
            try:
                self._add(_DECODER.decode_lines(batch))
            except (msgspec.DecodeError, ValueError):
                self._is_known = False

    def build(self) -> bytes:
        """The footprint as the table keeps it; nothing if the file has none."""
        if not (self._is_known and self._ids):
            return b""
        ids, references = frozenset(self._ids), frozenset(self._references)
        return Footprint(ids, references, self._creates, self._deletes).to_bytes()

    def _add(self, lines: Iterable[_Line]) -> None:
        for line in lines:
            self._ids.add(_hash(line.id))
            mode = line.import_mode or ImportMode.CREATE_OR_UPDATE
            self._creates = self._creates or mode.creates
            self._deletes = self._deletes or mode.deletes
            for scope in (line.device_scope, *(line.parent_scopes or ())):
                if scope:
                    self._references.add(_hash(_parent(scope)))


def _parent(scope: str) -> str:
    """The id of the device that a scope names.

    Raises:
        ValueError: it names none.
    """
    match = _SCOPE.fullmatch(scope)
    if match is None:
        raise ValueError("the scope names no device")
    return match[1]


def _hash(device_id: str) -> bytes:
    # Unlike `hash`, the same in each process.
    return hashlib.blake2b(device_id.lower().encode(), digest_size=_HASH_BYTES).digest()
