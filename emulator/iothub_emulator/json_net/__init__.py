"""JSON as Json.NET reads it, with its error messages.

The hub reads import files with Json.NET: published importErrors.log files contain its messages. So
this package follows the sources of Newtonsoft.Json 13 (github.com/JamesNK/Newtonsoft.Json):

- ``reader`` and ``scanner``: accepted syntax and syntax errors (JsonTextReader.cs);
- ``node``: conversion of values to types (JsonSerializerInternalReader.cs, the ReadAs... methods);
- ``objects``: access to properties by name, with a fast path for plain JSON;
- ``errors``: paths and positions (JsonPosition.cs).

Three differences remain. Json.NET converts while it reads and reports the first error in the text;
this package reports syntax errors first, then others in the order in which properties are read.
Json.NET knows the type of a property when it reads it, which changes the position of a few syntax
errors by one. Of properties with the same name, the last one counts here; Json.NET converts each,
and merges objects and lists.
"""

from __future__ import annotations

from iothub_emulator.json_net.errors import JsonNetError
from iothub_emulator.json_net.objects import JsonObject, parse_array, parse_object

__all__ = ["JsonNetError", "JsonObject", "parse_array", "parse_object"]
