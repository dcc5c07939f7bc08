"""Functions and their triggers after indexing: blob paths, timers, routes."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from local.host.keys import Level
from local.host.schedule import Schedule

__all__ = [
    "BlobPath",
    "BlobSource",
    "BlobTrigger",
    "HostedFunction",
    "HttpTrigger",
    "TimerTrigger",
    "Trigger",
]

_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9](-?[a-z0-9])*|\$root|\$web")
_TOKEN: Final = re.compile(
    r"(?P<escape>\{\{|\}\})|\{(?P<parameter>[^{}]*)\}|(?P<literal>[^{}]+)|(?P<stray>[{}])"
)
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w.\-]*")


@dataclass(frozen=True)
class BlobPath:
    """Container and pattern of a blob trigger; without a pattern, all blobs match."""

    container: str
    pattern: re.Pattern[str] | None

    @classmethod
    def parse(cls, path: str) -> BlobPath:
        """Parse with the rules of the WebJobs SDK (BlobPathSource, BindingTemplateParser).

        Raises ValueError for an invalid path.
        """
        container, slash, blob = path.partition("/")
        if "{" in container or "}" in container:
            raise ValueError("the container part of the path contains a pattern")
        if not _CONTAINER.fullmatch(container):
            raise ValueError(
                "the container must be 3 to 63 lower-case letters, digits and single hyphens"
            )
        if not slash:
            return cls(container, None)
        if not blob:
            raise ValueError("the path has nothing after the container")
        return cls(container, _compile(blob))

    def matches(self, blob: str) -> bool:
        """Whether the trigger matches a blob of its container; case-sensitive."""
        return self.pattern is None or self.pattern.fullmatch(blob) is not None


def _compile(template: str) -> re.Pattern[str]:
    """A parameter matches any text including "/"; doubled braces are literal braces."""
    parts: list[str] = []
    for token in _TOKEN.finditer(template):
        parameter = token["parameter"]
        if token["stray"]:
            raise ValueError(f"unbalanced '{token['stray']}' at position {token.start() + 1}")
        if token["escape"]:
            parts.append(re.escape(token["escape"][0]))
        elif token["literal"]:
            parts.append(re.escape(token["literal"]))
        elif _IDENTIFIER.fullmatch(parameter):
            parts.append(".*")
        else:
            raise ValueError(f"'{{{parameter}}}' is not a valid parameter name")
    return re.compile("".join(parts))


class BlobSource(enum.Enum):
    """How the host detects blobs; the values are those of the binding."""

    #: The host lists the container; each version of a blob is announced once.
    SCAN = "LogsAndContainerScan"
    #: Events are pushed; the host neither filters nor deduplicates them.
    EVENT_GRID = "EventGrid"


@dataclass(frozen=True)
class BlobTrigger:
    """A blobTrigger binding with resolved references."""

    parameter: str
    path: BlobPath
    connection: str
    source: BlobSource
    #: Annotation of the parameter, which decides how the blob is passed.
    annotation: type
    #: Whether the binding has ``data_type=BINARY``.
    binary: bool


@dataclass(frozen=True)
class TimerTrigger:
    """A timerTrigger binding with parsed schedule."""

    parameter: str
    schedule: Schedule
    run_on_startup: bool


@dataclass(frozen=True)
class HttpTrigger:
    """An httpTrigger binding."""

    parameter: str
    #: Without the prefix of host.json.
    route: str
    #: Upper case; empty means every method.
    methods: frozenset[str]
    #: The key that callers need.
    level: Level


Trigger = BlobTrigger | TimerTrigger | HttpTrigger


@dataclass(frozen=True)
class HostedFunction:
    """A function of the app with its one trigger."""

    name: str
    call: Callable[..., Any]
    directory: str
    wants_context: bool
    trigger: Trigger
