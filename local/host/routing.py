"""Paths, routes and query parameters as Kestrel and ASP.NET Core read them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

__all__ = ["decode_path", "encode_path", "match", "parameters", "precedence"]

_ENCODED: Final = re.compile(r"(?:%(?!2[Ff])[0-9A-Fa-f]{2})+")
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def decode_path(raw: str) -> str:
    """Decode a path once, except ``%2F``, and resolve ``.`` and ``..``.

    Raises ValueError for a path with a NUL or with characters outside ASCII.
    """
    path = _ENCODED.sub(_decoded, raw)
    if "\0" in path or not raw.isascii():
        raise ValueError("the path has an invalid character")
    segments: list[str] = []
    parts = path.removeprefix("/").split("/")
    for part in parts:
        if part == "..":
            del segments[-1:]
        elif part != ".":
            segments.append(part)
    if parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def _decoded(encoded: re.Match[str]) -> str:
    try:
        return unquote(encoded[0], errors="strict")
    except UnicodeDecodeError:
        return encoded[0]


def encode_path(path: str) -> str:
    """Encode a decoded path for an address; escapes in it, such as ``%2F``, stay."""
    return _STRAY_PERCENT.sub("%25", quote(path, safe="/:@!$&'()*+,;=~%"))


def parameters(query: str) -> dict[str, str]:
    """Parse a query: several values of a name are joined, names without a value are dropped."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(query):
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def precedence(route: str) -> list[int]:
    """Sort key of a route: per segment, text precedes a parameter, which precedes a catch-all."""
    return [
        2 if segment.startswith("{*") else 1 if segment.startswith("{") else 0
        for segment in route.split("/")
    ]


def match(route: str, path: str) -> dict[str, str] | None:
    """Return the values of the route's parameters for a decoded path; None if it does not match.

    Text matches in any letter case; one trailing slash is ignored.
    """
    values: dict[str, str] = {}
    rest = path.removeprefix("/")
    for template in route.split("/") if route else ():
        if template.startswith("{*"):
            return values | ({template[2:-1]: rest} if rest else {})
        segment, _, rest = rest.partition("/")
        if not segment:
            return None
        if template.startswith("{"):
            values[template[1:-1]] = segment
        elif segment.lower() != template.lower():
            return None
    return None if rest else values
