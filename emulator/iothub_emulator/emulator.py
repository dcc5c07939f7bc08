"""The emulator as an object, for tests and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from iothub_emulator.api.bulk_routes import BulkRoutes
from iothub_emulator.api.configuration_routes import ConfigurationRoutes
from iothub_emulator.api.control_routes import ControlRoutes
from iothub_emulator.api.device_routes import DeviceRoutes
from iothub_emulator.api.effects import Effects
from iothub_emulator.api.entra_routes import EntraRoutes
from iothub_emulator.api.job_routes import JobAnswers, JobRoutes
from iothub_emulator.api.key_routes import KeyRoutes
from iothub_emulator.api.query_routes import QueryRoutes
from iothub_emulator.api.request_checks import (
    MAX_BODY_BYTES,
    RequestChecks,
    refuse_unknown_routes,
)
from iothub_emulator.api.search import Search
from iothub_emulator.api.twin_routes import TwinRoutes
from iothub_emulator.auth.access import DEFAULT_ROLE, Roles
from iothub_emulator.auth.authorizer import Authorizer
from iothub_emulator.auth.entra import AUDIENCE, LIFETIME, PRINCIPAL, BearerTokens, Issuer
from iothub_emulator.auth.sas import policy_key
from iothub_emulator.choices import DEFAULT_CHOICES, Choices
from iothub_emulator.clock import Clock, http_date
from iothub_emulator.faults import Faults
from iothub_emulator.jobs.history import JobHistory
from iothub_emulator.jobs.jobs import JobOptions, Jobs
from iothub_emulator.registry.configurations import Configurations
from iothub_emulator.registry.lagging import LaggingRegistry
from iothub_emulator.registry.registry import DEFAULT_LIMITS, Limits, Registry
from iothub_emulator.server import LOOPBACK, Address, ServerThread
from iothub_emulator.store import Documents, Store
from iothub_emulator.tls import Tls


class HubEmulator:
    """An IoT hub on this machine, over plain HTTP or HTTPS.

    Parameters
    ----------
    port
        0 for any free port.
    host_name
        Host name for clients; it must resolve to the loopback address.
    job_seconds
        Minimum time from a job's creation to its end.
    job_rate
        Maximum devices per second of a job; 0 for no limit.
    identity_connection_string
        Connection string of the storage account that the hub's managed identity can access, for
        jobs with ``identityBased`` storage authentication; None refuses such jobs.
    tls
        Serve HTTPS instead of HTTP.
    default_role
        Role of Entra ID principals without an assigned role; None for no role.
    trusted_issuers
        Prefixes of issuers whose tokens are accepted without verifying the signature, for
        example ``https://sts.windows.net/`` for the real Entra ID.
    local_auth
        False refuses all shared access signatures.
    state
        Folder for devices, configurations, jobs and, with ``tls``, the certificate authority; it
        is created if it does not exist. None keeps nothing.
    choices
        Switches for behaviour of hubs that is not published.
    limits
        Maximum number of devices and modules.
    clock
        Clock for jobs, twins and Date headers.

    Raises
    ------
    ValueError
        The state cannot be used, or the role is unknown.
    OSError
        The folder for the state cannot be created.
    """

    def __init__(
        self,
        port: int = 0,
        host_name: str = LOOPBACK,
        job_seconds: float = 0.0,
        job_rate: float = 0.0,
        identity_connection_string: str | None = None,
        *,
        tls: bool = False,
        default_role: str | None = DEFAULT_ROLE,
        trusted_issuers: Sequence[str] = (),
        local_auth: bool = True,
        state: Path | None = None,
        choices: Choices = DEFAULT_CHOICES,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
    ) -> None:
        self._address = Address(host_name, port, tls)
        self._tls = Tls(host_name, state) if tls else None
        self._roles = Roles(default_role)
        self._choices = choices
        self.clock = clock or Clock()
        if state is not None:
            state.mkdir(parents=True, exist_ok=True)
        self._store = Store(state and state / "hub.db")
        self.registry = Registry(
            self._store,
            choices=choices,
            limits=limits,
            clock=self.clock,
            hub_name=host_name,
        )
        self.configurations = Configurations(Documents(self._store, "configuration"), self.clock)
        Effects(self.registry, self.configurations, self._store)
        self._search = Search(self._lagging(choices.query_lag))
        self.faults = Faults(forget_jobs=lambda: self.jobs.forget())
        self.jobs = Jobs(
            self.registry,
            self._lagging(choices.export_lag),
            self.configurations,
            JobHistory(Documents(self._store, "job"), self.clock),
            self.faults,
            self.clock,
            JobOptions(job_seconds, job_rate, identity_connection_string),
            choices,
        )
        #: Differences between ``jobs`` and answers to clients; may be changed at any time.
        self.job_answers = JobAnswers()
        self._issuer = Issuer()
        authorizer = Authorizer(
            lambda: self._address.names,
            BearerTokens(self._issuer, trusted_issuers),
            self._roles,
            local_auth=local_auth,
            tokens_have_paths=choices.token_scope == "path",
        )
        self._checks = RequestChecks(self.faults, authorizer)
        self._server: ServerThread | None = None

    @property
    def address(self) -> str:
        """Host name and port; the port is final after the start."""
        return f"{self._address.host_name}:{self._address.port}"

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.is_running

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def ca_file(self) -> Path:
        """The CA certificate for clients; RuntimeError without TLS."""
        if self._tls is None:
            raise RuntimeError("the emulator serves plain HTTP")
        return self._tls.ca_file

    @property
    def requests(self) -> dict[str, int]:
        """Number of requests per operation since the start."""
        return {str(operation): count for operation, count in self._checks.requests.items()}

    def connection_string(self, policy: str = "iothubowner") -> str:
        """Connection string of a policy; over HTTP it ends with ``UseDevelopmentEmulator=true``."""
        return (
            f"HostName={self._address.authority};SharedAccessKeyName={policy};"
            f"SharedAccessKey={policy_key(policy)}"
            f"{'' if self._tls else ';UseDevelopmentEmulator=true'}"
        )

    def token(
        self,
        principal_id: str = PRINCIPAL,
        audience: str = AUDIENCE,
        expires_in: float = LIFETIME,
        **claims: Any,
    ) -> str:
        """Issue an access token; ``claims`` replace the defaults, None omits a claim."""
        return self._issuer.issue(principal_id, audience=audience, expires_in=expires_in, **claims)

    def assign_role(self, principal_id: str, role: str | None) -> None:
        """Assign a built-in role to a principal; None for no role."""
        self._roles.assign(principal_id, role)

    def start(self) -> Self:
        try:
            self._store.reopen()
            ssl_context = self._tls.open() if self._tls else None
            server = ServerThread(self._app(), self._address.port, ssl_context)
            self._address.port = server.start()
        except Exception:
            self._close_tls()
            self._store.close()
            raise
        self._server = server
        return self

    def stop(self) -> None:
        """Stop all threads, close all sockets and cancel running jobs; stored data stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self._close_tls()
        self.jobs.stop()
        self._store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def occupy_slot(self) -> None:
        self.jobs.occupy_slot()

    def free_slot(self) -> None:
        self.jobs.free_slot()

    def write_late_logs(self) -> None:
        self.jobs.write_late_logs()

    def wait_idle(self, timeout: float = 10.0) -> None:
        self.jobs.wait_idle(timeout)

    def _lagging(self, seconds: int) -> LaggingRegistry:
        return LaggingRegistry(self.registry, self.clock, timedelta(seconds=seconds))

    def _close_tls(self) -> None:
        if self._tls is not None:
            self._tls.close()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[refuse_unknown_routes])
        app.on_response_prepare.append(self._set_headers)
        groups = (
            JobRoutes(self.jobs, self._choices, self.clock, self.job_answers),
            DeviceRoutes(self.registry, self._choices),
            BulkRoutes(self.registry),
            KeyRoutes(self.registry),
            TwinRoutes(self.registry),
            QueryRoutes(self._search),
            ConfigurationRoutes(self.configurations, self.registry, self._search),
        )
        self._checks.add_routes(app, [route for group in groups for route in group.routes()])
        control = ControlRoutes(self.faults, self.jobs, self.clock, self._roles, self._checks)
        control.add_to(app)
        EntraRoutes(self._issuer).add_to(app)
        return app

    async def _set_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = http_date(self.clock.now())
        response.headers["Server"] = "Microsoft-HTTPAPI/2.0"
