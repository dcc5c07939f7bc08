"""How much a hub holds (learn page on quotas and throttling)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    #: Devices and modules together, from S1 and B1 on; a free hub holds 500.
    identities: int = 1_000_000
    #: Older pages say 20.
    modules_per_device: int = 50


DEFAULT_LIMITS = Limits()
