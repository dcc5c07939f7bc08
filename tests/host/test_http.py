from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import azure.functions as func
import pytest

from local.host import FunctionsHost, UsageError


def http_app() -> func.FunctionApp:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

    @app.route(route="jobs/{id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
    def job(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(
            f"{req.route_params['id']} {req.params.get('full')}", headers={"X-Kind": "job"}
        )

    @app.route(route="jobs/latest", methods=["GET"])
    async def latest(req: func.HttpRequest) -> str:
        return "latest"

    @app.route(route="files/{*rest}", methods=["PUT", "POST"])
    def files(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        body = req.route_params["rest"].encode() + b":" + req.get_body()
        return func.HttpResponse(body, status_code=201, mimetype="application/octet-stream")

    @app.route()
    def broken(req: func.HttpRequest) -> str:
        raise ValueError("do not show this")

    @app.route()
    def nothing(req: func.HttpRequest) -> None:
        return None

    @app.route()
    def wrong(req: func.HttpRequest) -> Any:
        return 7

    return app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with FunctionsHost(http_app(), {}, {"version": "2.0"}) as host:
        yield host.address


def call(
    url: str, method: str = "GET", body: bytes | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_route_and_query_parameters(address: str) -> None:
    status, headers, body = call(f"{address}/api/jobs/j%201?full=yes")
    assert (status, body) == (200, b"j 1 yes")
    assert headers["X-Kind"] == "job"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Length"] == "7"


def test_literal_route_has_precedence_and_text_is_a_response(address: str) -> None:
    assert call(f"{address}/api/jobs/latest")[::2] == (200, b"latest")


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_catch_all_route_and_bytes(address: str, method: str) -> None:
    status, headers, body = call(f"{address}/api/files/a/b.txt", method, b"\xff")
    assert (status, body) == (201, b"a/b.txt:\xff")
    assert headers["Content-Type"] == "application/octet-stream"


def test_only_methods_of_the_route_are_allowed(address: str) -> None:
    assert call(f"{address}/api/files/a", "GET")[0] == 405
    assert call(f"{address}/api/nothing", "DELETE")[0] == 204


@pytest.mark.parametrize("name", ["broken", "wrong"])
def test_exception_is_500_without_details(address: str, name: str) -> None:
    assert call(f"{address}/api/{name}")[::2] == (500, b"")


def test_unknown_route(address: str) -> None:
    assert call(f"{address}/jobs/1")[0] == 404


@pytest.mark.parametrize(("prefix", "path"), [("", "/jobs/1"), ("v1", "/v1/jobs/1")])
def test_prefix_of_host_json(prefix: str, path: str) -> None:
    host_json = {"version": "2.0", "extensions": {"http": {"routePrefix": prefix}}}
    with FunctionsHost(http_app(), {}, host_json) as host:
        assert call(host.address + path)[0] == 200


def test_address_requires_a_start_and_a_host_starts_once() -> None:
    host = FunctionsHost(http_app(), {}, {"version": "2.0"})
    with pytest.raises(UsageError, match="not started"):
        _ = host.address
    with host, pytest.raises(UsageError, match="only once"):
        host.start()
    with pytest.raises(UsageError, match="only once"):
        host.start()


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        host = FunctionsHost(http_app(), {}, {"version": "2.0"}, port=port)
        with pytest.raises(UsageError, match=f"port {port} cannot be used"):
            host.start()
