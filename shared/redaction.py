"""Redact keys and signatures in text that a hub, a library or a file wrote.

`redact` replaces four kinds of text, in any mix of percent-encodings, JSON escapes and HTML
entities (`%2B`, `%252B`, `\\u002b`, `\\/`, `&#43;`, `&plus;`), with full-width or without invisible
characters:

1. The value of a member whose name says that it is secret (`primaryKey`, `AccountKey`,
   `SharedAccessSignature`, `sig`, `password` and the like), whatever the value looks like: in JSON,
   JSON within a JSON string, connection strings, addresses and XML; the password of an address
   (`https://user:password@host`), credentials of `Authorization`, and the content of PEM blocks.
2. Padded base64 of 16 bytes or more, in the standard and in the URL-safe alphabet. Device keys have
   16 to 64 bytes (learn: "Understand the identity registry in your IoT hub"), signatures 32.
3. Base64 of that length without padding, in mixed case, that does not read like words.
4. Such base64 in groups with white space between them: wrapped lines, and signatures whose `+` was
   decoded to a blank.

Error codes (`BlobContainerValidationError`), import ids, GUIDs, thumbprints (40 or 64 hexadecimal
digits), dates, addresses, ARM ids and names made of words and numbers, and lists of codes of one
pattern (`pumpA1 pumpB2`) do not change.

Kind 3 is judged by each segment of a path: 12 characters or more that are not words cost their
segment, not the path. The price is that a part of a key passes if slashes cut it off and it reads
like words. Where at least half of a path is no words and the rest is in mixed case or has numbers,
all of it is taken for a key.

Where the two conflict, secrets win. These are redacted although they may be harmless:

- a segment of a name or path with 12 such characters or more (`Xk3vT9...`), where the whole has 20
  characters or more;
- a name of that length in front of `=` and a blank or quote;
- two or more names of mixed case and numbers in a row, with 20 characters or more in all.

These pass although they may be secret:

- an unpadded key that reads like words: 1 in 500 keys of 16 bytes, 1 in 2,000 of
  24 bytes, 1 in 10,000 of 32 bytes, and most of these in part;
- a key without a name in groups of which some read like words: 1 in 100 of 32 bytes, 1 in 20 of
  16 bytes without padding, and most of these in part; also one in groups of one case;
- a lower-case word after a colon and a blank, or in parentheses, which is prose
  (`primaryKey: is required`).
"""

from __future__ import annotations

import re
import traceback
from bisect import bisect_right
from collections.abc import Iterator

__all__ = ["REDACTED", "redact", "redact_error", "redact_id"]

REDACTED = "REDACTED"

#: Encodings within encodings that are looked through; each kind may repeat within one of them
#: (`%25252B`, `\\\\\\u002b`).
_MAX_NESTING = 8

