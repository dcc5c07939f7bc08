"""Tell random text, as in keys, from words, numbers and codes."""

from __future__ import annotations

import re

__all__ = ["JOINT", "PROSE", "looks_random", "random_parts"]

#: A group that is not part of a key, and one that may belong to a random group beside it.
PROSE = re.compile(r"[A-Z]?[a-z]+|[0-9]+")
JOINT = re.compile(r"(?!(?:[A-Z]?[a-z]+|[A-Z]{4,}|[0-9]+|[0-9a-f]{4,})\b)[A-Za-z0-9+/_-]{1,11}")
#: Separators of the parts of a text, and a part that is not random: hexadecimal digits, a date,
#: letters of one case, or at most two letters with a number.
_SEPARATORS = re.compile(r"[/_-]")
_SIMPLE = re.compile(
    r"(?:0x)?(?:[0-9a-f]*|[0-9A-F]*)|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}"
    r"|[0-9]{8}T[0-9]{4,9}Z?|[a-z]+|[A-Z]+|[A-Za-z]{1,2}[0-9]*"
)
#: The pieces of a part such as `PumpsWest2`, cut where the case changes, and which are words:
#: with a vowel and without five consonants in a row, or short and well known.
_CUT = re.compile(r"[0-9]+(?:[a-z]{1,2}(?![a-z]))?|IoT|ETag|OAuth|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_WORD = re.compile(
    r"(?![A-Z]?[a-z]*[b-df-hj-np-tv-xz]{5})(?=[A-Z]?[a-z]*[aeiouy]|[AEIOU])[A-Z]?[a-z]{2,}"
    r"|[A-Z]{2,5}|IoT|ETag|OAuth"
    r"|(?i:a[dstz]|b[ey]|cpk|db|dns|https?|i[dfnps]|md5|my|no|o[fnrs]|tls|to|up|vm|xml)"
)
#: A part may have one other piece, such as the number in `Part12of40`, beside two words of this
#: length.
_LONG = 4
_DIGITS = "0123456789"


def looks_random(text: str, mixed: bool = True) -> bool:
    """Whether at least a quarter is random; with `mixed`, text of one case never is."""
    if mixed and (text.islower() or text.isupper() or PROSE.fullmatch(text)):
        return False
    return 4 * sum(map(len, random_parts(text))) >= len(text) > 0


def random_parts(text: str) -> list[str]:
    """The parts that are neither simple nor words."""
    return [
        part
        for part in _SEPARATORS.split(text.rstrip("="))
        if not _SIMPLE.fullmatch(part) and not _reads_like_words(part)
    ]


def _reads_like_words(part: str) -> bool:
    if "+" in part:
        return False
    pieces = _CUT.findall(part.strip(_DIGITS))
    random = [piece for piece in pieces if not _WORD.fullmatch(piece)]
    if len(random) > 1:
        return False
    long = [
        len(piece)
        for piece in pieces
        if len(piece) >= _LONG and piece not in random and not piece.isupper()
    ]
    return not random or (len(long) > 1 and 2 * sum(long) >= len(part))
