"""A browser that shows the dashboard of the app under test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from shared.web import dashboard
from tests.web.support import KEY, Client

#: Milliseconds; long, so that no test depends on the speed of the machine.
TIMEOUT = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        # Chromium's sandbox needs permissions that containers do not have.
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


class Watch:
    """Records policy violations, errors and external requests of a page."""

    def __init__(self, page: Page, origins: Sequence[str], harmless: Sequence[str]) -> None:
        self._origins = tuple(origins)
        # A browser logs each problem response; the tests check those themselves.
        self._harmless = ("the server responded", *harmless)
        self.trouble: list[str] = []
        page.on("console", self._record_console)
        page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        page.on("request", self._record_request)

    def _record_console(self, message: ConsoleMessage) -> None:
        is_harmless = any(text in message.text for text in self._harmless)
        if message.type in ("error", "warning") and not is_harmless:
            self.trouble.append(f"console: {message.text}")

    def _record_request(self, request: Request) -> None:
        if not request.url.startswith((*self._origins, "data:,")):
            self.trouble.append(f"request: {request.url}")


def _with_key(url: str) -> str:
    if "code=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}code={quote(KEY)}"


@pytest.fixture
def other_origins() -> Sequence[str]:
    """Origins beside the app that pages may send requests to."""
    return ()


@pytest.fixture
def harmless_messages() -> Sequence[str]:
    """Parts of messages on the console that are no trouble."""
    return ()


@pytest.fixture
def page(
    browser: Browser,
    client: Client,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    other_origins: Sequence[str],
    harmless_messages: Sequence[str],
) -> Iterator[Page]:
    """A page of the app. Policy violations and external requests fail the test.

    ``goto`` adds the key to the address; from there on, links have to keep it.
    """
    monkeypatch.setattr(dashboard, "IDLE_REFRESH", 1)
    monkeypatch.setattr(dashboard, "BUSY_REFRESH", 1)
    options = getattr(request, "param", {})
    address = client.base.removesuffix("/api")
    with browser.new_context(base_url=address, **options) as context:
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        goto = page.goto
        monkeypatch.setattr(page, "goto", lambda url: goto(_with_key(url)))
        watch = Watch(page, (address, *other_origins), harmless_messages)
        yield page
        assert watch.trouble == []
