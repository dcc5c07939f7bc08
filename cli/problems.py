"""What is wrong with lines of a file, by code: as the validation or as the hub has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.output import clean

__all__ = ["hub_failures", "validation_problems"]

#: Lines that are shown of each code.
_SHOWN = 5

#: The most severe first.
_SEVERITIES = {"error": "red", "warning": "yellow", "info": "cyan"}


def validation_problems(
    problems: Sequence[Mapping[str, Any]], counts: Mapping[str, int]
) -> RenderableType:
    """Problems of a report, and how many there are of each code.

    Args:
        problems: as `Report.problems_json` has them.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for problem in problems:
        groups.setdefault((problem["severity"], problem["code"]), []).append(problem)
    order = [*_SEVERITIES]
    return Group(
        *(
            _group(
                Text.assemble((severity, _SEVERITIES[severity]), " ", (code, "bold")),
                counts.get(code, len(some)),
                some[0]["remedy"],
                [_place(one, one["id"], one["field"]) for one in some[:_SHOWN]],
            )
            for (severity, code), some in sorted(
                groups.items(), key=lambda group: order.index(group[0][0])
            )
        )
    )


def hub_failures(failures: Mapping[str, Any]) -> RenderableType:
    """Devices that the hub refused, as report.json has them."""
    return Group(*_failures(failures))


def _failures(failures: Mapping[str, Any]) -> Iterator[RenderableType]:
    for one in failures["codes"]:
        devices = [device for device in failures["devices"] if device["code"] == one["code"]]
        yield _group(
            Text.assemble(("refused", "red"), " ", (clean(one["code"]), "bold")),
            one["count"],
            one.get("remedy", ""),
            [
                _place(device, device["id"], device.get("moduleId", ""))
                for device in devices[:_SHOWN]
            ],
        )


def _group(title: Text, count: int, remedy: str, places: Sequence[str]) -> RenderableType:
    if count > 1:
        title.append(f" x {count:,}")
    lines = [*filter(None, [remedy]), *places]
    if count > len(places):
        lines.append(f"and {count - len(places):,} more" if places else "")
    return Group(
        Padding(title, (0, 0, 0, 2)), *(Padding(Text(line), (0, 0, 0, 4)) for line in lines if line)
    )


def _place(one: Mapping[str, Any], *about: str) -> str:
    line = one["line"]
    names = ", ".join(filter(None, map(clean, about)))
    where = "the file" if line is None else f"line {line:,}"
    return f"{where}{names and f' ({names})'}: {clean(one['message'])}"
