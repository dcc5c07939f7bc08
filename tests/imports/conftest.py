"""Fixtures of imports that are compared with the registry."""

from __future__ import annotations

import pytest

from tests.app import App


@pytest.fixture
def planning(app: App) -> App:
    """The app, which sends only what changes."""
    app.configure(APPLY="changes")
    return app
