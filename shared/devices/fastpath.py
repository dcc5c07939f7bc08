"""The common good line, accepted fast.

Most lines break no rule. msgspec decodes lines into the types of `shared.devices.goodline`; a line
that fits them, and passes what types cannot say, is good. Every other line goes to
`shared.devices.record`, which holds it to the rules. So this path may be narrower than the rules,
never wider: `tests/devices/test_fastpath.py` compares the two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from shared.devices.damage import DAMAGED, DAMAGED_ID, DAMAGED_STARTS
from shared.devices.goodline import ByAuthority, GoodLine, Sas, SelfSigned, decoder
from shared.devices.members import ImportMode
from shared.devices.strictjson import Finding, encode, keeps_all
from shared.devices.twin import TAGS_BYTES, check_twin, is_good_name

__all__ = ["BLOCK_LINES", "FastPath", "kinds"]

#: Lines that are decoded together. So few stay in the processor's cache.
BLOCK_LINES = 64
#: Names of twins that a decoder knows. More make it slow to make, which each new name demands.
_MAX_NAMES = 400
#: The hub counts 8 bytes for a number, which takes two in a line. So no section of a line of at
#: most this length is too large.
_SURE_BYTES = TAGS_BYTES // 4
#: The hub's own bookkeeping in twins; `check_twin` knows where it may stand.
_OF_THE_HUB = frozenset({"$metadata", "$version", "$lastUpdated", "$lastUpdatedVersion"})
#: Ids that end with a line end each.
_IDS = re.compile(rf"(?:(?!(?:{DAMAGED_ID})\n)[A-Za-z0-9\-._%*?!(),@$']++\n)*+")
#: A damaged string in JSON. Most strings fail by their first character, and none reaches beyond
#: its closing quote.
_IN_JSON = DAMAGED.replace(r"[^\x00-\x1f]*", r'(?:[^"\\]|\\.)*')
_DAMAGED = rf'"(?={DAMAGED_STARTS})(?:{_IN_JSON})"'
_DAMAGED_VALUE = re.compile(f":{_DAMAGED}".encode())
#: In an array of scalars, the quote that remains after all strings that are not damaged.
_DAMAGED_ITEM = re.compile(rf'\[(?:[^]["]++|(?!{_DAMAGED})"(?:[^"\\]++|\\.)*+")*+"'.encode())
#: One, or two of the same length.
_THUMBPRINTS = re.compile(r"(?:[0-9A-Fa-f]{40}){1,2}|(?:[0-9A-Fa-f]{64}){1,2}")

#: What goes with all other members but the import mode.
_SIMPLE = frozenset({Sas, ByAuthority})

_kind = attrgetter("import_mode", "authentication.__class__")


def kinds(lines: Iterable[GoodLine]) -> Iterator[tuple[ImportMode, str, int]]:
    """How many of the lines have each import mode and type of authentication ("" for none)."""
    for (mode, kind), count in Counter(map(_kind, lines)).items():
        tag = kind.__struct_config__.tag if issubclass(kind, msgspec.Struct) else ""
        yield mode or ImportMode.CREATE_OR_UPDATE, tag, count


class FastPath:
    """Accepts lines of one file by the names that the twins of its good lines have."""

    def __init__(self) -> None:
        self._names = set(_OF_THE_HUB)
        self._decoder = decoder(_OF_THE_HUB)
        self._is_outdated = False

    def learn(self, members: Mapping[str, Any]) -> None:
        """Add the names in the twin of a line that the rules found good."""
        known = len(self._names)
        self._learn(members.get("tags"))
        self._learn((members.get("properties") or {}).get("desired"))
        self._is_outdated |= len(self._names) > known

    def _learn(self, value: object) -> None:
        if isinstance(value, dict) and len(self._names) < _MAX_NAMES:
            self._names.update(filter(is_good_name, value))
            for below in value.values():
                self._learn(below)

    def read(self, texts: Sequence[bytes]) -> list[GoodLine | None]:
        """What each line holds; None where the rules have to decide."""
        if self._is_outdated:
            self._decoder, self._is_outdated = decoder(frozenset(self._names)), False
        lines: list[GoodLine | None] = []
        decoded = map(self._decoder.decode, texts)
        while len(lines) < len(texts):
            try:
                lines.extend(decoded)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                lines.append(None)
        if not _are_ids([line.id for line in lines if line]):
            lines = [line if line and _are_ids([line.id]) else None for line in lines]
        fitting = texts
        if None in lines:
            fitting = [text for text, line in zip(texts, lines, strict=True) if line]
        if _are_good(fitting, [line for line in lines if line]):
            return lines
        return [
            line if line and _are_good([text], [line]) else None
            for text, line in zip(texts, lines, strict=True)
        ]


def _are_ids(ids: Sequence[str]) -> bool:
    joined = "\n".join([*ids, ""])
    return joined.count("\n") == len(ids) and _IDS.fullmatch(joined) is not None


def _are_good(texts: Sequence[bytes], lines: Sequence[GoodLine]) -> bool:
    """Whether all of some lines that fit the types are good; asked of many, it takes less time."""
    raw, encoded = b"\n".join(texts), encode(lines)
    if b"\r" in raw or not keeps_all(raw, encoded):  # readers of .NET end a line at a CR
        return False
    if _DAMAGED_VALUE.search(encoded) or (b"[" in raw and _DAMAGED_ITEM.search(encoded, 1)):
        return False
    longest = max(texts, key=len, default=b"")
    if len(longest) > _SURE_BYTES or b"$" in encoded:
        return all(_agrees(line) and _has_good_twin(line) for line in lines)
    return all(
        (line.authentication.__class__ in _SIMPLE and not line.import_mode) or _agrees(line)
        for line in lines
    )


def _agrees(line: GoodLine) -> bool:
    """Whether members go together, each of which is good by itself."""
    mode, authentication = line.import_mode, line.authentication
    if mode:
        if mode.compares_etag and not (line.twin_e_tag if mode.updates_twin else line.e_tag):
            return False
        if mode.updates_twin and not isinstance(line.tags, dict):
            return False
    if isinstance(authentication, SelfSigned):
        given = authentication.x509_thumbprint
        first, second = given.primary_thumbprint, given.secondary_thumbprint or ""
        return len(second) in (0, len(first)) and bool(_THUMBPRINTS.fullmatch(first + second))
    return bool(authentication or (mode and not mode.overwrites))


def _has_good_twin(line: GoodLine) -> bool:
    findings: list[Finding] = []
    desired = line.properties and line.properties.desired
    check_twin(line.tags, desired, findings, null_removes=False)
    return not findings
