"""The query language of the hub, apart from where twins are kept.

Grammar and limits are those of the learn pages "IoT Hub query language" and "Queries for IoT Hub
device and module twins"; `expressions.py` and `query.py` name what is chosen where these are
silent.
"""

from __future__ import annotations

from iothub_emulator.query.query import Query, parse_query
from iothub_emulator.query.tree import Source

__all__ = ["Query", "Source", "parse_query"]
