"""The parts of host.json that the local host follows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.host.settings import read_json

__all__ = ["HostConfig"]


@dataclass(frozen=True)
class HostConfig:
    """Values of host.json with the defaults of the real host (blobs extension 5.x)."""

    #: Whether an extension bundle is named; without one no storage binding loads.
    has_extension_bundle: bool
    #: First segment of every HTTP route.
    route_prefix: str
    #: Blob functions that run at the same time.
    max_degree_of_parallelism: int
    #: Tries of one message before it is moved to the poison queue.
    poison_blob_threshold: int

    @classmethod
    def load(cls, source: Path | Mapping[str, Any]) -> HostConfig:
        """Read from a host.json file or its content."""
        content = read_json(source) if isinstance(source, Path) else source
        bundle = content.get("extensionBundle", {})
        extensions = content.get("extensions", {})
        blobs = extensions.get("blobs", {})
        return cls(
            has_extension_bundle=bool(bundle.get("id") and bundle.get("version")),
            route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
            max_degree_of_parallelism=max(
                1, int(blobs.get("maxDegreeOfParallelism", 8 * (os.cpu_count() or 1)))
            ),
            poison_blob_threshold=max(1, int(blobs.get("poisonBlobThreshold", 5))),
        )
