"""The query language of the hub.

Grammar and limits are those of the learn pages "IoT Hub query language" and "Queries for IoT Hub
device and module twins"; `expressions.py` and `query.py` list the assumptions where these give no
answer.
"""

from __future__ import annotations

from iothub_emulator.query.query import Query, parse_query
from iothub_emulator.query.targets import ALL_DEVICES, source_of, targets_query
from iothub_emulator.query.tree import Source

__all__ = ["ALL_DEVICES", "Query", "Source", "parse_query", "source_of", "targets_query"]
