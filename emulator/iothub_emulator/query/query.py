"""Running queries: which documents match, and the rows of the answer.

Assumptions where the learn pages give no answer:

- An element of SELECT without alias gets the last name of its path, as Microsoft's deployment
  scripts expect; aggregates without alias are ``$1``, ``$2`` ... as in Cosmos DB. Two elements of
  the same name are refused.
- Rows omit undefined values.
- SUM, AVG, MIN and MAX ignore undefined values. They are undefined if no value remains or if not
  all are numbers (MIN and MAX: if not all are of the same ordered type).
- Next to aggregates, SELECT accepts only paths of GROUP BY.
- A hyphen between letters or digits belongs to the name, as the end-to-end tests of the Java SDK
  need it in SELECT and GROUP BY. A subtraction of two properties needs a space.
- Documents without a path of GROUP BY form a separate group. Groups are in the order of their
  first documents, and TOP limits the number of groups.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import Any
from zlib import crc32

from iothub_emulator.query.expressions import KINDS, ORDERED_KINDS, Document, Evaluate, compiled
from iothub_emulator.query.parser import parse
from iothub_emulator.query.tree import (
    UNDEFINED,
    Call,
    Expression,
    Item,
    Literal,
    Path,
    Source,
    Statement,
    invalid,
)

#: Reduces the values of a path in a group, one per document, to the value in its row.
Reduce = Callable[[list[Any]], Any]


def parse_query(text: str) -> Query:
    return Query(parse(text), text)


class Query:
    """A parsed query for twin documents in the form of GET /twins/{id}."""

    def __init__(self, statement: Statement, text: str) -> None:
        items = statement.items or ()
        #: For continuation tokens, which are valid for one query only.
        self.checksum = f"{crc32(text.encode('utf-8', 'replace')):08x}"
        self.source = statement.source
        #: The limit of rows by SELECT TOP, which callers of ``project`` must observe.
        self.top = statement.top
        #: The id of the only device that can match, if the condition contains one.
        self.device_id = _pinned_device(statement.condition)
        #: Aggregates require all documents.
        self.is_aggregate = bool(statement.groups) or any(item.aggregate for item in items)
        if self.is_aggregate:
            _check_grouping(statement)
        if self.source is Source.JOBS and (items or self.is_aggregate):
            raise invalid("FROM devices.jobs accepts only SELECT *.")  # Learn page.
        self._condition = compiled(statement.condition or Literal(True))
        self._columns = _columns(items)
        self._groups = [compiled(path) for path in statement.groups]

    @property
    def item_type(self) -> str:
        """The value of the header x-ms-item-type."""
        if self.source is Source.JOBS:
            return "DeviceJob"
        return "Raw" if self._columns else "Twin"

    def matches(self, document: Document) -> bool:
        return self._condition(document) is True

    def project(self, document: Document) -> Document:
        """The row of a matching document."""
        if not self._columns:
            return document
        return self._row(column.evaluate(document) for column in self._columns)

    def aggregate(self, documents: Iterable[Document]) -> list[Document]:
        """The rows of all matching documents."""
        groups: dict[Any, list[list[Any]]] = {}
        if not self._groups:
            groups[()] = [[] for _ in self._columns]
        for document in documents:
            key = tuple(_key(evaluate(document)) for evaluate in self._groups)
            lists = groups.setdefault(key, [[] for _ in self._columns])
            for column, values in zip(self._columns, lists, strict=True):
                values.append(column.evaluate(document))
        return [self._row(self._reduced(lists)) for lists in groups.values()][: self.top]

    def _reduced(self, lists: list[list[Any]]) -> Iterator[Any]:
        return (column.reduce(values) for column, values in zip(self._columns, lists, strict=True))

    def _row(self, values: Iterable[Any]) -> Document:
        named = zip(self._columns, values, strict=True)
        return {column.name: value for column, value in named if value is not UNDEFINED}


@dataclass(frozen=True)
class _Column:
    name: str
    evaluate: Evaluate
    reduce: Reduce


def _columns(items: tuple[Item, ...]) -> list[_Column]:
    numbers = count(1)
    columns = [
        _Column(
            name=item.alias or _last_name(item) or f"${next(numbers)}",
            evaluate=compiled(item.path or Literal(None)),
            reduce=_reduction(item),
        )
        for item in items
    ]
    if len({column.name for column in columns}) < len(columns):
        raise invalid("two elements of SELECT have the same name; rename one with AS.")
    return columns


def _last_name(item: Item) -> str | None:
    return item.path.names[-1] if item.path and not item.aggregate else None


def _reduction(item: Item) -> Reduce:
    if item.aggregate is None:
        return itemgetter(0)
    reduce = _AGGREGATES.get((item.aggregate, item.path is not None))
    if reduce is None:
        raise invalid(
            f"{item.aggregate} is not an aggregate; use COUNT(), or SUM, AVG, MIN or MAX of a path."
        )
    return reduce


def _check_grouping(statement: Statement) -> None:
    """GROUP BY is for device twins only (learn page)."""
    if statement.groups and statement.source is not Source.DEVICES:
        raise invalid(f"GROUP BY cannot be combined with FROM {statement.source}.")
    if statement.items is None:
        raise invalid("GROUP BY cannot be combined with SELECT *.")
    for item in statement.items:
        if item.aggregate is None and item.path not in statement.groups:
            raise invalid("SELECT with aggregates accepts only paths of GROUP BY.")


def _pinned_device(condition: Expression | None) -> str | None:
    match condition:
        case Call("=", (Path(("deviceId",)), Literal(str(device_id)))):
            return device_id
        case Call("=", (Literal(str(device_id)), Path(("deviceId",)))):
            return device_id
        case Call("and", operands):
            pinned = (_pinned_device(operand) for operand in operands)
            return next((device_id for device_id in pinned if device_id is not None), None)
    return None


def _key(value: Any) -> Any:
    """Equal for values that are equal in JSON: 1 equals 1.0 but not true."""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return KINDS.get(type(value)), value


def _over(kinds: Iterable[str], reduce: Reduce) -> Reduce:
    """Reduce values of the same kind, which must be one of ``kinds``."""
    accepted = [{kind} for kind in kinds]

    def apply(values: list[Any]) -> Any:
        defined = [value for value in values if value is not UNDEFINED]
        return reduce(defined) if {KINDS.get(type(v)) for v in defined} in accepted else UNDEFINED

    return apply


#: By name and whether there is a path.
_AGGREGATES: dict[tuple[str, bool], Reduce] = {
    ("count", False): len,
    ("sum", True): _over(["number"], sum),
    ("avg", True): _over(["number"], lambda values: sum(values) / len(values)),
    ("min", True): _over(ORDERED_KINDS.values(), min),
    ("max", True): _over(ORDERED_KINDS.values(), max),
}
