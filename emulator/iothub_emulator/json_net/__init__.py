"""Reading JSON as Json.NET does, which is what the hub reads import files with.

Its error texts appear word for word in importErrors.log files that were published, so this package
follows the sources of Newtonsoft.Json 13 (github.com/JamesNK/Newtonsoft.Json):

- ``reader``: what it takes for JSON, and how it words what it does not (JsonTextReader.cs);
- ``node``: what it makes of a value of another type than it wants (JsonSerializerInternalReader.cs
  and the ReadAs... methods of the reader);
- ``objects``: members found by name, and a fast way around the two for text without surprises;
- ``errors``: paths and positions (JsonPosition.cs).

It differs in three things. Json.NET converts while it reads: of several errors it reports the first
in the text, this package syntax errors before all others, and those in the order in which members
are asked for. It knows the type of a member when it reads it, which moves the position of a few
syntax errors by one. And of members with the same name the last counts here, while Json.NET
converts each, and merges those that are objects or lists.
"""

from __future__ import annotations

from iothub_emulator.json_net.errors import JsonNetError
from iothub_emulator.json_net.objects import JsonObject, parse_array, parse_object

__all__ = ["JsonNetError", "JsonObject", "parse_array", "parse_object"]
