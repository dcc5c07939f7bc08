"""The dashboard with few and with many imports: requests, bytes, time, first paint."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from playwright.sync_api import Browser, sync_playwright

import function_app
from bench.environment import Cost, HubProcess, Scene
from bench.table_rows import add_import, fill_history
from local.host import FunctionsHost
from shared.imports.model.states import ImportState
from shared.web.dispatch import respond
from shared.web.http_types import Request
from shared.web.routes import ROUTES

__all__ = ["VIEWS", "View", "table", "views"]

_HOST_JSON = Path(function_app.__file__).with_name("host.json")
_PATH = "api/dashboard"
#: The median of so many views counts.
VIEWS = 7
_WAITING = 20
#: A leap day: the timers leave the scene alone.
_NEVER = "0 0 0 29 2 *"

_FIRST_PAINT = """
() => new Promise((resolve) => new PerformanceObserver((list) => {
  const paint = list.getEntriesByName("first-contentful-paint")[0];
  if (paint) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))
"""


@dataclass(frozen=True)
class View:
    """The overview with so many imports in the table."""

    count: int
    #: Of making the page, without HTTP.
    cost: Cost
    size: int
    #: Seconds from the click to the first content on the screen, in Chromium.
    first_paint: float


def views(storage: str, counts: Sequence[int], times: int = VIEWS) -> list[View]:
    """The overview with so many imports that ended and a queue of twenty."""
    with HubProcess(storage) as hub, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        results = []
        for count in counts:
            with Scene(storage, hub.connection_string) as scene:
                fill_history(scene, count)
                for number in range(_WAITING):
                    add_import(scene, scene.hub, number, state=ImportState.QUEUED)
                results.append(_view(scene, count, browser, times))
        browser.close()
    return results


def _view(scene: Scene, count: int, browser: Browser, times: int) -> View:
    [route] = [route for route in ROUTES if route.name == "show_dashboard"]
    request = Request("GET", f"http://localhost/{_PATH}")
    sizes: list[int] = []

    def make() -> None:
        answer = respond(route, request, lambda: scene.importer)
        assert answer.status == 200
        sizes.append(len(answer.body))

    make()
    cost = scene.cost(make, times)
    return View(count, cost, sizes[-1], _first_paint(scene, browser, times))


def _first_paint(scene: Scene, browser: Browser, times: int) -> float:
    settings = {
        "AzureWebJobsStorage": scene.environment["ImporterStorage"],
        **scene.environment,
        "POLL_SCHEDULE": _NEVER,
        "SWEEP_SCHEDULE": _NEVER,
    }
    with (
        mock.patch.object(function_app, "importer", return_value=scene.importer),
        FunctionsHost(function_app.app, settings, _HOST_JSON, host_id=scene.container) as host,
    ):
        seconds = []
        for _ in range(times):
            # Without a cache, as at a first visit.
            with browser.new_context() as context:
                page = context.new_page()
                page.goto(f"{host.address}/{_PATH}")
                seconds.append(float(page.evaluate(_FIRST_PAINT)) / 1000)
    return statistics.median(seconds)


def table(results: Sequence[View]) -> Iterator[str]:
    yield f"Dashboard, median of {VIEWS} views"
    yield ""
    yield f"{'imports':>9}{'requests':>10}{'KiB':>7}{'made in s':>11}{'first paint s':>15}"
    for view in results:
        yield (
            f"{view.count:9,}{view.cost.requests:10}{view.size / 1024:7.0f}"
            f"{view.cost.seconds:11.3f}{view.first_paint:15.3f}"
        )
