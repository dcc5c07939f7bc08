"""Kept data of the local stack belongs to a hub, whose name contains a port."""

from __future__ import annotations

from pathlib import Path

from local.host import load_settings
from local.ports import Ports

__all__ = ["StateError", "check_state"]


class StateError(Exception):
    """Kept data cannot be used; the message has the remedy."""


def check_state(settings_file: Path, ports: Ports) -> None:
    """Check that kept data is of the hub that these ports make.

    Args:
        settings_file: the settings of the run that wrote the data; missing at the first run.

    Raises:
        StateError: the ports are others, so the kept imports would belong to a missing hub.
        SettingsError: the settings cannot be read.
    """
    if ports.hub == 0:
        raise StateError(
            "--state needs fixed ports, since kept imports name the hub by its port: use "
            "--port-base N with a number above 0, or the default ports."
        )
    if not settings_file.is_file():
        return
    host, _, _ = load_settings(settings_file).get("IOTHUB", "").partition(";")
    _, _, port = host.rpartition(":")
    if port != str(ports.hub):
        raise StateError(
            f"{settings_file.parent} has data of a stack whose hub listens on port {port}, not "
            f"{ports.hub}. Use the same --port-base as then, or another folder."
        )
