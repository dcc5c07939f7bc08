"""Find keys and signatures without a name: base64 of 16 bytes or more, also in groups."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.redaction.randomness import JOINT, PROSE, looks_random, random_parts

__all__ = ["REDACTED", "find_unnamed"]

REDACTED = "REDACTED"

#: Possible base64. 16 bytes have 22 characters; an escape in front may consume two of them
#: (`\\n`, `%41`).
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}+(?:==(?=/)|=++(?![A-Za-z0-9+/_-]))?")
_MIN_BASE64 = 20
#: Groups with white space between them, and a feature that a key has at least once.
_GROUP = re.compile(r"[A-Za-z0-9+/_-]++(?:==(?=/)|=++(?![A-Za-z0-9+/_-]))?")
_ROW = re.compile(rf"(?<![A-Za-z0-9+/_-]){_GROUP.pattern}(?:\s++{_GROUP.pattern})++")
_MIXED = re.compile(r"[a-z][A-Z0-9+]|[0-9+][A-Za-z]|[A-Z]{2}[a-z]|=\s|=$")
#: Minimum number of random characters for which a segment of a path is redacted.
_MIN_RANDOM = 12
#: A shorter segment between two random ones belongs to them. Minimum size of equally long groups.
_SHORT = 4
#: A feature of segments of a key that otherwise look like words.
_UNLIKE_PATHS = re.compile(r"[A-Z]{2}|[a-z][A-Z]|[0-9]")
_LETTERS = (re.compile("[a-z]+"), re.compile("[A-Z]+"), re.compile("[0-9]+"))


def find_unnamed(text: str, guess: bool) -> Iterator[tuple[int, int]]:
    """Spans of keys and signatures without a name; with `guess`, also of those without padding."""
    for match in _BASE64.finditer(text):
        base64 = match[0]
        is_long, is_padded = len(base64) >= _MIN_BASE64, base64.endswith("=")
        if is_long and is_padded and len(base64) % 4 == 0 and REDACTED not in base64:
            yield match.span()
        elif guess and (is_long or is_padded):
            yield from _segments(match)
    if guess:
        for match in _ROW.finditer(text):
            if _MIXED.search(match[0]):
                row: list[re.Match[str]] = []
                for group in _GROUP.finditer(text, *match.span()):
                    if REDACTED in group[0]:
                        yield from _groups(row)
                        row = []
                    else:
                        row.append(group)
                yield from _groups(row)


def _segments(path: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Spans of adjacent segments with too many random characters."""
    if path[0].islower() or path[0].isupper():
        return
    segments = path[0].split("/")
    others = "/".join(segment for segment in segments if not random_parts(segment))
    least = _MIN_RANDOM
    if 2 * len(others) <= len(path[0]) and _UNLIKE_PATHS.search(others):
        # More likely a key with slashes.
        segments, least = [path[0]], 2 * _SHORT
    random: list[str] = []
    first = last = start = path.start()
    for segment in segments:
        end = start + len(segment)
        parts = random_parts(segment)
        if segment.endswith("=") and len(segment) % 4 == 0 and len(segment) >= _MIN_BASE64:
            parts = [segment]
        if parts:
            first = first if random else start
            random += parts
            last = end
        if end == path.end() or (not parts and len(segment) >= _SHORT):
            # Two random parts of a long segment are enough.
            is_enough = len(random) > 1 and last - first >= _MIN_BASE64
            if _is_key(random, _SHORT if is_enough else least):
                yield first, last
            random = []
        start = end + 1


def _groups(row: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """Spans of groups with white space between them that are a key when joined.

    Joined are random groups, with short ones beside them, and groups of one length with a shorter
    last one, like wrapped lines.
    """
    random: list[re.Match[str]] = []
    lines: list[re.Match[str]] = []
    for group in row:
        is_random = "=" in group[0] or looks_random(group[0])
        is_joint = not is_random and JOINT.fullmatch(group[0]) is not None
        if not (is_random or is_joint) or (is_joint and random and JOINT.fullmatch(random[-1][0])):
            yield from _whole(random)
            random = []
        if is_random or is_joint:
            random.append(group)
        size = len(lines[0][0]) if lines else 0
        if len(group[0]) == size:
            lines.append(group)
        else:
            is_last = len(lines) > 1 and len(group[0]) < size and not PROSE.fullmatch(group[0])
            yield from _whole_lines([*lines, group] if is_last else lines)
            lines = [group]
    yield from _whole(random)
    yield from _whole_lines(lines)


def _whole(groups: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    random = [len(group[0]) for group in groups if "=" in group[0] or looks_random(group[0])]
    is_enough = len(random) > 1 or max(random, default=0) >= _MIN_RANDOM
    if is_enough and len(groups) > 1 and _is_key([group[0] for group in groups], _MIN_BASE64):
        yield groups[0].start(), groups[-1].end()


def _whole_lines(lines: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    joined = "".join(line[0] for line in lines)
    if (
        any(looks_random(line[0]) for line in lines)
        and len(lines[0][0]) >= _SHORT
        and looks_random(joined)
    ):
        yield from _whole(lines)


def _is_key(random: list[str], least: int) -> bool:
    """Whether the random texts are long enough, and not names or codes of one pattern."""
    if sum(map(len, random)) < least:
        return False
    patterns = set()
    for text in random:
        for letters, sign in zip(_LETTERS, "aA0", strict=True):
            text = letters.sub(sign, text)
        patterns.add(text)
    return len(random) == 1 or len(patterns) > 1