#: A character in one of its encodings, or one that `_character` replaces.
_INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffd\ud800-\udfff"
)
_FULL_WIDTH = "\uff01-\uff5e"
_ENCODED = re.compile(
    r"%(?:25)*+(?:(?P<percent>[0-7][0-9A-Fa-f])"
    r"|(?P<bytes>(?:[Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f]|[Ee][0-9A-Fa-f]%(?:25)*+[89ABab][0-9A-Fa-f])"
    r"%(?:25)*+[89ABab][0-9A-Fa-f]))"
    r"|(?<!\\)\\++(?:u(?P<json>[0-9A-Fa-f]{4})|U0000(?P<python>[0-9A-Fa-f]{4})"
    r"|u\{0{0,9}(?P<braced>[0-9A-Fa-f]{1,4})\}|x(?P<byte>[0-9A-Fa-f]{2})"
    r"|(?P<slash>/)|(?P<space>[bfnrt]))"
    r"|&(?:\#0{0,9}(?P<decimal>[0-9]{1,5})|\#[xX]0{0,9}(?P<hex>[0-9A-Fa-f]{1,4})"
    r"|(?P<entity>[A-Za-z]{2,14}));"
    rf"|(?P<raw>[{_INVISIBLE}{_FULL_WIDTH}])"
)
_ENCODES = re.compile(rf"[%\\&{_INVISIBLE}{_FULL_WIDTH}]")
_IS_INVISIBLE = re.compile(f"[{_INVISIBLE}]")
_IS_FULL_WIDTH = re.compile(f"[{_FULL_WIDTH}]")
#: Those of characters of keys, of their names and of what stands around them (HTML, "Named
#: character references").
_ENTITIES = {
    **{"quot": '"', "QUOT": '"', "apos": "'", "amp": "&", "AMP": "&", "lt": "<", "LT": "<"},
    **{"gt": ">", "GT": ">", "plus": "+", "sol": "/", "bsol": "\\", "equals": "=", "colon": ":"},
    **{"semi": ";", "comma": ",", "period": ".", "quest": "?", "percnt": "%", "num": "#"},
    **{"commat": "@", "lowbar": "_", "UnderBar": "_", "lpar": "(", "rpar": ")", "excl": "!"},
    **{"lbrack": "[", "lsqb": "[", "rbrack": "]", "rsqb": "]", "lbrace": "{", "lcub": "{"},
    **{"rbrace": "}", "rcub": "}", "nbsp": " ", "Tab": " ", "NewLine": " ", "shy": ""},
    **{"ZeroWidthSpace": "", "zwj": "", "zwnj": "", "NoBreak": ""},
}

#: A member whose value is secret, with all that may stand before the value.
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
    # <primaryKey>…, <entry key="primaryKey">…, <primaryKey><![CDATA[…
    r"|(?P<xml>[\"']?(?:\s[^<>]{0,200})?>\s{0,8}(?P<cdata><!\[CDATA\[)?)"
    # primaryKey (…), but not primaryKey (required); primaryKey "…"
    r"|(?P<round>\s{0,8}\((?![A-Z]?[a-z]{1,11}[0-9]{0,2}\)))"
    r"|\s{1,8}(?=\\{0,64}[\"'])"
    r"|(?:\\{0,64}[\"'])?\s{0,8}(?:(?P<equals>=>?)|:)\s{0,8}"
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
#: Each with parts of which a text with a match has at least one. Most texts have none.
_NAMED = (
    (("key", "sig", "token", "pass", "pwd", "secret", "code="), _MEMBER),
    (("authorization", "bearer"), _CREDENTIALS),
    (("://",), _USER),
    (("-----begin",), _PEM),
)
#: The key of a functions app, or the code of an error.
_CODE = re.compile(
    r"[\"']code\\{0,64}[\"']\s{0,8}:\s{0,8}\\{0,64}[\"'](?P<value>[^\"'\\]+)", re.IGNORECASE
)
#: What ends a sentence or bracket rather than a value.
_CLOSING = ").,:;!?]}"

#: What may follow the first group of a value that is cut by white space.
_MORE = re.compile(
    r"\s{1,8}(?P<group>[A-Za-z0-9+/_-]+)(?P<sure>=++|(?=&))?(?=[\s&;\"'<>,)\]}]|\.(?:\s|$)|$)"
)
#: Groups that are looked at for one that is sure.
_MAX_GROUPS = 8
#: A group that is no part of a key, and one that may belong to an odd one beside it.
_PROSE = re.compile(r"[A-Z]?[a-z]+|[0-9]+")
_JOINT = re.compile(r"(?!(?:[A-Z]?[a-z]+|[A-Z]{4,}|[0-9]+|[0-9a-f]{4,})\b)[A-Za-z0-9+/_-]{1,11}")

#: What may be base64. 16 bytes take 22 characters; an escape just before may take two of them
#: (`\\n`, `%41`).
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}+(?:==(?=/)|=++(?![A-Za-z0-9+/_-]))?")
_MIN_BASE64 = 20
#: Groups with white space between them, and what at least one of a key has.
_GROUP = re.compile(r"[A-Za-z0-9+/_-]++(?:==(?=/)|=++(?![A-Za-z0-9+/_-]))?")
_ROW = re.compile(rf"(?<![A-Za-z0-9+/_-]){_GROUP.pattern}(?:\s++{_GROUP.pattern})++")
_MIXED = re.compile(r"[a-z][A-Z0-9+]|[0-9+][A-Za-z]|[A-Z]{2}[a-z]|=\s|=$")
#: Characters that are not words and cost a segment of a path.
_MIN_ODD = 12
#: A shorter segment between two odd ones belongs to them; groups of one length have this at least.
_SHORT = 4

