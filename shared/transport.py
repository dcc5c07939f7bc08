"""HTTP connections of the SDK clients."""

from __future__ import annotations

from typing import Any

from azure.core.pipeline.transport import RequestsTransport
from requests import PreparedRequest, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["MAX_CONNECTIONS", "connect_by", "pooled_transport"]

#: Connections to one host that are kept: as many as threads use a client at the same time.
MAX_CONNECTIONS = 64


def pooled_transport() -> RequestsTransport:
    """A transport for many threads: the SDK's own keeps ten connections and drops the others."""
    session = Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    return RequestsTransport(session=session)


def connect_by(
    transport: RequestsTransport, plain: type[HTTPConnection], secure: type[HTTPSConnection]
) -> None:
    """Give a transport connections of these classes."""
    transport.open()
    for scheme in ("http://", "https://"):
        transport.session.mount(scheme, _Adapter(plain, secure))


class _Adapter(HTTPAdapter):
    def __init__(self, plain: type[HTTPConnection], secure: type[HTTPSConnection]) -> None:
        self._plain, self._secure = plain, secure
        super().__init__(pool_maxsize=MAX_CONNECTIONS)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, *args: Any, **kwargs: Any
    ) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(request, *args, **kwargs)
        pool.ConnectionCls = self._secure if pool.scheme == "https" else self._plain
        return pool
