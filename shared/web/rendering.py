"""Renders HTML pages: everything is escaped, and browsers run only the page's own script."""

from __future__ import annotations

import base64
import functools
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from shared.text import format_duration
from shared.web.http_types import Request, Response
from shared.web.routes import address

__all__ = ["Links", "format_count", "format_time", "render"]

_TEMPLATES = Path(__file__).parent / "templates"


class Links:
    """Addresses of pages and files, with the key that the request carried."""

    def __init__(self, request: Request) -> None:
        self.code = request.query.get("code", "")

    def link(self, path: str, **query: str) -> str:
        query = {name: value for name, value in {**query, "code": self.code}.items() if value}
        return address(path) + (f"?{urlencode(query)}" if query else "")


def render(
    template: str,
    request: Request,
    status: int = 200,
    *,
    now: datetime | None = None,
    refresh: int = 0,
    **values: Any,
) -> Response:
    """Return a page.

    Args:
        now: the time to show on the page.
        refresh: seconds until the page refreshes itself; 0 for never.
    """
    links = Links(request)
    # These two are ours, and the policy below contains their hashes.
    style = Markup(_text("style.css"))
    script = Markup(_text("live.js"))
    body = _template(template).render(
        link=links.link,
        dashboard=address("dashboard"),
        code=links.code,
        style=style,
        script=script,
        refresh=refresh,
        now=now or datetime.now(UTC),
        **values,
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
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
    filters = {"duration": format_duration, "number": format_count, "utc": format_time}
    environment.filters |= filters
    return environment.get_template(name)


@functools.cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def format_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def format_count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"
