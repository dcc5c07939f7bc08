"""Uploads on the dashboard, in Chromium and against Azurite."""

from __future__ import annotations

import gzip
import json
import random
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Route, expect

from local.cors import allow_uploads
from shared.web import rendering
from tests.app import App, device
from tests.web.browser.test_dashboard import DARK_PHONE, DASHBOARD, LONG, NARROW, ODD, TOO_WIDE
from tests.web.support import Client, TwoHubs

#: Bytes of a block in these tests.
BLOCK = 64 * 1024


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, and no waiting."""
    text = rendering._text

    def changed(name: str) -> str:
        script = text(name)
        for old, new in (
            ("const BLOCK_BYTES = 8 * 1024 * 1024", f"const BLOCK_BYTES = {BLOCK}"),
            ("const BACK_OFF = 500", "const BACK_OFF = 1"),
            ("const FOLLOW = 2000", "const FOLLOW = 20"),
        ):
            script = script.replace(old, new)
        return script

    monkeypatch.setattr(rendering, "_text", changed)


@pytest.fixture(autouse=True)
def cors(app: App, client: Client) -> None:
    allow_uploads(app.blobs, client.base.removesuffix("/api"))


@pytest.fixture
def other_origins(app: App) -> Sequence[str]:
    return (app.importer.services.storage.blob_origin,)


@pytest.fixture
def harmless_messages() -> Sequence[str]:
    """Of requests that a test cuts, or that CORS forbids."""
    return ("net::ERR_", "blocked by CORS policy")


def file_of(tmp_path: Path, *lines: object, name: str = "pumps.ndjson") -> Path:
    path = tmp_path / name
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def large(tmp_path: Path) -> Path:
    """A file of several blocks."""
    pad = "x" * 1000
    path = file_of(
        tmp_path, *(device(f"pump-{number}", tags={"pad": pad}) for number in range(400))
    )
    assert path.stat().st_size > 6 * BLOCK
    return path


def choose(page: Page, path: Path) -> None:
    page.get_by_label("Drop a device file here").set_input_files(path)


def expect_status(page: Page, text: str) -> None:
    expect(page.locator("#upload-status")).to_contain_text(text)


def start(page: Page, path: Path) -> None:
    """Choose a good file and upload it."""
    page.goto(DASHBOARD)
    choose(page, path)
    expect_status(page, "Ready to upload")
    page.get_by_role("button", name="Upload").click()


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def content(app: App, name: str = "pumps.ndjson") -> bytes:
    return app.blobs.get_blob_client(app.container, name).download_blob().readall()


def names(app: App) -> list[str]:
    return [*app.blobs.get_container_client(app.container).list_blob_names()]


def is_block(url: str) -> bool:
    return "comp=block&" in url


def is_list(url: str) -> bool:
    return "comp=blocklist" in url


def test_a_file_is_checked_uploaded_in_blocks_and_followed(
    app: App, page: Page, tmp_path: Path
) -> None:
    path = large(tmp_path)
    puts: list[str] = []
    page.on(
        "request", lambda request: puts.append(request.url) if request.method == "PUT" else None
    )
    page.goto(DASHBOARD)
    choose(page, path)
    expect_status(page, "400 lines, 400 valid, 0 errors")
    assert names(app) == []
    page.get_by_role("button", name="Upload").click()
    expect_status(page, "Waiting for the app to notice it")
    assert content(app) == path.read_bytes()
    assert sum(map(is_block, puts)) == -(-path.stat().st_size // BLOCK)
    expect(page.get_by_label("Drop a device file here")).to_be_focused()
    app.deliver("pumps.ndjson")
    page.get_by_role("link", name="its import").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("pumps.ndjson")
    expect(page.locator("#acts")).to_contain_text("upload")
    expect(page.locator("#acts")).to_contain_text("by function key (dashboard)")


def test_pause_and_resume(app: App, page: Page, tmp_path: Path) -> None:
    path = large(tmp_path)
    sent: list[str] = []
    held: list[Route] = []

    def hold(route: Route) -> None:
        if len(sent) < 2:
            sent.append(route.request.url)
            route.continue_()
        else:
            held.append(route)

    page.route(is_block, hold)
    start(page, path)
    expect(page.locator("#upload-amount")).to_contain_text(
        f"{200 * BLOCK // path.stat().st_size} %"
    )
    expect(button(page, "Pause")).to_be_focused()
    button(page, "Pause").click()
    expect_status(page, "Paused.")
    page.unroute(is_block)
    page.on("request", lambda request: sent.append(request.url) if is_block(request.url) else None)
    button(page, "Resume").click()
    expect_status(page, "is uploaded")
    assert content(app) == path.read_bytes()
    # What was sent before the pause is not sent again.
    assert len(sent) == len(set(sent)) == -(-path.stat().st_size // BLOCK)


def test_a_lost_connection_and_a_lost_answer(app: App, page: Page, tmp_path: Path) -> None:
    path = large(tmp_path)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)
        if len(held) == 1:
            route.continue_()

    page.route(is_block, hold)
    start(page, path)
    expect(page.locator("#upload-amount")).to_contain_text(
        f"{100 * BLOCK // path.stat().st_size} %"
    )
    page.route(is_block, lambda route: route.abort())
    for route in held[1:]:
        route.abort()
    expect_status(page, "Paused: The connection was lost. Resume goes on where it stopped.")
    page.unroute(is_block)

    def lose_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route(is_list, lose_answer, times=1)
    # The browser is connected again.
    page.evaluate("dispatchEvent(new Event('online'))")
    expect_status(page, "is uploaded")
    assert content(app) == path.read_bytes()


def test_an_address_that_expires_is_renewed(app: App, page: Page, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on(
        "request",
        lambda request: (
            asked.append(request.url)
            if "/api/uploads?" in request.url and request.method == "POST"
            else None
        ),
    )

    def refuse(route: Route) -> None:
        headers = {"Access-Control-Allow-Origin": "*"}
        route.fulfill(
            status=403, headers=headers, body="<Error><Code>AuthenticationFailed</Code></Error>"
        )

    page.route(is_block, refuse, times=1)
    start(page, file_of(tmp_path, device("pump-1")))
    expect_status(page, "is uploaded")
    assert len(asked) == 2
    app.deliver("pumps.ndjson")
    assert [act.name for act in app.record("pumps.ndjson").acts] == ["upload"]


def test_problems_are_shown_and_prevent_the_upload(app: App, page: Page, tmp_path: Path) -> None:
    app.configure(MAX_DELETES="1", MAX_DELETE_SHARE="1")
    page.goto(DASHBOARD)
    choose(page, file_of(tmp_path, device("pump 1"), {"id": ODD, "status": "on"}))
    expect_status(page, "2 lines, 0 valid")
    expect_status(page, "would be rejected, so it cannot be uploaded here")
    problems = page.get_by_role("table", name="Problems of the file").locator("tbody tr")
    expect(problems.first).to_contain_text("id-characters error")
    expect(page.locator("#upload-result .codes")).to_contain_text("1 x status-invalid (error): ")
    expect(page.locator("#upload-result")).to_contain_text(ODD)
    expect(button(page, "Upload")).to_be_disabled()
    deletes = [device(f"pump-{number}", importMode="delete") for number in range(3)]
    choose(page, file_of(tmp_path, *deletes, name="deletes.ndjson"))
    expect_status(page, "enter their number under Deletes to allow")
    page.get_by_label("Deletes to allow").fill("3")
    page.get_by_label("Deletes to allow").press("Tab")
    expect_status(page, "Ready to upload")
    button(page, "Upload").click()
    expect_status(page, "is uploaded")
    app.deliver("deletes.ndjson")
    assert app.record("deletes.ndjson").state in ("queued", "running")


def test_the_beginning_of_a_large_file_is_checked(
    app: App, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.web.dashboard.MAX_POSTED_BYTES", 20_000)
    path = large(tmp_path)
    page.goto(DASHBOARD)
    choose(page, path)
    expect_status(page, "The first 18.6 KB of pumps.ndjson: 18 lines, 18 valid, 0 errors")
    lines = [
        device(f"pump-{number}", tags={"pad": random.Random(number).randbytes(700).hex()})
        for number in range(99)
    ]
    packed = tmp_path / "pumps.ndjson.gz"
    packed.write_bytes(gzip.compress(file_of(tmp_path, *lines).read_bytes()))
    choose(page, packed)
    expect_status(page, "KB of pumps.ndjson.gz: 13 lines, 13 valid, 0 errors")
    cells = tmp_path / "pumps.csv"
    cells.write_text("id,status,tags.note\n" + 'pump-1,enabled,"' + "a\n" * 15_000 + '"\n')
    choose(page, cells)
    expect_status(page, "The first 20 bytes of pumps.csv")
    array = tmp_path / "pumps.json"
    array.write_text(json.dumps(lines))
    choose(page, array)
    expect_status(page, "was not checked: only a whole file in this format can be checked")
    button(page, "Upload").click()
    expect_status(page, "is uploaded")
    assert content(app, "pumps.json") == array.read_bytes()


def test_an_existing_file_is_overwritten_on_demand(app: App, page: Page, tmp_path: Path) -> None:
    app.upload("pumps.ndjson", device("old"))
    app.deliver("pumps.ndjson")
    path = file_of(tmp_path, device("new"))
    start(page, path)
    expect_status(page, "A file of that name exists: its import.")
    link = page.locator("#upload-status").get_by_role("link", name="its import")
    assert app.record("pumps.ndjson").id in (link.get_attribute("href") or "")
    overwrite = page.get_by_label("Overwrite the existing file")
    expect(overwrite).to_be_focused()
    overwrite.check()
    button(page, "Upload").click()
    expect_status(page, "is uploaded")
    assert content(app) == path.read_bytes()
    # Uploaded by somebody else after the address was given.
    start(page, path)
    page.get_by_label("Name", exact=True).fill("other.ndjson")

    def overtake(route: Route) -> None:
        app.upload("other.ndjson", device("overtaken"))
        route.continue_()

    page.route(is_block, overtake)
    button(page, "Upload").click()
    expect_status(page, "A file of that name exists")
    assert b"overtaken" in content(app, "other.ndjson")


def test_without_a_way_to_storage(
    app: App, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private network, or no CORS."""
    allow_uploads(app.blobs, "http://elsewhere.example")
    path = file_of(tmp_path, device("pump-1"), name="süd pumps.ndjson")
    start(page, path)
    expect_status(page, "is uploaded")
    assert content(app, path.name) == path.read_bytes()
    start(page, path)
    expect_status(page, "A file of that name exists")
    monkeypatch.setattr("shared.web.dashboard.MAX_POSTED_BYTES", 100_000)
    page.goto(DASHBOARD)
    choose(page, large(tmp_path))
    page.get_by_label("Name", exact=True).fill("a b/it's $(id).ndjson")
    button(page, "Upload").click()
    expect_status(page, "only files of up to 97.7 KB can go through the app")
    command = page.locator("#upload-status code").inner_text()
    assert shlex.split(command) == [
        *("device-importer", "upload", "pumps.ndjson"),
        *("--name", "a b/it's $(id).ndjson"),
    ]
    assert names(app) == [path.name]


