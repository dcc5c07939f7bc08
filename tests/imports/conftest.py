"""Fixtures of imports that are compared with the registry, held and backed up."""

from __future__ import annotations

import pytest

from tests.app import App
from tests.imports.guards import PUMPS
from tests.imports.plans import put_pumps, use_lookups


@pytest.fixture
def planning(app: App) -> App:
    """The app, which sends only what changes."""
    app.configure(APPLY="changes")
    return app


@pytest.fixture
def guarding(app: App) -> App:
    """The app, which holds what deletes more than two devices."""
    app.configure(APPROVAL="destructive", MAX_DELETES="2", APPROVAL_HUB_SHARE="1")
    put_pumps(app, PUMPS)
    return app


@pytest.fixture
def keeping(app: App) -> App:
    """The app, which backs up all that it changes, and looks devices up."""
    app.configure(BACKUP="always")
    put_pumps(app, 6)
    use_lookups(app)
    return app
