"""The emulator as one object, for tests and the command line."""

from __future__ import annotations

from typing import Self

from aiohttp import web

from local.hub.api.control_routes import ControlRoutes
from local.hub.api.guard import Guard
from local.hub.api.job_routes import JobRoutes
from local.hub.api.registry_routes import RegistryRoutes
from local.hub.auth.sas import policy_key
from local.hub.faults import Faults
from local.hub.jobs.jobs import Jobs
from local.hub.registry.registry import Registry
from local.hub.server import ServerThread


class HubEmulator:
    """An IoT hub on this machine, over plain HTTP.

    Parameters
    ----------
    port
        0 takes a free one.
    job_seconds
        The least time from a job's creation to its end.
    echo_uris
        Whether jobs show the container URIs that they were created with: live hubs were seen
        to do both.
    identity_connection_string
        Storage connection string of the hub's "managed identity", for jobs with
        ``identityBased`` storage authentication; None refuses such jobs.
    """

    def __init__(
        self,
        port: int = 0,
        host_name: str = "127.0.0.1",
        job_seconds: float = 0.0,
        echo_uris: bool = True,
        identity_connection_string: str | None = None,
    ) -> None:
        self._port = port
        self._host_name = host_name
        self._echo_uris = echo_uris
        self.registry = Registry()
        self.faults = Faults(forget_jobs=lambda: self.jobs.forget())
        self.jobs = Jobs(
            self.registry,
            self.faults,
            job_seconds=job_seconds,
            identity_connection_string=identity_connection_string,
        )
        self._guard = Guard(self.faults)
        self._server: ServerThread | None = None

    @property
    def address(self) -> str:
        """Host and port; the port is known once the emulator has started."""
        return f"{self._host_name}:{self._port}"

    @property
    def requests(self) -> dict[str, int]:
        """How many requests of each operation came since the start."""
        return {str(operation): count for operation, count in self._guard.requests.items()}

    def connection_string(self, policy: str = "iothubowner") -> str:
        return (
            f"HostName={self.address};SharedAccessKeyName={policy};"
            f"SharedAccessKey={policy_key(policy)};UseDevelopmentEmulator=true"
        )

    def start(self) -> Self:
        server = ServerThread(self._app(), self._host_name, self._port)
        self._port = server.start()
        self._server = server
        return self

    def stop(self) -> None:
        """End all threads and sockets; jobs that run are cancelled, what is stored stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self.jobs.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def occupy_slot(self) -> None:
        self.jobs.occupy_slot()

    def free_slot(self) -> None:
        self.jobs.free_slot()

    def wait_idle(self, timeout: float = 10.0) -> None:
        self.jobs.wait_idle(timeout)

    def _app(self) -> web.Application:
        app = web.Application()
        JobRoutes(self.jobs, echo_uris=self._echo_uris).add_to(app, self._guard)
        RegistryRoutes(self.registry).add_to(app, self._guard)
        ControlRoutes(self.faults, self.jobs, self._guard).add_to(app)
        return app