def test_the_hub_is_chosen(app: App, two_hubs: TwoHubs, page: Page, tmp_path: Path) -> None:
    page.goto(DASHBOARD)
    choose(page, file_of(tmp_path, device("pump-1")))
    expect_status(page, "Ready to upload")
    button(page, "Upload").click()
    # The browser asks for the hub.
    expect(page.locator("#upload-hub")).to_be_focused()
    page.locator("#upload-hub").select_option("west")
    button(page, "Upload").click()
    expect_status(page, "is uploaded")
    assert names(app) == ["west/pumps.ndjson"]


def test_a_mapping_and_a_file_of_its_folder(app: App, page: Page, tmp_path: Path) -> None:
    mapping = {"columns": {"Serial": "id"}, "defaults": {"status": "enabled"}}
    page.goto(DASHBOARD)
    choose(page, file_of(tmp_path, mapping, name="_mapping.json"))
    page.get_by_label("Name", exact=True).fill("maker/_mapping.json")
    page.keyboard.press("Tab")
    expect_status(page, "is a valid mapping. Ready to upload")
    page.get_by_role("button", name="Upload").click()
    expect_status(
        page, "It applies to the files of the folder maker/ that are validated from now on."
    )
    path = tmp_path / "pumps.csv"
    path.write_text("Serial\npump-1\n")
    choose(page, path)
    expect_status(page, "would be rejected")
    expect_status(page, "write the folder of the mapping before the name")
    page.get_by_label("Name", exact=True).fill("maker/pumps.csv")
    page.keyboard.press("Tab")
    expect_status(page, "1 line, 1 valid")
    page.get_by_role("button", name="Upload").click()
    expect_status(page, "is uploaded")
    app.deliver("maker/pumps.csv")
    expect_status(page, "See its import")


