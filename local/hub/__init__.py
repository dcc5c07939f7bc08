"""An emulator of the parts of Azure IoT Hub that import jobs need; see README.md here."""

from __future__ import annotations

from local.hub.emulator import HubEmulator

__all__ = ["HubEmulator"]
