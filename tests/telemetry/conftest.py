"""Telemetry with providers that keep what they are told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.telemetry import facade
from shared.telemetry.backend import Backend
from tests.telemetry.support import Seen


@pytest.fixture
def seen() -> Iterator[Seen]:
    seen = Seen()
    facade.use(Backend(seen.tracers, seen.meters))
    yield seen
    facade.use(None)
