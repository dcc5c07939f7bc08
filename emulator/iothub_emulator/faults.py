"""Fault injection: rules that change the next matching requests or jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from iothub_emulator.errors import ErrorCode, Shape


class Operation(StrEnum):
    """What rules match and requests are counted by."""

    CREATE_JOB = "createJob"
    GET_JOB = "getJob"
    LIST_JOBS = "listJobs"
    CANCEL_JOB = "cancelJob"
    REGISTRY = "registry"


ANY_OPERATION = "any"
_MAX_SECONDS = 3600


class FaultKind(StrEnum):
    #: 429 as the hub sends it; the connection is closed.
    THROTTLE = "throttle"
    #: An error answer with any status, code and shape.
    ERROR = "error"
    #: 404 IotHubFailingOver: the hub fails over to its paired region.
    FAIL_OVER = "failOver"
    #: The connection is closed; the request has no effect.
    REFUSE = "refuse"
    #: The request takes effect, then the connection is closed without an answer.
    DROP_REPLY = "dropReply"
    #: The request takes effect, the answer is delayed.
    DELAY = "delay"
    #: The next created job fails before any line is imported.
    FAIL_JOB = "failJob"
    #: The next created job runs until it is cancelled and imports no line.
    HANG_JOB = "hangJob"
    #: The next created job imports its lines, but logs DeviceNotFound for each.
    BLAME_DEVICES = "blameDevices"
    #: The next created job completes without its log, which ``write_late_logs`` writes.
    LATE_LOG = "lateLog"
    #: The next created job completes and never writes its log.
    NO_LOG = "noLog"
    #: Not a rule: deletes the existing jobs from the history immediately.
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
    """A rule; the fields from ``status`` on apply to some kinds only."""

    kind: FaultKind
    operation: str = ANY_OPERATION
    #: Number of requests or jobs that it hits.
    times: int = 1
    #: For ``error``; the default is the status of ``code``, or 500 if the code is unknown.
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
        """Read a rule from JSON; ValueError if it is invalid."""
        unknown = rule.keys() - {field.name for field in fields(cls)}
        if unknown or "kind" not in rule:
            raise ValueError(f"a rule requires kind; unknown properties: {sorted(unknown)}")
        known = ErrorCode.__members__.get(rule.get("code", cls.code))
        fault = cls(
            **{
                "status": known.status if known else cls.status,
                **rule,
                "kind": FaultKind(rule["kind"]),
                "shape": Shape(rule.get("shape", cls.shape)),
            }
        )
        fault._check()
        if fault.operation != ANY_OPERATION:
            Operation(fault.operation)
        return fault

    def _check(self) -> None:
        if not isinstance(self.times, int) or self.times < 1:
            raise ValueError("times must be a number of at least 1")
        if not isinstance(self.status, int) or not 400 <= self.status <= 599:
            raise ValueError("status must be between 400 and 599")
        if not isinstance(self.seconds, int | float) or not 0 <= self.seconds <= _MAX_SECONDS:
            raise ValueError(f"seconds must be between 0 and {_MAX_SECONDS}")
        if not all(isinstance(text, str) for text in (self.code, self.message, self.reason)):
            raise ValueError("code, message and reason must be strings")

    def matches(self, operation: Operation, kinds: frozenset[FaultKind]) -> bool:
        return self.kind in kinds and self.operation in (ANY_OPERATION, operation)


class Faults:
    """The active rules, oldest first."""

    def __init__(self, forget_jobs: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []
        self._forget_jobs = forget_jobs

    def add(self, kind: str, **rule: Any) -> None:
        """Add a rule; the arguments are the fields of Fault. ValueError if it is invalid."""
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
        """Return the first matching rule and reduce its ``times``; None if no rule matches."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if rule.matches(operation, kinds):
                    remaining = [replace(rule, times=rule.times - 1)] if rule.times > 1 else []
                    self._rules[index : index + 1] = remaining
                    return rule
        return None
