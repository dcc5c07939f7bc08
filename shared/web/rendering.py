"""Renders HTML pages: everything is escaped, and browsers run only the page's own script."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup, escape

from shared.text import format_about, format_duration
from shared.web.http_types import Request, Response
from shared.web.routes import address

__all__ = ["Links", "code_spans", "format_count", "format_time", "render", "shorten"]

_TEMPLATES = Path(__file__).parent / "templates"


class Links:
    """Addresses of pages and files, with the key that the request carried."""

    def __init__(self, request: Request) -> None:
        self.code = request.query.get("code", "")

    def link(self, path: str, *, fragment: str = "", **query: str) -> str:
        query = {name: value for name, value in {**query, "code": self.code}.items() if value}
        parts = (address(path), f"?{urlencode(query)}" if query else "")
        return "".join(parts) + (f"#{fragment}" if fragment else "")


def render(
    template: str,
    request: Request,
    status: int = 200,
    *,
    now: datetime | None = None,
    refresh: int = 0,
    scripts: Sequence[str] = (),
    connects_to: str = "",
    **values: Any,
) -> Response:
    """Return a page.

    Args:
        now: the time to show on the page.
        refresh: seconds until the page refreshes itself; 0 for never.
        scripts: files of the page's own scripts, which its template shows as `scripts`.
        connects_to: another origin that they may send requests to.
    """
    links = Links(request)
    # These are ours, and the policy below contains their hashes.
    style = Markup(_text("style.css"))
    script = Markup(_text("live.js"))
    own_scripts = [Markup(_text(name)) for name in scripts]
    body = _template(template).render(
        link=links.link,
        dashboard=address("dashboard"),
        code=links.code,
        style=style,
        icon=_icon(),
        script=script,
        scripts=own_scripts,
        refresh=refresh,
        now=now or datetime.now(UTC),
        **values,
    )
    hashes = " ".join(map(_hash, (script, *own_scripts)))
    connections = " ".join(filter(None, ("'self'", connects_to)))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {hashes}; img-src data:; "
        f"connect-src {connections}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy}
    return Response(status, body.encode(), "text/html; charset=utf-8", headers)


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {
        "about": format_about,
        "code_spans": code_spans,
        "duration": format_duration,
        "number": format_count,
        "shorten": shorten,
        "utc": format_time,
    }
    environment.filters |= filters
    return environment.get_template(name)


@functools.cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@functools.cache
def _icon() -> str:
    """The icon of the pages as an address, since browsers request no file for it then."""
    return f"data:image/svg+xml,{quote(_text('icon.svg').strip())}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def format_time(time: datetime) -> str:
    """Return a time in UTC, which scripts replace by the reader's local time (`live.js`)."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def shorten(text: str, length: int) -> str:
    """Cut a text in its middle: beginning and end tell files apart.

    Args:
        length: the maximum length of the result, in characters.
    """
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}…{text[-end:]}"


def code_spans(text: str) -> Markup:
    """Return a text as HTML, with what is in backticks as code."""
    parts = map(escape, text.split("`"))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if is_code else part
        for part, is_code in zip(parts, cycle((False, True)), strict=False)
    )
