"""Timeouts that settings depend on, in seconds."""

from __future__ import annotations

__all__ = ["HUB_CONNECT_TIMEOUT", "HUB_DEADLINE", "HUB_READ_TIMEOUT"]

#: Of a call to a hub. Before it answers that it created a job, the hub checks the storage.
HUB_CONNECT_TIMEOUT = 10
HUB_READ_TIMEOUT = 60
#: For the whole call, however slowly the answer comes.
HUB_DEADLINE = HUB_CONNECT_TIMEOUT + HUB_READ_TIMEOUT + 10
