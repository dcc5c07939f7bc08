"""The common good line, accepted fast.

Most lines break no rule. msgspec decodes lines into the types of `goodline`; a line that fits
them, and passes what types cannot say, is good. Every other line goes to `record`, which holds it
to the rules. So this path may be narrower than the rules,
never wider: `tests/device_files/test_fastpath.py` compares the two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from shared.device_files.damage import DAMAGED, DAMAGED_IDS, DAMAGED_STARTS
from shared.device_files.goodline import GoodLine, SelfSigned, decoder
from shared.device_files.members import ImportMode
from shared.device_files.strictjson import Finding, encode, keeps_all
from shared.device_files.twin import TAGS_BYTES, check_twin, is_good_name

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
#: The lookbehind goes back to the first character of a string that may be damaged.
_DAMAGED = rf"{DAMAGED_STARTS}(?<=(?=(?:{DAMAGED})\n).)"
#: Ids that end with a line end each.
_IDS = re.compile(rf"(?:(?!{_DAMAGED}|(?:{DAMAGED_IDS})\n)[A-Za-z0-9\-._%*?!(),@$']++\n)*+")
#: The same in JSON, up to its closing quote.
_DAMAGED_IN_JSON = _DAMAGED.replace(r"[^\x00-\x1f]*", r'(?:[^"\\]|\\.)*').replace(r"\n", '"')
_DAMAGED_VALUE = re.compile(f':"{_DAMAGED_IN_JSON}'.encode())
#: In an array of scalars, the quote that remains after all strings that are not damaged.
_DAMAGED_ITEM = re.compile(
    rf'\[(?:"(?!{_DAMAGED_IN_JSON})[^"\\]*+(?:\\.[^"\\]*+)*+"|[^]["]++)*+"'.encode()
)
#: The primary thumbprint of a line, a blank, perhaps the secondary one of the same length.
_THUMBPRINTS = re.compile(
    r"(?:(?:[0-9A-Fa-f]{40} (?:[0-9A-Fa-f]{40})?|[0-9A-Fa-f]{64} (?:[0-9A-Fa-f]{64})?)\n)*+"
)
#: As exports write an authentication that a line lacks.
_ABSENT = frozenset({type(None), msgspec.UnsetType})

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
    may_be_odd = len(longest) > _SURE_BYTES or b"$" in encoded
    if may_be_odd and not all(map(_has_good_twin, lines)):
        return False
    return _are_thumbprints(lines) and all(
        _has_what_its_mode_takes(line)
        for line in lines
        if line.import_mode or line.authentication.__class__ in _ABSENT
    )


def _are_thumbprints(lines: Iterable[GoodLine]) -> bool:
    given = [
        line.authentication.x509_thumbprint
        for line in lines
        if line.authentication.__class__ is SelfSigned
    ]
    joined = "".join(
        [f"{one.primary_thumbprint} {one.secondary_thumbprint or ''}\n" for one in given]
    )
    return joined.count("\n") == len(given) and _THUMBPRINTS.fullmatch(joined) is not None


def _has_what_its_mode_takes(line: GoodLine) -> bool:
    mode = line.import_mode
    if not mode:
        return False  # nor has it an authentication
    if mode.compares_etag and not (line.twin_e_tag if mode.updates_twin else line.e_tag):
        return False
    if mode.updates_twin and not isinstance(line.tags, dict):
        return False
    return line.authentication.__class__ not in _ABSENT or not mode.overwrites


def _has_good_twin(line: GoodLine) -> bool:
    findings: list[Finding] = []
    desired = line.properties and line.properties.desired
    check_twin(line.tags, desired, findings, null_removes=False)
    return not findings
