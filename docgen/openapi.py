"""Generates openapi.json, the OpenAPI 3.1 document, from the table of routes and their models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.web import parameters, response_models
from shared.web.api import MAX_POSTED_BYTES
from shared.web.downloads import MEDIA_TYPES
from shared.web.routes import FILE, OBJECT, ROUTES, Route, address

__all__ = ["PATH", "document", "text"]

PATH = Path(__file__).parents[1] / "shared/web/openapi.json"

_JSON, _PROBLEM = "application/json", "application/problem+json"
_REFERENCE = "#/components/schemas/{model}"

#: Headers of answers by status: name, description, schema, whether they are always sent.
_HEADERS: Mapping[int, tuple[str, str, Mapping[str, Any], bool]] = {
    201: (
        "Location",
        "Address of the new import or upload.",
        {"type": "string", "format": "uri-reference"},
        True,
    ),
    206: ("Content-Range", "The range, and the size of the file.", {"type": "string"}, True),
    416: ("Content-Range", "The size of the file.", {"type": "string"}, True),
    503: ("Retry-After", "Seconds to wait before a retry.", {"type": "integer"}, False),
}
_RANGE = {
    "name": "Range",
    "in": "header",
    "description": "The range to send, of which at most 8 MiB are sent. An invalid range is "
    "ignored, and the whole file is sent.",
    "required": False,
    "schema": {"type": "string", "pattern": r"^bytes=([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})$"},
    "examples": {"beginning": {"value": "bytes=0-"}},
}
_POSTED_FILE = {
    "description": "NDJSON, a JSON array or CSV, optionally compressed with gzip; at most "
    f"{MAX_POSTED_BYTES // 1024**2} MiB.",
    "required": False,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def text() -> str:
    """Return the content of openapi.json."""
    return f"{json.dumps(document(), indent=1, ensure_ascii=False)}\n"


def document() -> dict[str, Any]:
    api = [route for route in ROUTES if not route.is_page]
    names = {name for route in api for _, name in route.answers.values()} - {FILE, OBJECT}
    models = [_model(name) for name in sorted(names | {"ProblemDocument"})]
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models], ref_template=_REFERENCE
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in api:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Device importer for Azure IoT Hub",
            "version": "1",
            "description": "Monitors and controls imports of device files. Requests need a key of "
            "the function app, in the header x-functions-key or the query parameter code.",
        },
        # The app replaces it by its route prefix.
        "servers": [{"url": address("")}],
        "security": [{"header": []}, {"query": []}],
        "paths": paths,
        "components": {
            "schemas": {name: _untitled(schema) for name, schema in schemas["$defs"].items()},
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "query": {"type": "apiKey", "in": "query", "name": "code"},
            },
        },
    }


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove the titles that pydantic makes of the names of properties."""
    for property_schema in schema.get("properties", {}).values():
        property_schema.pop("title", None)
    return schema


def _model(name: str) -> type[BaseModel]:
    model: type[BaseModel] = getattr(response_models, name)
    return model


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_parameters(route), *([_RANGE] if route.name == "get_file" else [])],
    }
    if route.name in ("check_file", "put_upload"):
        operation["requestBody"] = _POSTED_FILE
    answers = {
        status: _answer(status, meaning, _schemas(name, status))
        for status, (meaning, name) in route.answers.items()
    }
    problem = {_PROBLEM: {"$ref": _REFERENCE.format(model="ProblemDocument")}}
    problems = {
        status: _answer(status, meaning, problem) for status, meaning in _problems(route).items()
    }
    no_key = {401: {"description": "The key is missing or wrong. The answer of the host is empty."}}
    operation["responses"] = {
        str(key): value for key, value in sorted((no_key | problems | answers).items())
    }
    return operation


def _problems(route: Route) -> dict[int, str]:
    """Return the problems of a route, with those that are common to all of its kind."""
    problems = {400: "A parameter is invalid."}
    if route.method != "GET":
        problems[403] = "A page of another site sent the request."
    if "{id}" in route.path:
        problems[404] = "The import does not exist."
    return {
        **problems,
        **route.problems,
        500: "Unexpected error; without content if the request exceeds the limit of the host.",
        503: "The app settings are invalid, or the storage account is unavailable.",
    }


def _schemas(name: str, status: int) -> Mapping[str, Any]:
    """Return the schema of an answer for each media type that it can have."""
    if name == FILE:
        types = [value.partition(";")[0] for value in MEDIA_TYPES.values()]
        if status == 206:
            return {media_type: {} for media_type in types}
        return {name: {"type": "object" if name == _JSON else "string"} for name in types}
    if name == OBJECT:
        return {_JSON: {"type": "object"}}
    return {_JSON: {"$ref": _REFERENCE.format(model=name)}}


def _answer(status: int, meaning: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    answer: dict[str, Any] = {"description": meaning, "content": content}
    if status in _HEADERS:
        name, description, schema, is_required = _HEADERS[status]
        header = {"description": description, "required": is_required, "schema": schema}
        answer["headers"] = {name: header}
    return answer


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    schema = getattr(parameters, route.parameters).model_json_schema()
    for name, property_schema in schema.get("properties", {}).items():
        resolved = _resolved(property_schema, schema.get("$defs", {}))
        description = resolved.pop("description", "")
        resolved.pop("title", None)
        # An empty list cannot be sent: the parameter is omitted.
        if resolved.get("default") == []:
            del resolved["default"]
        is_in_path = f"{{{name}}}" in route.path
        is_required = is_in_path or name in schema.get("required", ())
        yield {
            "name": name,
            "in": "path" if is_in_path else "query",
            "description": description,
            "required": is_required,
            # Several values are sent as one, separated by commas.
            **({"style": "form", "explode": False} if resolved.get("type") == "array" else {}),
            "schema": resolved,
        }


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return the schema without references, and without null: a parameter is omitted instead."""
    match schema:
        case {"$ref": str(reference)}:
            return _resolved(definitions[reference.rpartition("/")[2]], definitions)
        case {"anyOf": [given, {"type": "null"}], **rest}:
            rest.pop("default", None)
            return {**_resolved(given, definitions), **rest}
        case dict():
            return {name: _resolved(value, definitions) for name, value in schema.items()}
    return schema
