"""The served document is generated from the code, and the API conforms to it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.engine.recorder import ScenarioRecorder

from docgen import openapi
from shared.imports.model.states import ImportState, StateGroup
from shared.web.dispatch import handler_of
from shared.web.routes import ROUTES
from tests.app import ROOT, App, device
from tests.web.support import KEY, Client, TwoHubs, partly, reject

ABSENT = "0" * 24

CONFIG = f"""
seed = 1

[auth.openapi]
header.api_key = "{KEY}"
query.api_key = "{KEY}"

[generation]
max-examples = 10
deterministic = true
database = "none"

[checks]
# The host answers 404 for another method.
unsupported_method.enabled = false
allow_header_conformance.enabled = false

[[operations]]
include-operation-id = "get_file"
# A Range that is not understood is ignored (RFC 9110, 14.2), and a part of JSON is not JSON.
checks.negative_data_rejection.enabled = false
checks.response_schema_conformance.enabled = false
"""


@pytest.fixture
def restricted_document(app: App, two_hubs: TwoHubs, client: Client) -> Any:
    """The served document, with parameters restricted to existing imports in many states."""
    two_hubs.complete_east("east/good.ndjson")
    partly(app, "west/partly.ndjson")
    reject(app, "east/broken.ndjson")
    app.upload("north/lost.ndjson", device("pump-1"))
    app.deliver("north/lost.ndjson")
    app.hub.occupy_slot()
    for number in range(2):
        app.upload(f"west/{number}.ndjson", device("pump-1"))
        app.deliver(f"west/{number}.ndjson")
    served = client.json("openapi.json")
    page = client.json("imports", limit=2)
    restrict(served, "id", {"enum": [*client.ids(), ABSENT]})
    restrict(served, "hub", {"enum": [*two_hubs.names, "(none)"]})
    restrict(served, "continuation", {"enum": ["", page["continuation"]]})
    uploads = {"paths": {"/uploads": served["paths"]["/uploads"]}}
    restrict(uploads, "name", {"enum": ["east/good.ndjson", "west/new 1.ndjson"]})
    for action in ("cancel", "retry"):
        # At least one filter is required, which a document cannot say of several parameters.
        [state] = [
            parameter
            for parameter in served["paths"][f"/imports/{action}"]["post"]["parameters"]
            if parameter["name"] == "state"
        ]
        state["required"] = True
    restrict(served, "Range", {"enum": ["bytes=0-", "bytes=1-9", "bytes=-5"]})
    return served


def restrict(document: Any, name: str, schema: Any) -> None:
    """Restrict a parameter to some of its valid values."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == name:
                    old = parameter["schema"]
                    target = old["items"] if old.get("type") == "array" else old
                    target |= schema


def test_the_document_is_valid_openapi(client: Client) -> None:
    served = client.json("openapi.json")
    schemathesis.openapi.from_dict(served).validate()
    for schema in served["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    routes = [route for route in ROUTES if not route.is_page]
    assert {
        (method.upper(), path.removeprefix("/"))
        for path, item in served["paths"].items()
        for method in item
    } == {(route.method, route.path) for route in routes}


def test_the_document_matches_the_code() -> None:
    assert openapi.PATH.read_text() == openapi.text(), "run make docs"
    http = json.loads((ROOT / "host.json").read_text()).get("extensions", {}).get("http", {})
    prefix = http.get("routePrefix", "api")
    assert openapi.document()["servers"] == [{"url": f"/{prefix}"}]


def test_handlers_have_the_parameters_of_their_routes() -> None:
    for route in ROUTES:
        handler = handler_of(route)
        _, _, parameters, _ = handler.__annotations__.values()
        assert parameters == route.parameters, route.name


def test_the_document_describes_all_parameters(client: Client) -> None:
    """The document describes the models separately from the endpoints that read them."""
    served = client.json("openapi.json")

    def schema(path: str, name: str) -> Any:
        [operation] = served["paths"][path].values()
        [parameter] = [x for x in operation["parameters"] if x["name"] == name]
        return parameter["schema"]

    assert schema("/imports", "limit").items() >= {"minimum": 1, "maximum": 1000}.items()
    assert schema("/imports", "uploadedAfter") == {"type": "string", "format": "date-time"}
    assert schema("/imports", "state")["items"]["enum"] == [
        *(group.value for group in StateGroup),
        *(state.value for state in ImportState),
    ]
    assert schema("/imports", "hub")["items"]["pattern"]
    assert schema("/imports", "continuation")["pattern"]
    assert schema("/imports/{id}", "id")["pattern"] == "^[0-9a-f]{4,24}$"
    assert schema("/days", "days").items() >= {"minimum": 1, "maximum": 366}.items()
    assert schema("/uploads/{ticket}", "ticket")["pattern"] == "^[0-9a-f]{32}$"
    assert schema("/check", "confirmDeletes").items() >= {"minimum": 0}.items()


def test_the_api_conforms_to_its_document(client: Client, restricted_document: Any) -> None:
    config = SchemathesisConfig.from_str(f'base-url = "{client.base}"\n{CONFIG}')
    schema = schemathesis.openapi.from_dict(restricted_document, config=config)
    failures: list[str] = []
    answered: set[tuple[str | None, int]] = set()
    for event in from_schema(schema).execute():
        match event:
            case FatalError(exception=error):
                failures.append(repr(error))
            case NonFatalError(label=label, value=error):
                failures.append(f"{label}: {error!r}")
            case ScenarioFinished(recorder=recorder):
                failures += _failures(recorder)
                for case_id, interaction in recorder.interactions.items():
                    operation = recorder.cases[case_id].value.operation
                    if interaction.response:
                        answered.add((operation.label, interaction.response.status_code))
    assert not failures, "\n\n".join(failures)
    # The search was deep enough.
    assert answered >= {
        ("GET /imports", 200),
        ("GET /imports", 400),
        ("GET /imports/{id}", 200),
        ("GET /imports/{id}", 404),
        ("GET /imports/{id}/files/{name}", 200),
        ("GET /imports/{id}/files/{name}", 206),
        ("GET /imports/{id}/files/{name}", 409),
        ("POST /imports/{id}/cancel", 200),
        ("POST /imports/{id}/cancel", 409),
        ("POST /imports/{id}/retry", 201),
        ("POST /imports/{id}/retry", 409),
        ("GET /queues", 200),
        ("GET /days", 200),
        ("GET /days", 400),
        ("POST /check", 200),
        ("POST /check", 400),
        ("POST /uploads", 201),
        ("POST /uploads", 409),
        ("PUT /uploads", 201),
        ("GET /uploads/{ticket}", 404),
        ("GET /health", 200),
        ("GET /openapi.json", 200),
    }


def _failures(recorder: ScenarioRecorder) -> list[str]:
    return [
        f"{recorder.label}: {check.name}: {check.failure_info.failure}\n"
        f"{check.failure_info.code_sample}"
        for case_id, checks in recorder.checks.items()
        for check in checks
        if check.failure_info
        # The host drops a parameter without a value, so the app does not refuse it.
        and not (
            check.name == "negative_data_rejection"
            and "" in (recorder.cases[case_id].value.query or {}).values()
        )
    ]
