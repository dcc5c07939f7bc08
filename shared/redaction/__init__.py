"""Redact keys and signatures in text from a hub, a library or a file.

`redact` replaces four kinds of text, in any combination of percent-encodings, JSON escapes and HTML
entities (`%2B`, `%252B`, `\\u002b`, `\\/`, `&#43;`, `&plus;`), in full-width characters, and with
invisible characters between:

1. Values whose name says that they are secret (`primaryKey`, `AccountKey`,
   `SharedAccessSignature`, `sig`, `password` and the like): in JSON, JSON within a JSON string,
   connection strings, URLs and XML; the password of a URL (`https://user:password@host`),
   credentials of `Authorization`, and the content of PEM blocks.
2. Padded base64 of 16 bytes or more, standard or URL-safe. Device keys have 16 to 64 bytes (learn:
   "Understand the identity registry in your IoT hub"), signatures 32.
3. Base64 of that length without padding, in mixed case, that looks random.
4. Such base64 in groups with white space between them: wrapped lines, and signatures whose `+` was
   decoded to a blank.

Error codes (`BlobContainerValidationError`), import ids, GUIDs, thumbprints (40 or 64 hexadecimal
digits), dates, URLs, ARM ids, names of words and numbers, and lists of codes of one pattern
(`pumpA1 pumpB2`) do not change.

Kind 3 is decided per segment of a path: a segment with 12 random characters or more is redacted,
not the path. If at least half of a path is random and the rest has mixed case or numbers, the whole
path is redacted.

If in doubt, text is redacted. These may be harmless:

- a segment of a name or path with 12 random characters or more (`Xk3vT9...`), if the whole has 20
  characters or more;
- a name of that length in front of `=` and a blank or quote;
- two or more names of mixed case and numbers in a row, with 20 characters or more in all.

These may be secret and are not redacted:

- an unpadded key that looks like words: 1 in 500 keys of 16 bytes, 1 in 2,000 of 24 bytes, 1 in
  10,000 of 32 bytes, and most of these only in part;
- a key without a name in groups of which some look like words: 1 in 100 of 32 bytes, 1 in 20 of
  16 bytes without padding, and most of these only in part; also one in groups of one case;
- a part of a key between slashes that looks like words;
- a lower-case word after a colon and a blank, or in parentheses, which is prose
  (`primaryKey: is required`).
"""

from __future__ import annotations

import re
import traceback

from shared.redaction.encodings import MAX_NESTING, decode, encoded_position
from shared.redaction.named_secrets import find_named
from shared.redaction.unnamed_keys import REDACTED, find_unnamed

__all__ = ["REDACTED", "redact", "redact_error", "redact_id"]

#: Ids of devices and modules, also both with a slash between them (learn: "Understand the identity
#: registry in your IoT hub").
_ID = re.compile(r"[A-Za-z0-9.+%_#*?!(),:;=@$'/-]{0,257}")
#: Without a character that every encoding, padding or named secret has.
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{0,257}")


def redact(text: str) -> str:
    """Replace each key and signature. Idempotent, and linear in the length of the text."""
    return _redact(text, guess=True)


def redact_id(text: str) -> str:
    """Redact the id of a device or module. An id may look random, so kinds 3 and 4 do not apply."""
    if _PLAIN_ID.fullmatch(text):
        return text
    return _redact(text, guess=not _ID.fullmatch(text))


def redact_error(error: BaseException) -> BaseException:
    """Return the exception if it contains no secret, else a redacted one of its type.

    Its causes and notes are redacted too.
    """
    text = "".join(traceback.format_exception(error))
    return error if redact(text) == text else _redacted_copy(error, set())


def _redact(text: str, guess: bool) -> str:
    """Redact until nothing changes: a redaction can expose further groups of a key."""
    for _ in range(MAX_NESTING):
        before, text = text, _redact_once(text, guess)
        if text == before:
            break
    return text


def _redact_once(text: str, guess: bool) -> str:
    plain, layers = decode(text)
    pieces, end = [], 0
    for first, last in sorted((*find_named(plain), *find_unnamed(plain, guess))):
        for anchors in reversed(layers):
            first, last = encoded_position(anchors, first), encoded_position(anchors, last)
        if last > end:
            if first >= end:
                pieces += [text[end:first], REDACTED]
            end = last
    return "".join((*pieces, text[end:])) if pieces else text


def _redacted_copy(error: BaseException, seen: set[int]) -> BaseException:
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
        copy: BaseException = kind.__new__(type(kind.__name__, (kind,), members), text)
    except Exception:
        # Such as an exception group, whose constructor differs.
        copy = type(kind.__name__, (Exception,), members)(text)
    copy.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(redact(str(note)))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    copy.__cause__ = _redacted_copy(cause, seen) if cause and id(cause) not in seen else None
    return copy
