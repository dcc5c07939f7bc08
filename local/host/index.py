"""Indexes the functions of an app and refuses what the real host would refuse.

The Python worker accepts functions that the host then rejects with an error that is easy to miss in
Azure: the function is missing. Rules are those of azure-functions-host (Utility, FunctionMetadata),
the WebJobs storage extension and the Python worker.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

import azure.functions as func

from local.host.bindings import BLOB_TRIGGER, read_trigger
from local.host.errors import IndexingError, Problem
from local.host.settings import HOST_CONNECTION, HostConfig, connection_is_set
from local.host.triggers import HostedFunction, HttpTrigger

__all__ = ["index_app"]

logger = logging.getLogger(__name__)

_FUNCTION_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,127}")
_BINDING_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,127}|\$return")
_HTTP_OUTPUT: Final = "http"
_CONTEXT: Final = "context"
_BUILT_IN_ROUTES: Final = frozenset({"admin", "runtime"})
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def index_app(
    app: func.FunctionApp, settings: Mapping[str, str], config: HostConfig
) -> dict[str, HostedFunction]:
    """Return the functions of ``app`` by name; IndexingError with all problems."""
    # The library keeps known names; clear them so that an app can be indexed again.
    app.functions_bindings = {}
    try:
        built = app.get_functions()
    except ValueError as error:
        reason = f"the worker refuses the app: {error}"
        raise IndexingError([Problem(None, None, reason, "correct the decorators")]) from error
    problems: list[Problem] = []
    functions: dict[str, HostedFunction] = {}
    for function in built:
        name = function.get_function_name()
        if settings.get(f"AzureWebJobs.{name}.Disabled", "").lower() in ("true", "1"):
            logger.info("function '%s' is disabled by an app setting", name)
            continue
        hosted = _index_function(function, settings, problems)
        if hosted is not None:
            functions[hosted.name] = hosted
    problems += _check_routes(functions)
    if any(
        binding["type"] == BLOB_TRIGGER for function in built for binding in _bindings(function)
    ):
        problems += _check_storage(settings, config)
    if problems:
        raise IndexingError(problems)
    return functions


def _check_routes(functions: Mapping[str, HostedFunction]) -> list[Problem]:
    """Routes of the host, and routes that two functions have for one method."""
    problems = []
    owners: dict[tuple[str, str], str] = {}
    for function in functions.values():
        if not isinstance(function.trigger, HttpTrigger):
            continue
        route = function.trigger.route.lower()
        if route.split("/")[0] in _BUILT_IN_ROUTES:
            reason = f"route '{route}' conflicts with a route of the host"
            problems.append(Problem(function.name, None, reason, "use another route"))
        for method in sorted(function.trigger.methods or _METHODS):
            owner = owners.setdefault((route, method), function.name)
            if owner != function.name:
                reason = f"{method} {route} is a route of function '{owner}'"
                problems.append(Problem(function.name, None, reason, "use another route"))
                break
    return problems


def _check_storage(settings: Mapping[str, str], config: HostConfig) -> list[Problem]:
    """Check what the host requires to run blob triggers."""
    problems = []
    if not config.has_extension_bundle:
        remedy = "add extensionBundle with id and version: storage bindings come from it"
        problems.append(Problem(None, None, "host.json has no extensionBundle", remedy))
    if not connection_is_set(HOST_CONNECTION, settings):
        reason = f"app setting {HOST_CONNECTION} is missing"
        remedy = "set it: the host stores queues and receipts there"
        problems.append(Problem(None, None, reason, remedy))
    return problems


def _index_function(
    function: Any, settings: Mapping[str, str], problems: list[Problem]
) -> HostedFunction | None:
    """Check one function; add its problems to ``problems``."""
    name: str = function.get_function_name()
    call = function.get_user_function()
    bindings = _bindings(function)
    before = len(problems)
    if not _FUNCTION_NAME.fullmatch(name):
        remedy = "use letters, digits, '_' and '-' after a letter, at most 128"
        problems.append(Problem(name, None, "the name of the function is invalid", remedy))
    problems += _check_names(name, call, bindings)
    triggers = [binding for binding in bindings if _is_trigger(binding)]
    if len(triggers) != 1:
        names = ", ".join(f"{trigger['name']} ({trigger['type']})" for trigger in triggers)
        reason = f"it has {len(triggers)} triggers: {names or 'none'}"
        problems.append(Problem(name, None, reason, "give it exactly one trigger"))
    for binding in bindings:
        if not _is_trigger(binding) and binding["type"] != _HTTP_OUTPUT:
            reason = f"binding type '{binding['type']}' is not supported by the local host"
            problems.append(Problem(name, binding["name"], reason, "use the SDK in the function"))
    parameters = inspect.signature(call).parameters
    hints = _hints(name, call, problems)
    read = [
        read_trigger(name, trigger, hints, settings, problems)
        for trigger in triggers
        if hints is not None and trigger["name"] in parameters
    ]
    if len(problems) > before or read[0] is None:
        return None
    directory = str(Path(inspect.getfile(call)).parent)
    return HostedFunction(name, call, directory, _CONTEXT in parameters, read[0])


def _check_names(name: str, call: Any, bindings: list[dict[str, Any]]) -> list[Problem]:
    """Names of bindings must be valid, unique and parameters of the function."""
    problems = []
    names = [binding["name"] for binding in bindings]
    for binding in names:
        if not _BINDING_NAME.fullmatch(binding):
            remedy = "use letters and digits only, no underscore, in arg_name"
            problems.append(Problem(name, binding, "the binding name is invalid", remedy))
    for binding in sorted({binding for binding in names if names.count(binding) > 1}):
        problems.append(Problem(name, binding, "the name is used twice", "rename one binding"))
    parameters = inspect.signature(call).parameters
    bound = {binding for binding in names if binding != "$return"}
    for binding in sorted(bound - set(parameters)):
        remedy = "give the parameter the name in arg_name"
        problems.append(Problem(name, binding, "the function has no such parameter", remedy))
    for parameter in sorted(set(parameters) - bound - {_CONTEXT}):
        reason = f"parameter '{parameter}' has no binding"
        problems.append(Problem(name, None, reason, "bind it or remove it"))
    return problems


def _hints(name: str, call: Any, problems: list[Problem]) -> Mapping[str, Any] | None:
    try:
        return get_type_hints(call)
    except NameError as error:
        reason = f"an annotation cannot be resolved: {error}"
        problems.append(Problem(name, None, reason, "import the type at module level"))
        return None


def _bindings(function: Any) -> list[dict[str, Any]]:
    bindings: list[dict[str, Any]] = function.get_bindings_dict()["bindings"]
    return bindings


def _is_trigger(binding: Mapping[str, Any]) -> bool:
    """The rule of the host: the type ends with "trigger", case-insensitive."""
    return str(binding["type"]).lower().endswith("trigger")
