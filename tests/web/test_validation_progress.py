"""How far a validation is that takes long, at API and pages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared.imports.workflow import kept_lease
from shared.storage import client as storage
from tests.app import App, device
from tests.web.support import Client, text_of

NAME = "large.ndjson"
#: So many that the file is read in four parts, of which two are validated before the last.
LINES, LAST_READ = 12_000, 4


def test_progress(app: App, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noted while the file is read, and no part of the record of its end."""
    monkeypatch.setattr(storage, "CHUNK_BYTES", 128 * 1024)
    monkeypatch.setattr(kept_lease, "PROGRESS_SECONDS", 0.01)
    app.configure()
    shown: list[Any] = []

    def wait_for_progress(request: str) -> None:
        if request != f"GET /devstoreaccount1/{app.container}/{NAME}":
            return
        reads.append(request)
        if len(reads) < LAST_READ:
            return
        app.before_request = lambda _: None
        import_id = app.record(NAME).id
        for _ in range(1000):
            shown[:] = [client.json(f"imports/{import_id}")]
            if shown[0]["validatedLines"]:
                break
        shown.append(text_of(client.get(f"dashboard/imports/{import_id}").text))

    reads: list[str] = []
    app.before_request = wait_for_progress
    app.upload(NAME, *(device(f"pump-{number}") for number in range(LINES)))
    app.deliver(NAME)
    api, page = shown
    assert api["state"] == "validating"
    assert 0 < api["validatedLines"] < LINES
    assert 0 < api["validatedPercent"] < 100
    assert re.search("[0-9]+ % of the file", page)
    app.finish()
    ended = client.json(f"imports/{app.record(NAME).id}")
    assert ended["state"] == "completed"
    assert ended["validatedLines"] is ended["validatedPercent"] is None
