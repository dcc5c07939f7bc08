"""HTTP connections of the SDK clients."""

from __future__ import annotations

from azure.core.pipeline.transport import RequestsTransport
from requests import Session
from requests.adapters import HTTPAdapter

__all__ = ["MAX_CONNECTIONS", "pooled_transport"]

#: Connections to one host that are kept: as many as threads use a client at the same time.
MAX_CONNECTIONS = 64


def pooled_transport() -> RequestsTransport:
    """A transport for many threads: the SDK's own keeps ten connections and drops the others."""
    session = Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    return RequestsTransport(session=session)
