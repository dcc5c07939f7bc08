"""Uploads that the app does not pick up, as it is down or their event was lost."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from cli import unregistered
from tests.app import App, device
from tests.cli.conftest import Shell

HINT = "a.ndjson: uploaded; the app has not picked it up yet. "


@pytest.fixture
def uploaded(app: App, shell: Shell) -> str:
    """The import id of a file that the app has not seen."""
    Path("a.ndjson").write_text(json.dumps(device("a")) + "\n")
    return shell("upload", "a.ndjson").out.split()[0]


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.watch_source.ACTIVITY_DELAY", -1.0)


def test_show_says_that_it_is_uploaded(app: App, shell: Shell, uploaded: str) -> None:
    done = shell("show", uploaded[:10])
    assert (done.status, done.out) == (3, "")
    question = "The app has not run yet. Is it running, and with these settings?"
    assert done.err == f"error: {HINT}{question}\n"
    app.tick()
    done = shell("show", uploaded)
    assert f"{HINT}Last activity of the app: 2" in done.err
    assert "Is it running?" not in done.err
    app.pass_minutes(10)
    assert unregistered.app_activity(app.importer).endswith(". Is it running?")
    app.deliver("a.ndjson")
    assert shell("show", uploaded).status == 0


def test_the_search_is_bounded(
    app: App, shell: Shell, uploaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.upload("0.ndjson", device("b"))
    monkeypatch.setattr(unregistered, "MAX_BLOBS", 1)
    done = shell("show", uploaded)
    assert done.status == 3
    assert f"There is no import '{uploaded}'. Nor does an upload" in done.err
    assert "(the first 1 blobs of " in done.err


@pytest.mark.parametrize("form", ["text", "json"])
def test_watch_says_why_nothing_happens(
    app: App,
    shell: Shell,
    uploaded: str,
    no_delay: None,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    reads = itertools.count()

    def sleep(_: float) -> None:
        if next(reads) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.watch.time.sleep", sleep)
    done = shell("watch", uploaded, "--format", form)
    assert (done.status, done.out) == (130, "")
    first, last = done.err.splitlines()
    assert first.startswith(HINT)
    # Ctrl-C ends the command, not the import.
    assert last == (
        f"Interrupted. Imports go on; to follow them again: device-importer watch {uploaded}"
    )


def test_a_terminal(
    app: App,
    shell: Shell,
    uploaded: str,
    terminal: None,
    no_delay: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.watch.time.sleep", sleep)
    done = shell("watch", uploaded)
    assert "the app has not picked it up yet." in done.out
    assert "to follow them again" in done.err
