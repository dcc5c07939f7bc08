"""Azure Monitor as the place that OpenTelemetry sends to. Importing this takes 0.2 s.

Two settings of the Functions worker decide who sends log lines (azure_functions_worker,
dispatcher.py): with PYTHON_ENABLE_OPENTELEMETRY=true the host leaves them to the app; with
PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY=true the worker configures Azure Monitor itself, before
the app is loaded. With neither the host passes on the text of each line, and a second sender would
only double it.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from typing import Any

from azure.core.credentials import TokenCredential
from azure.monitor.opentelemetry import configure_azure_monitor
from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import TracerProvider

from shared.errors import SettingsError
from shared.telemetry.backend import Backend

__all__ = ["connect"]

#: The logger whose lines are sent.
LOGGER = "shared"

CONNECTION_STRING = "APPLICATIONINSIGHTS_CONNECTION_STRING"
AUTHENTICATION = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
APP_SENDS_LOGS = "PYTHON_ENABLE_OPENTELEMETRY"
#: OpenTelemetry's own switches, which the distribution heeds; what operators set there stays.
LOGS_EXPORTER = "OTEL_LOGS_EXPORTER"
TRACES_SAMPLER = "OTEL_TRACES_SAMPLER"

#: All that the distribution would instrument but the Azure SDK, which tells of its own requests.
_NOT_USED = (
    "django",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "psycopg2",
    "requests",
    "urllib",
    "urllib3",
)


def connect(credential: Callable[[str | None], TokenCredential]) -> Backend:
    """Telemetry through the process's providers, which are made unless the worker made them.

    Raises:
        SettingsError: a setting of Application Insights is missing or wrong.
    """
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        _configure(credential)
    return Backend(trace.get_tracer_provider(), metrics.get_meter_provider())


def _configure(credential: Callable[[str | None], TokenCredential]) -> None:
    if not os.environ.get(CONNECTION_STRING):
        raise SettingsError(
            [
                f"{CONNECTION_STRING} is missing. Expected: the connection string of the "
                "Application Insights resource."
            ]
        )
    options: dict[str, Any] = {}
    said = _authentication()
    if said.get("authorization") == "AAD":
        options["credential"] = credential(said.get("clientid"))
    if os.environ.get(APP_SENDS_LOGS, "").lower() not in ("true", "1"):
        os.environ.setdefault(LOGS_EXPORTER, "none")
    # All of an import, nothing of what is quiet. By default the distribution keeps five spans a
    # second, and steps have more in a burst.
    os.environ.setdefault(TRACES_SAMPLER, "parentbased_always_on")
    configure_azure_monitor(
        # Not the root: the SDKs' chatter stays at home.
        logger_name=LOGGER,
        instrumentation_options={name: {"enabled": False} for name in _NOT_USED},
        # The host has both.
        enable_live_metrics=False,
        enable_performance_counters=False,
        **options,
    )
    # At the end of the process, logging flushes handlers, this one by a thread, which Python 3.12
    # refuses then. Its provider flushes by itself.
    atexit.register(logging.getLogger(LOGGER).handlers.clear)


def _authentication() -> dict[str, str]:
    """`Authorization=AAD`, or `Authorization=AAD;ClientId=…` for a user-assigned identity."""
    pairs = (part.partition("=") for part in os.environ.get(AUTHENTICATION, "").split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
