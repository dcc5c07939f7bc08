"""Find secrets by the name in front of them: members, credentials, passwords and PEM blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.redaction.randomness import JOINT, looks_random

__all__ = ["find_named"]

#: A member whose value is secret, with everything in front of the value.
_NAME = (
    r"(?i:(?P<header>x-functions-key|aeg-sas-key)"
    r"|(?:primary|secondary|shared[ _-]?access|account|access|api|master|symmetric|device"
    r"|functions?|sas|private)[ _-]?key"
    r"|shared[ _-]?access[ _-]?signature|(?:access|refresh)[ _-]?token"
    r"|pass(?:word|wd|phrase)|secret|(?<![A-Za-z])(?:sig|pwd)|(?<=[?&])code)"
)
_MEMBER = re.compile(
    _NAME + r"(?:"
    # {"name": "primaryKey", "value": "…"}, <add key="primaryKey" value="…"/>
    r"\\{0,64}[\"']\s{0,8},?\s{0,8}\\{0,64}[\"']?value\\{0,64}[\"']?\s{0,8}[:=]\s{0,8}"
    # primaryKey (…), but not primaryKey (required); primaryKey "…"
    r"|(?P<round>\s{0,8}\((?![A-Z]?[a-z]{1,11}[0-9]{0,2}\)))"
    r"|\s{1,8}(?=\\{0,64}[\"'])"
    r"|(?:\\{0,64}[\"'])?\s{0,8}(?:(?P<equals>=>?)|:)\s{0,8}"
    # <primaryKey>…, <entry key="primaryKey">…, <primaryKey><![CDATA[… Last, as a `>` may also
    # follow a value of the other forms.
    r"|(?P<xml>[\"']?(?:\s[^<>]{0,200})?>\s{0,8}(?P<cdata><!\[CDATA\[)?)"
    r")(?P<value>"
    r"(?(cdata)(?:(?!\]\]>).)+|(?(xml)[^<]+|(?(round)[^()\s]+(?=\))"
    r"|(?:(?P<quote>\\*+[\"'])(?:(?!(?<!\\)(?P=quote)).)+"
    r"|\[[^\]]*+\]?"
    # No prose, unless the name is one of a header.
    r"|(?P<open>(?!(?:null|true|false)\b"
    r"|(?(header)(?!)|(?<=:\s))[a-z]+(?:[/-][a-z]+){0,9}(?![A-Za-z0-9+/=_-]))"
    r"(?:(?(equals)[^\s&;\"'<>\\]|[^\s&;\"'<>\[{\\,\]}])|\\++(?![\"']))+)"
    r")))))",
    re.DOTALL,
)
#: Credentials of HTTP. A server asks for them by `Bearer realm=…`.
_CREDENTIALS = re.compile(
    r"(?:(?i:authorization)\\{0,64}[\"']?\s{0,8}[:=,]\s{0,8}\\{0,64}[\"']?(?i:basic|bearer)\s{1,8}"
    r"|\bBearer\s{1,8}(?!(?:[A-Z]?[a-z]+|[a-z_]+=\S*)(?:[\s.,:;\"')]|$)))"
    r"(?P<value>(?P<open>[^\s\"'<>\\,;&)]+))"
)
_USER = re.compile(r"://[^\s/?#:@\"'<>]{0,256}:(?P<value>[^\s/?#\"'<>]+)@")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----(?P<value>(?:(?!-----).)+)", re.DOTALL)
#: Each with substrings of which every match has at least one. Most texts have none.
_NAMED = (
    (("key", "sig", "token", "pass", "pwd", "secret", "code="), _MEMBER),
    (("authorization", "bearer"), _CREDENTIALS),
    (("://",), _USER),
    (("-----begin",), _PEM),
)
#: The key of a function app, or the code of an error.
_CODE = re.compile(
    r"[\"']code\\{0,64}[\"']\s{0,8}:\s{0,8}\\{0,64}[\"'](?P<value>[^\"'\\]+)", re.IGNORECASE
)
#: What ends a sentence or bracket rather than a value.
_CLOSING = ").,:;!?]}"

#: A further group of a value with white space in it.
_MORE = re.compile(
    r"\s{1,8}(?P<group>[A-Za-z0-9+/_-]+)(?P<sure>=++|(?=&))?(?=[\s&;\"'<>,)\]}]|\.(?:\s|$)|$)"
)
#: Maximum number of groups to check for a sure one.
_MAX_GROUPS = 8


def find_named(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the values of secret members, without their quotes."""
    lowered = text.lower()
    for hints, pattern in _NAMED:
        if any(hint in lowered for hint in hints):
            for match in pattern.finditer(text):
                yield _value(match)
    if "code" in lowered:
        for match in _CODE.finditer(text):
            if looks_random(match["value"]):
                yield match.span("value")


def _value(match: re.Match[str]) -> tuple[int, int]:
    groups = match.groupdict()
    if groups.get("quote"):
        return match.end("quote"), match.end()
    start, end = match.span("value")
    if groups.get("open"):
        closed = len(match["value"]) - len(match["value"].rstrip(_CLOSING))
        if not closed:
            return start, _end_of_groups(match.string, end)
        end -= closed if closed < end - start else 0
    return start, end


def _end_of_groups(text: str, end: int) -> int:
    """The end of a value that continues after white space.

    It ends with a group that is padded or in front of `&`, else before the first group that is not
    random.
    """
    position, is_chain, left = end, True, _MAX_GROUPS
    while left and (match := _MORE.match(text, position)):
        group, position = match["group"], match.end()
        if match["sure"] is not None or (is_chain and looks_random(group, mixed=False)):
            end, is_chain, left = position, True, _MAX_GROUPS
        else:
            is_chain = is_chain and JOINT.fullmatch(group) is not None
            left -= 1
    return end
