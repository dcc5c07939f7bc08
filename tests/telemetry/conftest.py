"""Telemetry with an exporter in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import telemetry
from tests.telemetry.support import CapturedTelemetry


@pytest.fixture
def captured_telemetry() -> Iterator[CapturedTelemetry]:
    captured_telemetry = CapturedTelemetry()
    telemetry.set_backend(captured_telemetry.backend())
    yield captured_telemetry
    telemetry.set_backend(None)
