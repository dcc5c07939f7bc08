"""Imports that were held or backed up, and people who decide about them."""

from __future__ import annotations

from typing import Any

from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.imports.plans import NAME, pump, put_pumps, use_lookups

__all__ = ["ADA", "BOB", "back_up", "deletion", "guard", "hold", "hold_deletes", "sign_in", "undo"]

#: What App Service Authentication adds to the requests of two people.
ADA, BOB = (
    {"X-MS-CLIENT-PRINCIPAL-ID": user_id, "X-MS-CLIENT-PRINCIPAL-NAME": name}
    for user_id, name in (
        ("11111111-2222-3333-4444-555555555555", "ada@example.com"),
        ("66666666-7777-8888-9999-000000000000", "bob@example.com"),
    )
)


def sign_in(app: App) -> None:
    """Turn App Service Authentication on, as the platform tells it."""
    app.configure(WEBSITE_AUTH_ENABLED="True")


def guard(app: App, **settings: str) -> None:
    """Hold imports that delete, disable or replace the keys of more than two of eight devices."""
    app.configure(APPROVAL="destructive", MAX_DELETES="2", APPROVAL_HUB_SHARE="1", **settings)
    put_pumps(app, 8)
    use_lookups(app)


def deletion(number: int) -> dict[str, object]:
    return device(f"pump-{number}", importMode="delete")


def hold(app: App, *lines: object, name: str = NAME) -> ImportRecord:
    app.upload(name, *lines)
    app.deliver(name)
    for _ in range(3):
        app.hub.wait_idle()
        app.tick()
    record = app.record(name)
    assert record.state == "held", record.failure_reason
    return record


def hold_deletes(app: App, name: str = NAME) -> ImportRecord:
    return hold(app, *map(deletion, range(3)), name=name)


def back_up(app: App, *lines: object, name: str = NAME, **settings: str) -> ImportRecord:
    """Run an import with a backup: by default it deletes, changes and creates a device."""
    app.configure(BACKUP="always", **settings)
    put_pumps(app, 4)
    use_lookups(app)
    app.upload(name, *(lines or (deletion(0), pump(1, "b"), device("new-1"))))
    app.deliver(name)
    app.finish()
    record = app.record(name)
    assert record.backup.container, record.failure_reason
    return record


def undo(app: App, record: ImportRecord, **options: Any) -> ImportRecord:
    """Undo an import, and run the undo to its end."""
    new = app.importer.actions.undo(record, record.creates or 0, **options)
    app.finish()
    return app.importer.services.store.get(new.hub, new.row_key)
