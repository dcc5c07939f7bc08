"""Pages: templates, everything escaped, and a policy that lets a browser run nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jinja2
from markupsafe import Markup

from shared.text import format_duration
from shared.web.messages import Request, Response

__all__ = ["Site", "moment", "number", "render", "words"]

_TEMPLATES = Path(__file__).parent / "templates"

_WORDS = {"completedWithErrors": "completed with errors"}


class Site:
    """Addresses within the app, as whoever asks for a page can reach them."""

    def __init__(self, request: Request) -> None:
        #: What comes before `/dashboard`: the route prefix of host.json.
        self.root = urlsplit(request.url).path.rpartition("/dashboard")[0]
        #: The key that the host was given; links have to carry it on. "" if it came otherwise.
        self.code = request.query.get("code", "")

    def link(self, path: str, **query: str) -> str:
        query = {name: value for name, value in query.items() if value}
        if self.code:
            query["code"] = self.code
        return f"{self.root}/{path}" + (f"?{urlencode(query)}" if query else "")


def render(
    template: str, site: Site, status: int = 200, *, refresh: int = 0, **values: Any
) -> Response:
    """A page.

    Args:
        refresh: seconds after which it asks for itself again; 0 is never.
    """
    environment = _environment()
    # These two are ours, and the policy below names their hashes.
    style = Markup(_text("style.css"))
    script = Markup(_text("live.js"))
    body = environment.get_template(template).render(
        link=site.link,
        root=site.root,
        code=site.code,
        style=style,
        script=script,
        refresh=refresh,
        **values,
    )
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "img-src data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
    headers = {"Content-Security-Policy": policy}
    return Response(status, body.encode(), "text/html; charset=utf-8", headers)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": moment,
        "number": number,
        "span": format_duration,
        "words": words,
    }
    return environment


@functools.cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def words(state: str) -> str:
    return _WORDS.get(state, state)