#: Ids of devices and modules, also both with a slash between them (learn: "Understand the identity
#: registry in your IoT hub").
_ID = re.compile(r"[A-Za-z0-9.+%_#*?!(),:;=@$'/-]{0,257}")

#: What segments of a key have that read like words.
_UNLIKE_PATHS = re.compile(r"[A-Z]{2}|[a-z][A-Z]|[0-9]")
#: What separates words in a segment, and a part between two of them that is no key: hexadecimal
#: digits, a date, letters of one case, or at most two letters with a number.
_SEPARATORS = re.compile(r"[/_-]")
_SIMPLE = re.compile(
    r"(?:0x)?(?:[0-9a-f]*|[0-9A-F]*)|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}"
    r"|[0-9]{8}T[0-9]{4,9}Z?|[a-z]+|[A-Z]+|[A-Za-z]{1,2}[0-9]*"
)
#: The words of a part such as `PumpsWest2`, cut where the case changes, and what is a word: with a
#: vowel and without five consonants in a row, or short and well known.
_CUT = re.compile(r"[0-9]+(?:[a-z]{1,2}(?![a-z]))?|IoT|ETag|OAuth|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_WORD = re.compile(
    r"(?![A-Z]?[a-z]*[b-df-hj-np-tv-xz]{5})(?=[A-Z]?[a-z]*[aeiouy]|[AEIOU])[A-Z]?[a-z]{2,}"
    r"|[A-Z]{2,5}|IoT|ETag|OAuth"
    r"|(?i:a[dstz]|b[ey]|cpk|db|dns|https?|i[dfnps]|md5|my|no|o[fnrs]|tls|to|up|vm|xml)"
)
#: A part may have one piece that is no word, such as the number in `Part12of40`, beside two words
#: of this length.
_LONG = 4
_LETTERS = (re.compile("[a-z]+"), re.compile("[A-Z]+"), re.compile("[0-9]+"))
_DIGITS = "0123456789"


def redact(text: str) -> str:
    """Replace each key and signature. Idempotent, and linear in the length of the text."""
    return _stable(text, guess=True)


def redact_id(text: str) -> str:
    """Redact the id of a device or module. As an id may look random, kind 3 above passes."""
    return _stable(text, guess=not _ID.fullmatch(text))


def _stable(text: str, guess: bool) -> str:
    """Redact until nothing changes: groups may follow what only a later rule redacts."""
    for _ in range(_MAX_NESTING):
        before, text = text, _redacted(text, guess)
        if text == before:
            break
    return text


def _redacted(text: str, guess: bool) -> str:
    plain, maps = _decoded(text)
    pieces, end = [], 0
    for first, last in sorted((*_members(plain), *_base64(plain, guess))):
        for anchors in reversed(maps):
            first, last = _before(anchors, first), _before(anchors, last)
        if last > end:
            if first >= end:
                pieces += [text[end:first], REDACTED]
            end = last
    return "".join((*pieces, text[end:])) if pieces else text


def redact_error(error: BaseException) -> BaseException:
    """Return the exception if it holds no secret, else a redacted one of its type.

    Its causes and notes are redacted too.
    """
    shown = "".join(traceback.format_exception(error))
    return error if redact(shown) == shown else _like(error, set())


