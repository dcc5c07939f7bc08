"""The endpoints by name: what the triggers need of them, and nothing that takes time to import."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ROUTES", "Route", "routes"]


@dataclass(frozen=True)
class Route:
    """One endpoint, served by the function of `shared.web.api` or `.dashboard` with its name."""

    name: str
    method: str
    #: Behind the route prefix of host.json.
    path: str

    @property
    def is_page(self) -> bool:
        return self.path.startswith("dashboard")


ROUTES = (
    Route("list_imports", "GET", "imports"),
    Route("get_import", "GET", "imports/{id}"),
    Route("get_file", "GET", "imports/{id}/files/{name}"),
    Route("cancel_import", "POST", "imports/{id}/cancel"),
    Route("retry_import", "POST", "imports/{id}/retry"),
    Route("list_queues", "GET", "queues"),
    Route("list_days", "GET", "days"),
    Route("check_file", "POST", "check"),
    Route("get_health", "GET", "health"),
    Route("get_openapi", "GET", "openapi.json"),
    Route("show_dashboard", "GET", "dashboard"),
    Route("show_health", "GET", "dashboard/health"),
    Route("show_import", "GET", "dashboard/imports/{id}"),
    Route("act_on_import", "POST", "dashboard/imports/{id}/{action}"),
)


def routes(endpoints: str | None) -> tuple[Route, ...]:
    """Those that a site wants, by its setting HTTP_ENDPOINTS; of a wrong one calls will tell."""
    if endpoints == "none":
        return ()
    return tuple(route for route in ROUTES if endpoints != "api" or not route.is_page)
