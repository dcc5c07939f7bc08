"""Calls a function of the app, plain or coroutine, and logs the call as Core Tools do."""

from __future__ import annotations

import inspect
import logging
import time
import uuid
from typing import Any

from local.host.context import InvocationContext
from local.host.functions import HostedFunction
from local.host.loop import LoopThread

__all__ = ["Invoker"]

logger = logging.getLogger(__name__)


class Invoker:
    """The worker's side of an invocation; safe to use from many threads."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop

    def invoke(self, function: HostedFunction, trigger_value: object, reason: str) -> Any:
        """Call the function with its trigger's value; what it raises is logged and passed on."""
        invocation_id = str(uuid.uuid4())
        arguments: dict[str, Any] = {function.trigger.parameter: trigger_value}
        context = InvocationContext(function.name, function.directory, invocation_id)
        context.thread_local_storage.invocation_id = invocation_id
        if function.wants_context:
            arguments["context"] = context
        logger.info(
            "Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, invocation_id
        )
        started = time.monotonic()
        outcome = "Failed"
        try:
            result = function.call(**arguments)
            if inspect.iscoroutine(result):
                result = self._loop.run(result)
            outcome = "Succeeded"
            return result
        finally:
            logger.log(
                logging.INFO if outcome == "Succeeded" else logging.ERROR,
                "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)",
                function.name,
                outcome,
                invocation_id,
                (time.monotonic() - started) * 1000,
                exc_info=outcome == "Failed",
            )
