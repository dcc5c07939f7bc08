"""The rules of a line as far as JSON Schema can say them.

It cannot say that a device occurs twice in a file, how deep a twin nests or how large it is, nor
take a name in another case for what it means.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SCHEMA"]

Schema = dict[str, Any]


def _has(**members: Schema) -> Schema:
    return {"type": "object", "required": list(members), "properties": members}


_OBJECT = ["object", "null"]
_TEXT: Schema = {"type": ["string", "null"]}
#: Empty and null are as good as absent.
_GIVEN: Schema = {"type": "string", "minLength": 1}

_MODULE_ID = r"^[A-Za-z0-9\-.+%_#*?!(),:;=@'][A-Za-z0-9\-.+%_#*?!(),:;=@$']*$"
_KEY: Schema = {
    **_TEXT,
    "maxLength": 88,
    "pattern": "^(?:(?:[A-Za-z0-9+/]{4}){5,}[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/][A-Za-z0-9+/=]))?$",
}
_THUMBPRINT: Schema = {**_TEXT, "pattern": "^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})?$"}

_SYMMETRIC_KEY: Schema = {
    "type": _OBJECT,
    "properties": {"primaryKey": _KEY, "secondaryKey": _KEY},
    "if": {"anyOf": [_has(primaryKey=_GIVEN), _has(secondaryKey=_GIVEN)]},
    "then": _has(primaryKey=_GIVEN, secondaryKey=_GIVEN),
}
_X509_THUMBPRINT: Schema = {
    "type": _OBJECT,
    "properties": {"primaryThumbprint": _THUMBPRINT, "secondaryThumbprint": _THUMBPRINT},
    "if": _has(secondaryThumbprint=_GIVEN),
    "then": {
        "anyOf": [
            _has(
                primaryThumbprint=_GIVEN | {"maxLength": 40},
                secondaryThumbprint={"maxLength": 40},
            ),
            _has(primaryThumbprint={"minLength": 64}, secondaryThumbprint={"minLength": 64}),
        ]
    },
}
_HAS_KEYS = _has(symmetricKey=_has(primaryKey=_GIVEN))
_HAS_THUMBPRINTS = _has(x509Thumbprint=_has(primaryThumbprint=_GIVEN))
_AUTHENTICATION: Schema = {
    "type": _OBJECT,
    "properties": {
        "type": {"enum": ["sas", "selfSigned", "certificateAuthority", "none", None]},
        "symmetricKey": _SYMMETRIC_KEY,
        "x509Thumbprint": _X509_THUMBPRINT,
    },
    "allOf": [
        {
            "if": _HAS_KEYS,
            "then": {"properties": {"type": {"enum": ["sas", None]}}, "not": _HAS_THUMBPRINTS},
        },
        {
            "if": _HAS_THUMBPRINTS,
            "then": {"properties": {"type": {"enum": ["selfSigned", None]}}},
        },
    ],
}

_NAME = r"[^\u0000-\u0020\u007f-\u009f.$#]*"
_SECTION: Schema = {
    "type": _OBJECT,
    "propertyNames": {"pattern": rf"^(?:{_NAME}|\$metadata|\$version)$", "maxLength": 1024},
    "properties": {"$metadata": True, "$version": True},  # the hub's own
    "additionalProperties": {"$ref": "#/$defs/value"},
}
_VALUE: Schema = {
    "maxLength": 4096,
    # For floats too: to tell them from integers would take longer.
    "minimum": -(2**52),
    "maximum": 2**52 - 1,
    "items": {
        "type": ["object", "array", "string", "number", "boolean"],
        "$ref": "#/$defs/value",
    },
    "propertyNames": {"pattern": rf"^{_NAME}$", "maxLength": 1024},
    "additionalProperties": {"$ref": "#/$defs/value"},
}

_MODES_BY_ETAG = ["updateIfMatchETag", "createOrUpdateIfMatchETag", "deleteIfMatchETag"]
_MODES_OF_TWINS = ["updateTwin", "updateTwinIfMatchETag"]
_MODES = ["create", "createOrUpdate", "update", "delete", *_MODES_BY_ETAG, *_MODES_OF_TWINS]
_RULES: list[Schema] = [
    {"if": _has(importMode={"enum": _MODES_BY_ETAG}), "then": _has(eTag=_GIVEN)},
    {
        "if": _has(importMode={"const": "updateTwinIfMatchETag"}),
        "then": _has(twinETag=_GIVEN),
    },
    {
        "if": _has(importMode={"enum": _MODES_OF_TWINS}),
        "then": {
            "anyOf": [
                _has(tags={"type": "object"}),
                _has(properties=_has(desired={"type": "object"})),
            ]
        },
    },
    {
        "if": _has(authentication=_has(type={"const": "none"})),
        "then": _has(moduleId={"type": "string"}),
    },
]

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"value": _VALUE},
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {
            "type": "string",
            "maxLength": 128,
            "pattern": r"^[A-Za-z0-9\-.+%_#*?!(),:;=@$']+$",
        },
        "moduleId": {**_TEXT, "maxLength": 128, "pattern": _MODULE_ID},
        "eTag": _TEXT,
        "importMode": {"enum": [*_MODES, None]},
        "status": {"enum": ["enabled", "disabled"]},
        "statusReason": {**_TEXT, "maxLength": 128},
        "authentication": _AUTHENTICATION,
        "twinETag": _TEXT,
        "tags": _SECTION,
        "properties": {
            "type": _OBJECT,
            "properties": {"desired": _SECTION, "reported": {"type": _OBJECT}},
        },
        "capabilities": {"type": _OBJECT, "properties": {"iotEdge": {"type": ["boolean", "null"]}}},
        "deviceScope": _TEXT,
        "parentScopes": {"type": ["array", "null"], "items": {"type": "string"}, "maxItems": 1},
    },
    "allOf": _RULES,
}
