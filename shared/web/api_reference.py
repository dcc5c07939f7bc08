"""The OpenAPI document as its page shows it: endpoints with examples, and the models of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

__all__ = ["Endpoint", "Field", "Model", "Reference", "api_reference"]

#: In place of values that the reader has.
_PLACEHOLDERS = {"id": "IMPORT_ID", "name": "report.json"}


@dataclass(frozen=True)
class Field:
    """A parameter, or a property of a model."""

    name: str
    type: str
    #: The model that its values are; "" for other types.
    model: str
    description: str
    #: For parameters: `path`, `query` or `header`.
    place: str = ""
    is_required: bool = False
    #: As text; "" for none.
    default: str = ""


@dataclass(frozen=True)
class Answer:
    """A status with its meaning."""

    status: str
    description: str
    media_types: Sequence[str]
    model: str


@dataclass(frozen=True)
class Endpoint:
    """An operation of the API."""

    id: str
    method: str
    path: str
    summary: str
    parameters: Sequence[Field]
    #: What is posted; "" for nothing.
    body: str
    answers: Sequence[Answer]
    #: A command for a shell.
    example: str


@dataclass(frozen=True)
class Model:
    """A JSON object of answers."""

    name: str
    description: str
    #: Values, if it is an enumeration.
    values: Sequence[str]
    fields: Sequence[Field]


@dataclass(frozen=True)
class Reference:
    """All of the document."""

    title: str
    description: str
    endpoints: Sequence[Endpoint]
    models: Sequence[Model]


def api_reference(document: Mapping[str, Any]) -> Reference:
    """Return what the page shows of an OpenAPI document.

    Args:
        document: as `docgen.openapi` makes it.
    """
    prefix = document["servers"][0]["url"].rstrip("/")
    endpoints = [
        _endpoint(method.upper(), f"{prefix}{path}", operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    models = [
        Model(
            name,
            schema.get("description", ""),
            [str(value) for value in schema.get("enum", ())],
            list(_properties(schema)),
        )
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    info = document["info"]
    return Reference(info["title"], info["description"], endpoints, models)


def _endpoint(method: str, path: str, operation: Mapping[str, Any]) -> Endpoint:
    parameters = [_parameter(parameter) for parameter in operation.get("parameters", ())]
    body = operation.get("requestBody", {})
    return Endpoint(
        operation["operationId"],
        method,
        path,
        operation["summary"],
        parameters,
        body.get("description", ""),
        [_answer(status, answer) for status, answer in operation["responses"].items()],
        _example(method, path, parameters, body.get("content", {})),
    )


def _parameter(parameter: Mapping[str, Any]) -> Field:
    schema = parameter.get("schema", {})
    kind, model = _type(schema)
    return Field(
        parameter["name"],
        kind,
        model,
        parameter.get("description", ""),
        parameter["in"],
        parameter.get("required", False),
        "" if schema.get("default") in (None, "") else str(schema["default"]),
    )


def _answer(status: str, answer: Mapping[str, Any]) -> Answer:
    content = answer.get("content", {})
    models = {_type(value.get("schema", {}))[1] for value in content.values()} - {""}
    return Answer(status, answer["description"], list(content), next(iter(models), ""))


def _properties(schema: Mapping[str, Any]) -> Iterator[Field]:
    for name, property_schema in schema.get("properties", {}).items():
        kind, model = _type(property_schema)
        yield Field(name, kind, model, property_schema.get("description", ""))


def _type(schema: Mapping[str, Any]) -> tuple[str, str]:
    """Return the type as text, and the name of the model in it."""
    match schema:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return name, name
        case {"anyOf": list(choices)}:
            types = [_type(choice) for choice in choices]
            return " or ".join(kind for kind, _ in types), _first(model for _, model in types)
        case {"type": "array", **rest}:
            kind, model = _type(rest.get("items", {}))
            return f"array of {kind}", model
        case {"enum": list(values)}:
            return "one of " + ", ".join(str(value) or '""' for value in values), ""
        case {"const": value}:
            return str(value), ""
        case {"additionalProperties": dict(values)}:
            kind, model = _type(values)
            return f"object of {kind}", model
    kind = str(schema.get("type", "any"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind, ""


def _first(names: Iterator[str]) -> str:
    return next(filter(None, names), "")


def _example(
    method: str, path: str, parameters: Sequence[Field], content: Mapping[str, Any]
) -> str:
    """Return a call by curl, with the parameters that are required."""
    required = [field for field in parameters if field.is_required]
    for field in required:
        if field.place == "path":
            value = _PLACEHOLDERS.get(field.name, field.name.upper())
            path = path.replace(f"{{{field.name}}}", value)
    query = "&".join(
        f"{quote(field.name)}={field.name.upper()}" for field in required if field.place == "query"
    )
    parts = ["curl -H 'x-functions-key: KEY'"]
    if method != "GET":
        parts.append(f"-X {method}")
    if "application/json" in content:
        parts.append("-H 'Content-Type: application/json' -d @request.json")
    elif content:
        parts.append("--data-binary @devices.ndjson")
    return " ".join([*parts, f"'https://APP.azurewebsites.net{path}{'?' if query else ''}{query}'"])
