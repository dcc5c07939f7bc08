"""JSON as Json.NET reads it, with its error messages.

The hub reads import files with Json.NET: published importErrors.log files contain its messages. So
this package follows the sources of Newtonsoft.Json 13 (github.com/JamesNK/Newtonsoft.Json). Where
.NET and .NET Framework differ, it follows .NET, except that floats in "Error converting value" have
15 digits, as on .NET Framework.
"""

from __future__ import annotations

from iothub_emulator.json_net.contracts import STRINGS, Contract, JsonObject, ListOf
from iothub_emulator.json_net.lexis import JsonNetError
from iothub_emulator.json_net.parsing import parse_array, parse_object, read_as
from iothub_emulator.json_net.types import BOOLEAN, DOCUMENT, INTEGER, STRING, Enumeration

__all__ = ["BOOLEAN", "DOCUMENT", "INTEGER", "STRING", "STRINGS", "Contract", "Enumeration"]
__all__ += ["JsonNetError", "JsonObject", "ListOf", "parse_array", "parse_object", "read_as"]
