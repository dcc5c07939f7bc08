"""The API's OpenAPI 3.1 document, made of the models that the endpoints themselves use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.imports.operate.api_models import ImportDetail, ImportSummary
from shared.web.parameters import (
    CheckQuery,
    DaysQuery,
    FilePath,
    ImportPath,
    ListQuery,
    NoQuery,
)
from shared.web.routes import ROUTES, Route
from shared.web.views import (
    DayList,
    FileCheck,
    HealthReport,
    ImportList,
    ProblemDocument,
    QueueList,
)

__all__ = ["document"]

_SCHEMAS = "#/components/schemas/{model}"
_BINARY: Mapping[str, Any] = {"type": "string", "format": "binary"}
_JSON, _PROBLEM = "application/json", "application/problem+json"
_FILES: Mapping[str, Any] = {
    _JSON: {"type": "object"},
    "text/csv": {"type": "string"},
    "application/x-ndjson": {"type": "string"},
}

_RANGE = {
    "name": "Range",
    "in": "header",
    "description": "The part to send; what is not understood is ignored, and the whole is sent. "
    "Parts are 8 MiB long at most.",
    "required": False,
    "schema": {"type": "string", "pattern": r"^bytes=([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})$"},
    "examples": {"beginning": {"value": "bytes=0-"}},
}

#: Headers of answers by their status: what they tell, their schema, whether they are always there.
_HEADERS: Mapping[int, tuple[str, str, Mapping[str, Any], bool]] = {
    201: ("Location", "Address of the new import.", {"type": "string", "format": "uri"}, True),
    206: ("Content-Range", "Which part this is, and the file's length.", {"type": "string"}, True),
    416: ("Content-Range", "The file's length.", {"type": "string"}, True),
    503: ("Retry-After", "Seconds until it may work.", {"type": "integer"}, False),
}


@dataclass(frozen=True)
class Operation:
    """What the document says of an endpoint beyond its route."""

    summary: str
    #: By status: what the answer means, and its model; None for a file.
    answers: Mapping[int, tuple[str, type[BaseModel] | None]]
    query: type[BaseModel] = NoQuery
    path: type[BaseModel] | None = None
    #: Statuses of problem documents besides those that any call may get.
    problems: Mapping[int, str] = field(default_factory=dict)
    takes_file: bool = False
    headers: Sequence[Mapping[str, Any]] = ()


_NOT_FOUND = {404: "There is no such import."}
_NOT_POSSIBLE = {409: "Its state does not allow it."}
_OTHER_SITE = {403: "A page of another site asks for it."}

OPERATIONS: Mapping[str, Operation] = {
    "list_imports": Operation(
        "List imports, the newest upload first",
        {200: ("Some imports.", ImportList)},
        query=ListQuery,
    ),
    "get_import": Operation(
        "Get one import with its history",
        {200: ("The import.", ImportDetail)},
        path=ImportPath,
        problems={**_NOT_FOUND, 409: "Its record cannot be read."},
    ),
    "get_file": Operation(
        "Download what was written about an import",
        {200: ("The file.", None), 206: ("The part that Range asks for.", None)},
        path=FilePath,
        headers=[_RANGE],
        problems={
            **_NOT_FOUND,
            406: "The file is sent compressed or in parts only.",
            409: "The import has no such file, or no longer.",
            416: "The file is shorter.",
        },
    ),
    "cancel_import": Operation(
        "Cancel an import",
        {
            200: ("It is cancelled.", ImportSummary),
            202: ("It is cancelled once the hub has ended its job.", ImportSummary),
        },
        path=ImportPath,
        problems=_OTHER_SITE | _NOT_FOUND | _NOT_POSSIBLE,
    ),
    "retry_import": Operation(
        "Import again what an import left undone",
        {201: ("The new import, or the one that an earlier call made.", ImportSummary)},
        path=ImportPath,
        problems=_OTHER_SITE | _NOT_FOUND | _NOT_POSSIBLE,
    ),
    "list_queues": Operation("List what waits for each hub", {200: ("The queues.", QueueList)}),
    "list_days": Operation(
        "Count what ended on the last days", {200: ("The days.", DayList)}, query=DaysQuery
    ),
    "check_file": Operation(
        "Validate a device file without importing it",
        {200: ("What the validation found.", FileCheck)},
        query=CheckQuery,
        problems=_OTHER_SITE,
        takes_file=True,
    ),
    "get_health": Operation(
        "Examine what the importer needs",
        {200: ("All is well.", HealthReport), 503: ("Something is wrong.", HealthReport)},
    ),
    "get_openapi": Operation("Get this document", {200: ("The document.", None)}),
}


def document(base: str) -> dict[str, Any]:
    """The document for the API at that address."""
    models = {
        (model, "serialization" if is_answer else "validation")
        for operation in OPERATIONS.values()
        for model, is_answer in _models(operation)
    }
    _, schemas = models_json_schema(
        sorted(models, key=lambda one: one[0].__name__),  # type: ignore[arg-type]
        ref_template=_SCHEMAS,
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        if operation := OPERATIONS.get(route.name):
            paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(
                route, operation
            )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Device importer for Azure IoT Hub",
            "version": "1",
            "description": "Follows and steers imports of device files. Calls need a key of the "
            "function app, in the header x-functions-key or the parameter code.",
        },
        "servers": [{"url": base}],
        "security": [{"header": []}, {"parameter": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "parameter": {"type": "apiKey", "in": "query", "name": "code"},
            },
        },
    }


def _models(operation: Operation) -> Iterator[tuple[type[BaseModel], bool]]:
    for _, model in operation.answers.values():
        if model is not None:
            yield model, True
    yield ProblemDocument, True


def _operation(route: Route, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": operation.summary,
        "parameters": [*_parameters(operation), *operation.headers],
        "responses": {
            **{
                str(status): _answer(route, status, meaning, model)
                for status, (meaning, model) in operation.answers.items()
            },
            **{
                str(status): _content(status, meaning, {_PROBLEM: _reference(ProblemDocument)})
                for status, meaning in _problems(operation).items()
            },
        },
    }
    if operation.takes_file:
        described["requestBody"] = {
            "description": "NDJSON, a JSON array or CSV; each also gzipped. None is an empty file.",
            "required": False,
            "content": {"application/octet-stream": {"schema": _BINARY}},
        }
    return described


def _problems(operation: Operation) -> dict[int, str]:
    always = {
        400: "A parameter is wrong.",
        500: "Something unexpected went wrong.",
        503: "The settings are wrong, or the storage account cannot be used.",
    }
    every = always | dict(operation.problems)
    return {status: text for status, text in every.items() if status not in operation.answers}


def _answer(
    route: Route, status: int, meaning: str, model: type[BaseModel] | None
) -> dict[str, Any]:
    if model is not None:
        return _content(status, meaning, {_JSON: _reference(model)})
    if status == 206:
        return _content(status, meaning, {kind: {} for kind in _FILES})
    return _content(
        status, meaning, _FILES if route.name == "get_file" else {_JSON: {"type": "object"}}
    )


def _content(status: int, meaning: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind, schema in schemas.items()}
    described: dict[str, Any] = {"description": meaning, "content": content}
    if status in _HEADERS:
        name, text, schema, is_required = _HEADERS[status]
        header = {"description": text, "required": is_required, "schema": schema}
        described["headers"] = {name: header}
    return described


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for place, model in (("path", operation.path), ("query", operation.query)):
        schema = model.model_json_schema() if model else {}
        for name, described in schema.get("properties", {}).items():
            plain = _resolved(described, schema.get("$defs", {}))
            text = plain.pop("description", "")
            plain.pop("title", None)
            # An empty list cannot be given: the parameter is left out.
            if plain.get("default") == []:
                del plain["default"]
            yield {
                "name": name,
                "in": place,
                "description": text,
                "required": place == "path",
                # Several values are given as one, with commas.
                **({"style": "form", "explode": False} if plain.get("type") == "array" else {}),
                "schema": plain,
            }


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema without references, and without null: a parameter is left out instead."""
    match schema:
        case {"$ref": str(reference)}:
            return _resolved(definitions[reference.rpartition("/")[2]], definitions)
        case {"anyOf": [one, {"type": "null"}], **rest}:
            rest.pop("default", None)
            return {**_resolved(one, definitions), **rest}
        case dict():
            return {name: _resolved(value, definitions) for name, value in schema.items()}
    return schema