def test_by_keyboard(app: App, page: Page, tmp_path: Path) -> None:
    # Playwright does not wait until it intercepts the dialog, so it begins early.
    page.on("filechooser", lambda _: None)
    page.goto(DASHBOARD)
    page.locator("#upload-file").focus()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file_of(tmp_path, device("pump-1")))
    expect_status(page, "Ready to upload")
    for label in ("upload-name", "upload-deletes", "upload-start", "upload-cancel"):
        page.keyboard.press("Tab")
        expect(page.locator(f"#{label}")).to_be_focused()
    page.keyboard.press("Enter")
    expect_status(page, "Nothing was uploaded.")
    expect(page.locator("#upload-file")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file_of(tmp_path, device("pump-1")))
    expect_status(page, "Ready to upload")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect_status(page, "is uploaded")
    assert names(app) == ["pumps.ndjson"]


def test_a_dropped_file(app: App, page: Page) -> None:
    page.goto(DASHBOARD)
    line = json.dumps(device("pump-1"))
    data = page.evaluate_handle(
        """(line) => {
          const data = new DataTransfer();
          data.items.add(new File([line], "dropped.ndjson"));
          return data;
        }""",
        line,
    )
    page.dispatch_event("#upload-drop", "drop", {"dataTransfer": data})
    expect_status(page, "Ready to upload")
    button(page, "Upload").click()
    expect_status(page, "is uploaded")
    assert content(app, "dropped.ndjson") == line.encode()


@pytest.mark.parametrize("page", [NARROW, DARK_PHONE], indirect=True, ids=["narrow", "phone"])
def test_uploads_are_accessible(app: App, two_hubs: TwoHubs, page: Page, tmp_path: Path) -> None:
    def look() -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate(TOO_WIDE) == []

    page.goto(DASHBOARD)
    look()
    choose(page, file_of(tmp_path, device("pump 1" + "x" * 90), name=LONG))
    expect_status(page, "would be rejected")
    look()
    choose(page, file_of(tmp_path, device("pump-1"), name=f"good-{LONG}"))
    expect_status(page, "Ready to upload")
    page.locator("#upload-hub").select_option("east")
    button(page, "Upload").click()
    expect_status(page, "is uploaded")
    look()
    page.route(is_block, lambda _: None)
    choose(page, large(tmp_path))
    expect_status(page, "Ready to upload")
    page.locator("#upload-hub").select_option("east")
    button(page, "Upload").click()
    expect(page.locator("#upload-amount")).to_contain_text("0 %")
    look()
