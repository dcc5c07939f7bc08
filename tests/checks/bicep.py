"""The declarations of a Bicep file, parsed by tree-sitter: no compiler is available offline."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from local.stack import ROOT

__all__ = ["FILES", "INFRA", "BicepFile", "Module", "Resource", "errors", "read"]

INFRA = ROOT / "infra"
FILES = sorted(INFRA.glob("*.bicep"))


@dataclass(frozen=True)
class Resource:
    """A resource as written: values that are not literals stay expressions."""

    symbol: str
    #: Without the API version; the last part only for a nested resource.
    type: str
    version: str
    is_existing: bool
    body: dict[str, Any]
    #: The comment above it.
    comment: str


@dataclass(frozen=True)
class Module:
    """A use of another file."""

    symbol: str
    file: str
    params: frozenset[str]


@dataclass(frozen=True)
class BicepFile:
    """The declarations of one file."""

    #: Whether the parameter has a default.
    params: dict[str, bool]
    variables: dict[str, Any]
    types: dict[str, dict[str, Any]]
    resources: list[Resource]
    modules: list[Module]
    outputs: frozenset[str]
    #: Used outputs of modules, as (symbol, output).
    uses: frozenset[tuple[str, str]]
    #: Names without a declaration.
    unknown: frozenset[str]


def errors(path: Path) -> list[str]:
    """The syntax errors of the file."""
    return [
        f"{path.name}:{node.start_point.row + 1}: {_text(node)[:60]!r}"
        for node in _nodes(_tree(path))
        if node.is_error or node.is_missing
    ]


@functools.cache
def read(path: Path) -> BicepFile:
    """The declarations of a file without syntax errors."""
    root = _tree(path)
    params, variables, types, outputs = {}, {}, {}, set()
    resources, modules = [], []
    for node in _nodes(root):
        if node.type.endswith("_declaration"):
            symbol, value = _text(node.named_children[0]), node.named_children[-1]
            match node.type:
                case "parameter_declaration":
                    params[symbol] = any(child.type == "=" for child in node.children)
                case "variable_declaration":
                    variables[symbol] = _value(value)
                case "type_declaration":
                    types[symbol] = _value(value)
                case "output_declaration":
                    outputs.add(symbol)
                case "resource_declaration":
                    resources.append(_resource(node, symbol))
                case "module_declaration":
                    called = _value(node.named_children[1])
                    body = _body(node)
                    modules.append(Module(symbol, called, frozenset(body.get("params", {}))))
    called = {module.symbol for module in modules}
    declared = {*params, *variables, *called, *(resource.symbol for resource in resources)}
    return BicepFile(
        params,
        variables,
        types,
        resources,
        modules,
        frozenset(outputs),
        frozenset(_outputs_used(root)),
        frozenset(_names_used(root)) - declared,
    )


@functools.cache
def _tree(path: Path) -> Node:
    return Parser(Language(tree_sitter_bicep.language())).parse(path.read_bytes()).root_node


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _resource(node: Node, symbol: str) -> Resource:
    kind, _, version = _value(node.named_children[1]).partition("@")
    before = node.prev_sibling
    lines: list[str] = []
    while before is not None and before.type == "comment":
        lines.insert(0, _text(before).removeprefix("// "))
        before = before.prev_sibling
    is_existing = any(child.type == "existing" for child in node.children)
    return Resource(symbol, kind, version, is_existing, _body(node), " ".join(lines))


def _body(node: Node) -> dict[str, Any]:
    """The object of a declaration, inside its condition or loop."""
    objects = [child for child in _nodes(node) if child.type == "object"]
    body: dict[str, Any] = _value(objects[0])
    return body


def _value(node: Node) -> Any:
    match node.type:
        case "object":
            return {
                _key(member.named_children[0]): _value(member.named_children[-1])
                for member in node.named_children
                if member.type == "object_property"
                and member.named_children[0].type in ("identifier", "string")
            }
        case "array":
            return [_value(item) for item in node.named_children if item.type != "comment"]
        case "boolean":
            return _text(node) == "true"
        case "number":
            return int(_text(node))
        case "string":
            return _text(node).strip("'")
    return _text(node)


def _key(node: Node) -> str:
    return _text(node).strip("'")


def _outputs_used(root: Node) -> Iterator[tuple[str, str]]:
    for node in _nodes(root):
        text = _text(node)
        if node.type == "member_expression" and ".outputs." in text and text.count(".") == 2:
            symbol, _, output = text.replace("!", "").split(".")
            yield symbol, output


def _names_used(root: Node) -> Iterator[str]:
    """Identifiers of values."""
    for node in _nodes(root):
        if node.type != "identifier" or node.parent is None:
            continue
        parent = node.parent
        is_first = parent.named_children[0].id == node.id
        if parent.type.endswith("_declaration") and is_first:
            continue
        if parent.type in ("object_property", "call_expression", "decorator") and is_first:
            continue
        if parent.type == "type":
            continue
        name = _text(node)
        if name not in _loop_names(node):
            yield name


def _loop_names(node: Node) -> set[str]:
    names = set()
    above: Node | None = node
    while above is not None:
        if above.type == "for_statement":
            header = _text(above).removeprefix("[").strip().removeprefix("for").partition(" in ")[0]
            names |= {name.strip(" ()\n") for name in header.split(",")}
        above = above.parent
    return names
