"""An emulator of the parts of Azure IoT Hub that import jobs need; see local/README.md."""

from __future__ import annotations

from iothub_emulator.emulator import HubEmulator

__all__ = ["HubEmulator"]
