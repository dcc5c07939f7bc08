"""Compiles expressions into functions of a twin document, in three-valued logic.

According to the learn pages, a twin matches if the condition is true, properties may be absent, and
only primitive values can be compared. The rest follows Cosmos DB, which has a similar language:

- Comparing values of different types, including null, is undefined, also with ``!=``.
- NOT of undefined is undefined; AND and OR are defined when one operand decides.
- ``IN`` is equivalent to comparisons by ``=`` joined by OR, ``NIN`` to its negation.
- Operands of a wrong type and division by zero make the result undefined.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from iothub_emulator.query.tree import UNDEFINED, Call, Expression, Literal, Path, invalid

Document = dict[str, Any]
Evaluate = Callable[[Document], Any]

#: The kinds of primitive values. Documents contain exactly these types, no subclasses.
KINDS = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
ORDERED_KINDS = {type_: kind for type_, kind in KINDS.items() if kind != "null"}


def compiled(expression: Expression) -> Evaluate:
    """Compile to closures, once per query: a query may evaluate a million documents."""
    match expression:
        case Path((name,)):
            return lambda document: document.get(name, UNDEFINED)
        case Path(names):
            return _path(names)
        case Literal(value):
            return lambda _: value
        case Call("in", (operand, Literal(constants))):
            return _membership(compiled(operand), constants)
        case Call("nin", operands):
            return _negation(compiled(Call("in", operands)))
        case Call("and" | "or" as junction, operands):
            return _junction(junction == "or", [compiled(operand) for operand in operands])
        case Call("not", (operand,)):
            return _negation(compiled(operand))
        case Call(name, operands):
            return _application(name, [compiled(operand) for operand in operands])


def _path(names: tuple[str, ...]) -> Evaluate:
    def evaluate(document: Document) -> Any:
        value: Any = document
        for name in names:
            if not isinstance(value, dict):
                return UNDEFINED
            value = value.get(name, UNDEFINED)
        return value

    return evaluate


def _junction(decisive: bool, operands: list[Evaluate]) -> Evaluate:
    """AND, which one false operand decides, or OR, which one true operand decides."""

    def evaluate(document: Document) -> Any:
        result: Any = not decisive
        for operand in operands:
            value = operand(document)
            if value is decisive:
                return decisive
            if not isinstance(value, bool):
                result = UNDEFINED
        return result

    return evaluate


def _negation(operand: Evaluate) -> Evaluate:
    def evaluate(document: Document) -> Any:
        value = operand(document)
        return not value if isinstance(value, bool) else UNDEFINED

    return evaluate


def _membership(operand: Evaluate, constants: tuple[Any, ...]) -> Evaluate:
    members = frozenset((KINDS.get(type(constant)), constant) for constant in constants)
    kinds = {kind for kind, _ in members}

    def evaluate(document: Document) -> Any:
        value = operand(document)
        kind = KINDS.get(type(value))
        if kind is None:
            return UNDEFINED
        if (kind, value) in members:
            return True
        return False if kinds == {kind} else UNDEFINED

    return evaluate


def _application(name: str, operands: list[Evaluate]) -> Evaluate:
    if (name, len(operands)) not in _FUNCTIONS:
        known = ", ".join(f"{other}/{arity}" for other, arity in _FUNCTIONS if other.isidentifier())
        raise invalid(
            f"unknown function {name} with {len(operands)} operands; known functions: {known}."
        )
    apply = _FUNCTIONS[name, len(operands)]
    if len(operands) == 1:
        (only,) = operands
        return lambda document: apply(only(document))
    left, right = operands
    return lambda document: apply(left(document), right(document))


def _comparison(
    compare: Callable[[Any, Any], bool], kinds: Mapping[type, str]
) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        kind = kinds.get(type(left))
        if kind is None or kind != kinds.get(type(right)):
            return UNDEFINED
        return compare(left, right)

    return apply


def _arithmetic(calculate: Callable[[float, float], float]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if not KINDS.get(type(left)) == KINDS.get(type(right)) == "number":
            return UNDEFINED
        try:
            result = calculate(float(left), float(right))
        except (ZeroDivisionError, ValueError):
            return UNDEFINED
        return result if math.isfinite(result) else UNDEFINED

    return apply


def _on_strings(test: Callable[[str, str], bool]) -> Callable[[Any, Any], Any]:
    def apply(text: Any, part: Any) -> Any:
        return test(text, part) if type(text) is type(part) is str else UNDEFINED

    return apply


def _is(kind: str) -> Callable[[Any], bool]:
    return lambda value: KINDS.get(type(value)) == kind


#: By name and number of operands. The learn page lists only IS_DEFINED for twin queries; live hubs
#: also accept STARTSWITH, but not the STARTS_WITH of routes (azure-docs#110329). Which of the
#: others hubs refuse is not published.
_FUNCTIONS: dict[tuple[str, int], Callable[..., Any]] = {
    ("=", 2): _comparison(operator.eq, KINDS),
    ("!=", 2): _comparison(operator.ne, KINDS),
    ("<>", 2): _comparison(operator.ne, KINDS),
    ("<", 2): _comparison(operator.lt, ORDERED_KINDS),
    ("<=", 2): _comparison(operator.le, ORDERED_KINDS),
    (">", 2): _comparison(operator.gt, ORDERED_KINDS),
    (">=", 2): _comparison(operator.ge, ORDERED_KINDS),
    ("+", 2): _arithmetic(operator.add),
    ("-", 2): _arithmetic(operator.sub),
    ("*", 2): _arithmetic(operator.mul),
    ("/", 2): _arithmetic(operator.truediv),
    ("%", 2): _arithmetic(math.fmod),
    ("is_defined", 1): lambda value: value is not UNDEFINED,
    ("is_null", 1): _is("null"),
    ("is_bool", 1): _is("boolean"),
    ("is_number", 1): _is("number"),
    ("is_string", 1): _is("string"),
    ("is_object", 1): lambda value: isinstance(value, dict),
    ("startswith", 2): _on_strings(str.startswith),
    ("endswith", 2): _on_strings(str.endswith),
    ("contains", 2): _on_strings(str.__contains__),
}
