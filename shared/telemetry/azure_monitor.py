"""Sends spans, metrics and, if set so, log lines to Azure Monitor.

Two settings of the Functions worker decide who sends log lines (azure_functions_worker,
dispatcher.py): with PYTHON_ENABLE_OPENTELEMETRY=true the host leaves them to the app; with
PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY=true the worker configures Azure Monitor itself, before
it loads the app. With neither, the host forwards the text of each line, and sending it again would
duplicate it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from azure.core.credentials import TokenCredential

from shared import telemetry
from shared.errors import SettingsError
from shared.logs import logger

__all__ = ["configure"]

log = logger(__name__)

#: The logger whose lines are sent. Not the root logger, which includes the SDKs.
LOGGER = "shared"

CONNECTION_STRING = "APPLICATIONINSIGHTS_CONNECTION_STRING"
AUTHENTICATION = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
APP_SENDS_LOGS = "PYTHON_ENABLE_OPENTELEMETRY"
#: OpenTelemetry's own settings, which the distribution applies. The app does not override them.
LOGS_EXPORTER = "OTEL_LOGS_EXPORTER"
TRACES_EXPORTER = "OTEL_TRACES_EXPORTER"
TRACES_SAMPLER = "OTEL_TRACES_SAMPLER"
RESOURCE_DETECTORS = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"

#: Instrumentations of the distribution except that of the Azure SDK, which has spans of its own.
_UNUSED_INSTRUMENTATIONS = (
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

Credentials = Callable[[str | None], TokenCredential]

_lock = threading.Lock()
_is_configured = False


def configure(credential: Credentials) -> None:
    """Send telemetry to Azure Monitor, once per process. Never raises: imports go first.

    Args:
        credential: creates a credential for a client id, if Application Insights uses Entra ID.
    """
    global _is_configured
    with _lock:
        if _is_configured:
            return
        _is_configured = True
        try:
            telemetry.set_backend(connect(credential))
        except Exception as error:
            log.warning("the app sends no spans and metrics: %s", error)


def connect(credential: Credentials) -> telemetry.Backend:
    """Create the backend, and the process's providers unless the worker has created them.

    Raises:
        SettingsError: a setting of Application Insights is missing or invalid.
    """
    # Importing these takes 0.3 s.
    from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from shared.telemetry.otel import OpenTelemetryBackend

    options = _options(credential)
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        _configure_distribution(options)
    provider = trace.get_tracer_provider()
    resource = sampler = processor = None
    if isinstance(provider, TracerProvider):
        resource = provider.resource
        # A provider of the worker limits spans per second by default.
        sampler = provider.sampler if os.environ.get(TRACES_SAMPLER) else None
    if os.environ.get(TRACES_EXPORTER, "").strip().lower() != "none":
        processor = BatchSpanProcessor(AzureMonitorTraceExporter(**options))
    return OpenTelemetryBackend(processor, metrics.get_meter_provider(), resource, sampler)


def _configure_distribution(options: dict[str, Any]) -> None:
    from azure.monitor.opentelemetry import configure_azure_monitor

    if os.environ.get(APP_SENDS_LOGS, "").lower() not in ("true", "1"):
        os.environ.setdefault(LOGS_EXPORTER, "none")
    # The distribution keeps five spans per second by default, and an import has bursts of more.
    os.environ.setdefault(TRACES_SAMPLER, "parentbased_always_on")
    # The distribution also asks for the metadata of a virtual machine, which no instance has.
    os.environ.setdefault(RESOURCE_DETECTORS, "azure_app_service")
    configure_azure_monitor(
        logger_name=LOGGER,
        instrumentation_options={name: {"enabled": False} for name in _UNUSED_INSTRUMENTATIONS},
        # The host sends both.
        enable_live_metrics=False,
        enable_performance_counters=False,
        **options,
    )
    # At exit, `logging` flushes its handlers; this one would start a thread, which Python 3.12
    # refuses then. The handler's provider flushes itself.
    atexit.register(logging.getLogger(LOGGER).handlers.clear)


def _options(credential: Credentials) -> dict[str, Any]:
    """Return the credential if AUTHENTICATION is `Authorization=AAD[;ClientId=…]`."""
    if not os.environ.get(CONNECTION_STRING):
        raise SettingsError(
            [
                f"{CONNECTION_STRING} is required. Expected: the connection string of the "
                "Application Insights resource."
            ]
        )
    pairs = (part.partition("=") for part in os.environ.get(AUTHENTICATION, "").split(";"))
    values = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if values.get("authorization") != "AAD":
        return {}
    return {"credential": credential(values.get("clientid"))}
