"""Faults on demand: rules that are added before the requests or jobs they hit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from iothub_emulator.errors import Shape


class Operation(StrEnum):
    """What rules aim at and requests are counted by."""

    CREATE_JOB = "createJob"
    GET_JOB = "getJob"
    LIST_JOBS = "listJobs"
    CANCEL_JOB = "cancelJob"
    REGISTRY = "registry"


ANY_OPERATION = "any"


class FaultKind(StrEnum):
    #: 429 as the hub sends it, and the connection is closed.
    THROTTLE = "throttle"
    #: Any status and code, in any shape.
    ERROR = "error"
    #: 404 IotHubFailingOver: the hub moves to its other region.
    FAIL_OVER = "failOver"
    #: The connection is closed before anything is done.
    REFUSE = "refuse"
    #: The request is carried out, then the connection is closed without an answer.
    DROP_REPLY = "dropReply"
    #: The request is carried out, the answer comes later.
    DELAY = "delay"
    #: The next job that is created fails, before any line is imported.
    FAIL_JOB = "failJob"
    #: The next job that is created runs until it is cancelled, without importing a line.
    HANG_JOB = "hangJob"
    #: The next job that is created logs each of its lines as of a missing device, though it
    #: imports them.
    BLAME_DEVICES = "blameDevices"
    #: The next job that is created completes without its log, which is written on demand.
    LATE_LOG = "lateLog"
    #: The next job that is created completes and never writes its log.
    NO_LOG = "noLog"
    #: At once and not a rule: the history loses the jobs that it holds now.
    FORGET_JOB = "forgetJob"


JOB_FAULTS = frozenset(
    {
        FaultKind.FAIL_JOB,
        FaultKind.HANG_JOB,
        FaultKind.BLAME_DEVICES,
        FaultKind.LATE_LOG,
        FaultKind.NO_LOG,
    }
)
REQUEST_FAULTS = frozenset(FaultKind) - JOB_FAULTS - {FaultKind.FORGET_JOB}


@dataclass(frozen=True)
class Fault:
    """A rule; the members from ``status`` on matter to some kinds only."""

    kind: FaultKind
    operation: str = ANY_OPERATION
    #: How often it strikes.
    times: int = 1
    #: For ``error``.
    status: int = 500
    code: str = "ServerError"
    message: str = "Injected by the emulator."
    shape: Shape = Shape.E1
    #: Seconds, for ``delay``.
    seconds: float = 1.0
    #: The failure reason, for ``failJob``.
    reason: str = "The job failed on demand."

    @classmethod
    def read(cls, rule: Mapping[str, Any]) -> Self:
        """Read a rule from JSON; ValueError tells what is wrong with it."""
        unknown = rule.keys() - {field.name for field in fields(cls)}
        if unknown or "kind" not in rule:
            raise ValueError(f"a rule has a kind and no unknown members: {sorted(unknown)}")
        fault = cls(
            **{
                **rule,
                "kind": FaultKind(rule["kind"]),
                "shape": Shape(rule.get("shape", cls.shape)),
            }
        )
        if fault.times < 1:
            raise ValueError("a rule strikes at least once")
        if fault.operation != ANY_OPERATION:
            Operation(fault.operation)
        return fault

    def strikes(self, operation: Operation, kinds: frozenset[FaultKind]) -> bool:
        return self.kind in kinds and self.operation in (ANY_OPERATION, operation)


class Faults:
    """The rules in force, oldest first."""

    def __init__(self, forget_jobs: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []
        self._forget_jobs = forget_jobs

    def add(self, kind: str, **rule: Any) -> None:
        """Add a rule; the arguments are the members of Fault."""
        fault = Fault.read({"kind": kind, **rule})
        if fault.kind is FaultKind.FORGET_JOB:
            self._forget_jobs()
            return
        with self._lock:
            self._rules.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def to_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def take(self, operation: Operation, kinds: frozenset[FaultKind]) -> Fault | None:
        """The first rule that strikes, which uses up one of its times."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if rule.strikes(operation, kinds):
                    left = [replace(rule, times=rule.times - 1)] if rule.times > 1 else []
                    self._rules[index : index + 1] = left
                    return rule
        return None
