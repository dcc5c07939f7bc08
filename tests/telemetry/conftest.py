"""Telemetry with an exporter in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import telemetry
from tests.telemetry.support import Seen


@pytest.fixture
def seen() -> Iterator[Seen]:
    seen = Seen()
    telemetry.set_backend(seen.backend())
    yield seen
    telemetry.set_backend(None)
