"""The emulator as one object, for tests and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from iothub_emulator.api.bulk_routes import BulkRoutes
from iothub_emulator.api.configuration_routes import ConfigurationRoutes
from iothub_emulator.api.control_routes import ControlRoutes
from iothub_emulator.api.device_routes import DeviceRoutes
from iothub_emulator.api.entra_routes import EntraRoutes
from iothub_emulator.api.guard import Guard
from iothub_emulator.api.job_answers import JobAnswers
from iothub_emulator.api.job_routes import JobRoutes
from iothub_emulator.api.module_routes import ModuleRoutes
from iothub_emulator.api.query_routes import QueryRoutes
from iothub_emulator.api.twin_routes import TwinRoutes
from iothub_emulator.auth.authorizer import Authorizer
from iothub_emulator.auth.bearer import BearerTokens
from iothub_emulator.auth.issuer import AUDIENCE, LIFETIME, PRINCIPAL, Issuer
from iothub_emulator.auth.roles import DEFAULT_ROLE, Roles
from iothub_emulator.auth.sas import policy_key
from iothub_emulator.choices import ASSUMED, Choices
from iothub_emulator.clock import Clock
from iothub_emulator.documents import Documents
from iothub_emulator.faults import Faults
from iothub_emulator.jobs.history import JobHistory
from iothub_emulator.jobs.jobs import JobOptions, Jobs
from iothub_emulator.registry.configurations import Configurations
from iothub_emulator.registry.limits import DEFAULT_LIMITS, Limits
from iothub_emulator.registry.registry import Registry
from iothub_emulator.server import LOOPBACK, Address, ServerThread
from iothub_emulator.store import Store
from iothub_emulator.times import http_date
from iothub_emulator.tls import Tls

#: Bytes: room for a bulk request of 100 devices with the largest twins.
_MAX_BODY = 8 * 1024 * 1024


class HubEmulator:
    """An IoT hub on this machine, over plain HTTP or HTTPS.

    Parameters
    ----------
    port
        0 takes a free one.
    host_name
        What clients call the hub; they have to find it on the loopback address.
    job_seconds
        The least time from a job's creation to its end.
    job_rate
        Devices per second that a job handles at most; 0 for as many as it can.
    identity_connection_string
        Storage connection string of the hub's "managed identity", for jobs with
        ``identityBased`` storage authentication; None refuses such jobs.
    tls
        HTTPS only, with a certificate made at the start.
    ca_file
        Where to write the certificate that clients have to trust; None is a temporary place.
    default_role
        The role of Entra ID principals that have no other one; None for no role.
    trusted_issuers
        Prefixes of issuers whose tokens are taken unverified, such as
        ``https://sts.windows.net/`` for those of Entra ID itself.
    local_auth
        False refuses all shared access signatures.
    data
        The file that keeps devices, configurations and jobs; None keeps them in memory.
    choices
        What to assume where nobody knows what a hub does.
    limits
        How many devices there is room for.
    clock
        The time of jobs, twins and Date headers.

    Raises
    ------
    ValueError
        The data file cannot be used, or there is no such role.
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
        ca_file: Path | None = None,
        default_role: str | None = DEFAULT_ROLE,
        trusted_issuers: Sequence[str] = (),
        local_auth: bool = True,
        data: Path | None = None,
        choices: Choices = ASSUMED,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
    ) -> None:
        self._address = Address(host_name, port, tls)
        self._tls = Tls(host_name, ca_file) if tls else None
        self._roles = Roles(default_role)
        self._choices = choices
        self.clock = clock or Clock()
        self._store = Store(data)
        self.registry = Registry(
            self._store,
            choices=choices,
            limits=limits,
            clock=self.clock,
            hub_name=host_name,
        )
        self.configurations = Configurations(Documents(self._store, "configuration"), self.clock)
        self.faults = Faults(forget_jobs=lambda: self.jobs.forget())
        self.jobs = Jobs(
            self.registry,
            self.configurations,
            JobHistory(Documents(self._store, "job"), self.clock),
            self.faults,
            self.clock,
            JobOptions(job_seconds, job_rate, identity_connection_string),
            choices,
        )
        #: How answers about jobs differ from ``jobs``; may be set at any time.
        self.job_answers = JobAnswers()
        self._issuer = Issuer()
        authorizer = Authorizer(
            lambda: self._address.names,
            BearerTokens(self._issuer, trusted_issuers),
            self._roles,
            local_auth=local_auth,
        )
        self._guard = Guard(self.faults, authorizer)
        self._server: ServerThread | None = None

    @property
    def address(self) -> str:
        """Host and port; the port is known once the emulator has started."""
        return f"{self._address.host_name}:{self._address.port}"

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def ca_file(self) -> Path:
        """The certificate that clients have to trust; RuntimeError unless there is TLS."""
        if self._tls is None:
            raise RuntimeError("the emulator serves plain HTTP")
        return self._tls.ca_file

    @property
    def requests(self) -> dict[str, int]:
        """How many requests of each operation came since the start."""
        return {str(operation): count for operation, count in self._guard.requests.items()}

    def connection_string(self, policy: str = "iothubowner") -> str:
        """How clients connect; the last member, which some refuse, asks them for plain HTTP."""
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
        """An access token of the emulator's own issuer; ``claims`` differ, None for absent."""
        return self._issuer.issue(principal_id, audience=audience, expires_in=expires_in, **claims)

    def assign_role(self, principal_id: str, role: str | None) -> None:
        """Give a principal a built-in role in place of the default one; None for no role."""
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
        """End all threads and sockets; jobs that run are cancelled, what is stored stays."""
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

    def _close_tls(self) -> None:
        if self._tls is not None:
            self._tls.close()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY)
        app.on_response_prepare.append(self._set_date)
        for routes in (
            JobRoutes(self.jobs, self._choices, self.clock, self.job_answers),
            DeviceRoutes(self.registry),
            BulkRoutes(self.registry),
            ModuleRoutes(self.registry),
            TwinRoutes(self.registry),
            QueryRoutes(self.registry),
            ConfigurationRoutes(self.configurations),
        ):
            routes.add_to(app, self._guard)
        control = ControlRoutes(self.faults, self.jobs, self.clock, self._roles, self._guard)
        control.add_to(app)
        EntraRoutes(self._issuer).add_to(app)
        return app

    async def _set_date(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = http_date(self.clock.now())