def _members(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the values of secret members, without their quotes."""
    lowered = text.lower()
    for hints, pattern in _NAMED:
        if any(hint in lowered for hint in hints):
            for match in pattern.finditer(text):
                yield _value(match)
    if "code" in lowered:
        for match in _CODE.finditer(text):
            if _is_odd(match["value"]):
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
    """The end of a value that goes on after white space.

    It does up to a group that is padded or stands before `&`, else as long as groups are odd.
    """
    position, is_chain, left = end, True, _MAX_GROUPS
    while left and (match := _MORE.match(text, position)):
        group, position = match["group"], match.end()
        if match["sure"] is not None or (is_chain and _is_odd(group, mixed=False)):
            end, is_chain, left = position, True, _MAX_GROUPS
        else:
            is_chain = is_chain and _JOINT.fullmatch(group) is not None
            left -= 1
    return end


def _base64(text: str, guess: bool) -> Iterator[tuple[int, int]]:
    """Spans of keys and signatures without a name; with `guess`, also of those without padding."""
    for match in _BASE64.finditer(text):
        found = match[0]
        is_long, is_padded = len(found) >= _MIN_BASE64, found.endswith("=")
        if is_long and is_padded and len(found) % 4 == 0 and REDACTED not in found:
            yield match.span()
        elif guess and (is_long or is_padded):
            yield from _odd_segments(match)
    if guess:
        for match in _ROW.finditer(text):
            if _MIXED.search(match[0]):
                row: list[re.Match[str]] = []
                for group in _GROUP.finditer(text, *match.span()):
                    if REDACTED in group[0]:
                        yield from _odd_groups(row)
                        row = []
                    else:
                        row.append(group)
                yield from _odd_groups(row)


def _odd_segments(path: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Spans of segments next to one another that have too much in them which is no words."""
    if path[0].islower() or path[0].isupper():
        return
    segments = path[0].split("/")
    others = "/".join(segment for segment in segments if not _odd_parts(segment))
    least = _MIN_ODD
    if 2 * len(others) <= len(path[0]) and _UNLIKE_PATHS.search(others):
        # Rather a key with slashes.
        segments, least = [path[0]], 2 * _SHORT
    odd: list[str] = []
    first = last = start = path.start()
    for segment in segments:
        end = start + len(segment)
        parts = _odd_parts(segment)
        if segment.endswith("=") and len(segment) % 4 == 0 and len(segment) >= _MIN_BASE64:
            parts = [segment]
        if parts:
            first = first if odd else start
            odd += parts
            last = end
        if end == path.end() or (not parts and len(segment) >= _SHORT):
            # Two odd parts of a long segment are enough.
            is_enough = len(odd) > 1 and last - first >= _MIN_BASE64
            if _is_key(odd, _SHORT if is_enough else least):
                yield first, last
            odd = []
        start = end + 1


def _odd_groups(row: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """Spans of groups with white space between them that are a key when put together.

    These are put together: odd groups, with short ones beside them; and groups of one length with a
    last one that is shorter, as lines of wrapped text are.
    """
    odd: list[re.Match[str]] = []
    lines: list[re.Match[str]] = []
    for group in row:
        is_odd = "=" in group[0] or _is_odd(group[0])
        is_joint = not is_odd and _JOINT.fullmatch(group[0]) is not None
        if not (is_odd or is_joint) or (is_joint and odd and _JOINT.fullmatch(odd[-1][0])):
            yield from _whole(odd)
            odd = []
        if is_odd or is_joint:
            odd.append(group)
        size = len(lines[0][0]) if lines else 0
        if len(group[0]) == size:
            lines.append(group)
        else:
            is_last = len(lines) > 1 and len(group[0]) < size and not _PROSE.fullmatch(group[0])
            yield from _whole_lines([*lines, group] if is_last else lines)
            lines = [group]
    yield from _whole(odd)
    yield from _whole_lines(lines)


def _whole(groups: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    odd = [len(group[0]) for group in groups if "=" in group[0] or _is_odd(group[0])]
    is_enough = len(odd) > 1 or max(odd, default=0) >= _MIN_ODD
    if is_enough and len(groups) > 1 and _is_key([group[0] for group in groups], _MIN_BASE64):
        yield groups[0].start(), groups[-1].end()


def _whole_lines(lines: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    joined = "".join(line[0] for line in lines)
    if any(_is_odd(line[0]) for line in lines) and len(lines[0][0]) >= _SHORT and _is_odd(joined):
        yield from _whole(lines)


def _is_key(odd: list[str], least: int) -> bool:
    """Whether there is enough that is odd; names and codes of one pattern are not."""
    if sum(map(len, odd)) < least:
        return False
    patterns = set()
    for text in odd:
        for letters, sign in zip(_LETTERS, "aA0", strict=True):
            text = letters.sub(sign, text)
        patterns.add(text)
    return len(odd) == 1 or len(patterns) > 1


def _is_odd(text: str, mixed: bool = True) -> bool:
    """Whether a good part of the text is no words; with `mixed`, text of one case never is."""
    if mixed and (text.islower() or text.isupper() or _PROSE.fullmatch(text)):
        return False
    return 4 * sum(map(len, _odd_parts(text))) >= len(text) > 0


def _odd_parts(text: str) -> list[str]:
    """The parts that are neither simple nor consist of words, of which one may be odd."""
    return [
        part
        for part in _SEPARATORS.split(text.rstrip("="))
        if not _SIMPLE.fullmatch(part) and not _reads_like_words(part)
    ]


def _reads_like_words(part: str) -> bool:
    if "+" in part:
        return False
    pieces = _CUT.findall(part.strip(_DIGITS))
    odd = [piece for piece in pieces if not _WORD.fullmatch(piece)]
    if len(odd) > 1:
        return False
    long = [
        len(piece)
        for piece in pieces
        if len(piece) >= _LONG and piece not in odd and not piece.isupper()
    ]
    return not odd or (len(long) > 1 and 2 * sum(long) >= len(part))


def _decoded(text: str) -> tuple[str, list[list[tuple[int, int]]]]:
    """Decode the text.

    Returns:
        The decoded text and, for each layer of encodings, pairs of positions in the decoded and in
        the encoded text, between which the two are the same.
    """
    maps = []
    for _ in range(_MAX_NESTING):
        if not _ENCODES.search(text):
            break
        anchors, pieces, end, length = [(0, 0)], [], 0, 0
        for match in _ENCODED.finditer(text):
            character = _character(match)
            if character is None:
                continue
            pieces += [text[end : match.start()], character]
            length += match.start() - end + len(character)
            end = match.end()
            anchors.append((length, end))
        if not pieces:
            break
        text = "".join((*pieces, text[end:]))
        maps.append(anchors)
    return text, maps


def _character(match: re.Match[str]) -> str | None:
    """A blank for white space, nothing for what cannot be seen; None for what stays as it is."""
    kind = match.lastgroup or ""
    value = match[kind]
    match kind:
        case "slash":
            return "/"
        case "space":
            return " "
        case "entity":
            return _ENTITIES.get(value)
        case "bytes":
            data = bytes.fromhex(re.sub("%(?:25)*", "", value))
            character = data.decode("utf-8", "replace")[0]
        case "raw":
            character = value
        case "decimal":
            character = chr(int(value))
        case _:
            character = chr(int(value, 16))
    if _IS_FULL_WIDTH.fullmatch(character):
        return chr(ord(character) - 0xFEE0)
    if _IS_INVISIBLE.fullmatch(character):
        return ""
    if character.isspace():
        return " "
    return character if character.isascii() else None


def _before(anchors: list[tuple[int, int]], position: int) -> int:
    """The position in the encoded text of a position in the decoded one."""
    decoded, encoded = anchors[bisect_right(anchors, (position, 1 << 62)) - 1]
    return encoded + position - decoded


def _like(error: BaseException, seen: set[int]) -> BaseException:
    """A redacted exception of the same type, with the same traceback."""
    seen.add(id(error))
    kind, text = type(error), redact(str(error))
    members = {
        "__init__": lambda self, *_: None,
        "__str__": lambda self: text,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
    }
    try:
        like: BaseException = kind.__new__(type(kind.__name__, (kind,), members), text)
    except Exception:
        # Such as a group of exceptions, which is made in a way of its own.
        like = type(kind.__name__, (Exception,), members)(text)
    like.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        like.add_note(redact(str(note)))
    below = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    like.__cause__ = _like(below, seen) if below and id(below) not in seen else None
    return like
