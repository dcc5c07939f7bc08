"""What the host knows of one function after indexing."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.host.paths import BlobPath
from local.host.schedule import Schedule

__all__ = ["BlobSource", "BlobTrigger", "HostedFunction", "HttpTrigger", "TimerTrigger", "Trigger"]


class BlobSource(enum.Enum):
    """How the host learns of a blob; the values are those of the binding."""

    #: The host lists the container; each version of a blob is announced once.
    SCAN = "LogsAndContainerScan"
    #: Events are pushed; the host neither filters nor deduplicates them.
    EVENT_GRID = "EventGrid"


@dataclass(frozen=True)
class BlobTrigger:
    """A blobTrigger binding, its references resolved."""

    parameter: str
    path: BlobPath
    connection: str
    source: BlobSource
    #: Annotation of the parameter, which decides what crosses from host to worker.
    annotation: type
    #: Whether the binding says ``data_type=BINARY``.
    binary: bool


@dataclass(frozen=True)
class TimerTrigger:
    """A timerTrigger binding, its schedule parsed."""

    parameter: str
    schedule: Schedule
    run_on_startup: bool


@dataclass(frozen=True)
class HttpTrigger:
    """An httpTrigger binding; keys are not enforced in a local run, as with Core Tools."""

    parameter: str
    #: Without the prefix of host.json.
    route: str
    #: Upper case; empty means every method.
    methods: frozenset[str]


Trigger = BlobTrigger | TimerTrigger | HttpTrigger


@dataclass(frozen=True)
class HostedFunction:
    """A function of the app with its one trigger."""

    name: str
    call: Callable[..., Any]
    directory: str
    wants_context: bool
    trigger: Trigger
