"""Takes docs/dashboard.png from the local stack: `python -m docgen.screenshot`."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from local import samples
from local.ports import Ports
from local.stack import Stack
from shared.imports.app import importer, utc_now
from shared.imports.model.states import ImportState
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.store.daily_counts import DailyCounts

_PICTURE = Path(__file__).parents[1] / "docs/dashboard.png"
#: Seconds until the imports must be in the states that the picture shows.
_DEADLINE = 60.0
_SHOW_A_REAL_NAME = """hub => document.querySelectorAll("h3").forEach(
  heading => heading.textContent = hub)"""


def prepare(stack: Stack) -> None:
    """Fill the stack with a month of history, finished imports, a running and a queued one."""
    for line in samples.stock(3):
        stack.hub.registry.put(dict(line))
    _upload(stack, "fleet.ndjson", samples.ndjson(samples.fleet(1000)))
    _upload(stack, "valves-broken.ndjson", samples.broken_lines())
    _upload(stack, "site-east.csv", samples.csv(samples.site("east", 25)))
    _upload(stack, "spare-parts.ndjson", samples.ndjson(samples.replacements(40, existing=3)))
    _wait(4, lambda state: state.is_final)
    _add_history()
    stack.hub.faults.add("hangJob")
    _upload(stack, "fleet-berlin.ndjson", samples.ndjson(samples.fleet(800)))
    _wait(1, lambda state: state is ImportState.RUNNING)
    time.sleep(1)
    _upload(stack, "fleet-hamburg-2026.csv", samples.csv(samples.site("hamburg", 40)))
    _wait(1, lambda state: state is ImportState.QUEUED)


def take(page: Page, address: str, picture: Path) -> None:
    page.goto(address)
    page.evaluate(_SHOW_A_REAL_NAME, "fleet")
    page.screenshot(path=picture, full_page=True)


def _add_history() -> None:
    services = importer().services
    table = services.storage.table(services.settings.storage.imports_table)
    [hub] = services.hubs
    chance = random.Random(3)
    for age in range(1, 30):
        imported, failed = chance.randrange(200, 3900), chance.randrange(0, 60)
        day = DailyCounts(
            (utc_now() - timedelta(days=age)).date(),
            Counter({ImportState.COMPLETED: 4}),
            imported,
            failed,
        )
        table.create_entity({"PartitionKey": hub, "RowKey": day.row_key, **day.to_columns()})


def _upload(stack: Stack, name: str, content: bytes) -> None:
    container = stack.blobs.get_container_client(stack.settings["UPLOAD_CONTAINER"])
    container.upload_blob(name, content)


def _wait(count: int, is_wanted: Callable[[ImportState], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        imports = importer().reader.page(ImportFilter(), 50).imports
        if sum(is_wanted(record.state) for record in imports) >= count:
            return
        time.sleep(0.2)
    raise TimeoutError("the imports are not in the states that the picture shows")


def main() -> None:
    changes = {"POLL_SCHEDULE": "* * * * * *", "TICK_SECONDS": "0.8"}
    with (
        Stack(ports=Ports.any_free(), changes=changes, job_seconds=1, scan_interval=0.5) as stack,
        sync_playwright() as playwright,
    ):
        assert stack.host
        prepare(stack)
        # Chromium's own sandbox needs rights that containers do not give.
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 800}, color_scheme="light")
        take(page, f"{stack.host.address}/api/dashboard", _PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
