"""An emulator of the data plane of Azure IoT Hub; README.md describes it."""

from __future__ import annotations

from iothub_emulator.emulator import HubEmulator

__all__ = ["HubEmulator"]
