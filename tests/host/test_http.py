from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func
import pytest

from local.host import FunctionsHost, Keys, SettingsError, UsageError

BODY_LIMIT = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1000"}
MIB = 1024**2


def http_app() -> func.FunctionApp:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

    @app.route(route="jobs/{id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
    def job(req: func.HttpRequest) -> func.HttpResponse:
        seen = {"url": req.url, "route": dict(req.route_params), "query": dict(req.params)}
        return func.HttpResponse(json.dumps(seen), headers={"X-Kind": "job"})

    @app.route(route="jobs/latest", methods=["GET"])
    async def latest(req: func.HttpRequest) -> str:
        return "latest"

    @app.route(route="jobs/latest", methods=["DELETE"], auth_level=func.AuthLevel.ADMIN)
    def forget(req: func.HttpRequest) -> str:
        return "forgotten"

    @app.route(route="files/{*rest}", methods=["PUT", "POST"])
    def files(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        body = req.route_params["rest"].encode() + b":" + req.get_body()
        return func.HttpResponse(body, status_code=201, mimetype="application/octet-stream")

    @app.route()
    def headers(req: func.HttpRequest) -> func.HttpResponse:
        seen = {name.lower(): value for name, value in req.headers.items()}
        return func.HttpResponse(json.dumps({"headers": seen, "length": len(req.get_body())}))

    @app.route()
    def zipped(req: func.HttpRequest) -> func.HttpResponse:
        own = {"Content-Encoding": "gzip", "ETag": '"1"', "Content-Range": "bytes 0-1/2"}
        return func.HttpResponse(gzip.compress(b"page"), status_code=206, headers=own)

    @app.route()
    def broken(req: func.HttpRequest) -> str:
        raise ValueError("do not show this")

    @app.route()
    def nothing(req: func.HttpRequest) -> None:
        return None

    @app.route()
    async def leave(req: func.HttpRequest) -> str:
        raise SystemExit(1)

    @app.route()
    def wrong(req: func.HttpRequest) -> Any:
        return 7

    return app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A host that needs no keys."""
    with FunctionsHost(http_app(), {}, {"version": "2.0"}) as host:
        yield host.address


@pytest.fixture(scope="module")
def locked() -> Iterator[FunctionsHost]:
    """A host that needs keys."""
    keys = Keys(functions={"latest": "of-latest"})
    with FunctionsHost(http_app(), BODY_LIMIT, {"version": "2.0"}, keys=keys) as host:
        yield host


def call(
    address: str,
    path: str,
    method: str = "GET",
    body: bytes | Iterator[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a path as it is."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def connect(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10)


def test_route_and_query_parameters(address: str) -> None:
    status, headers, body = call(address, "/api/jobs/j%201?full=yes&a=1&a=2&empty=&none")
    assert status == 200
    assert json.loads(body) == {
        "url": f"{address}/api/jobs/j%201?full=yes&a=1&a=2&empty=&none",
        "route": {"id": "j 1"},
        "query": {"full": "yes", "a": "1,2"},
    }
    assert headers["X-Kind"] == "job"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Date"]
    assert headers["Server"]
    assert headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in headers


@pytest.mark.parametrize(
    ("path", "seen", "value"),
    [
        ("/API/Jobs/J1/", "/API/Jobs/J1/", "J1"),
        ("/api/jobs/a%2Fb", "/api/jobs/a%2Fb", "a%2Fb"),
        ("/api/other/../jobs/1", "/api/jobs/1", "1"),
        ("/api/other/%2e%2e/jobs/1", "/api/jobs/1", "1"),
        ("/api/jobs/a%0Ab", "/api/jobs/a%0Ab", "a\nb"),
    ],
)
def test_path(address: str, path: str, seen: str, value: str) -> None:
    status, _, body = call(address, path)
    assert status == 200
    assert json.loads(body)["url"] == address + seen
    assert json.loads(body)["route"] == {"id": value}


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        (404, "POST", "/api/jobs/1"),
        (404, "HEAD", "/api/jobs/1"),
        (404, "GET", "/api/files/a"),
        (404, "GET", "/jobs/1"),
        (404, "GET", "/api/jobs/1/more"),
        (404, "GET", "/api/other%0A"),
        (400, "GET", "/api/jobs/%00"),
        (414, "GET", "/api/jobs/" + "a" * 20_000),
    ],
)
def test_errors_have_no_body(address: str, status: int, method: str, path: str) -> None:
    got, headers, body = call(address, path, method)
    assert (got, body) == (status, b"")
    assert "Content-Type" not in headers
    assert "Allow" not in headers


def test_page_of_the_host(address: str) -> None:
    status, headers, body = call(address, "/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert b"latest" in body


def test_http_1_0(address: str) -> None:
    with connect(address) as connection:
        connection.sendall(b"GET /api/jobs/latest HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.endswith(b"\r\n\r\nlatest")


def test_literal_route_has_precedence_and_text_is_a_response(address: str) -> None:
    assert call(address, "/api/jobs/latest")[::2] == (200, b"latest")
    assert call(address, "/api/jobs/LATEST", "DELETE")[::2] == (200, b"forgotten")


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_catch_all_route_and_bytes(address: str, method: str) -> None:
    status, headers, body = call(address, "/api/files/a/B.txt", method, b"\xff")
    assert (status, body) == (201, b"a/B.txt:\xff")
    assert headers["Content-Type"] == "application/octet-stream"


def test_route_without_methods(address: str) -> None:
    assert call(address, "/api/nothing", "DELETE")[0] == 204
    assert call(address, "/api/nothing", "HEAD")[0] == 204


@pytest.mark.parametrize("name", ["broken", "wrong"])
def test_exception_is_500_without_details(address: str, name: str) -> None:
    assert call(address, f"/api/{name}")[::2] == (500, b"")


def test_wrong_result_is_logged(address: str, caplog: pytest.LogCaptureFixture) -> None:
    assert call(address, "/api/wrong")[0] == 500
    assert "function 'wrong': an HTTP function cannot return int; return str" in caplog.text


def test_exit_in_a_function(address: str) -> None:
    assert call(address, "/api/leave")[::2] == (500, b"")
    assert call(address, "/api/jobs/1")[0] == 200


@pytest.mark.parametrize(("prefix", "path"), [("", "/jobs/1"), ("v1", "/V1/jobs/1")])
def test_prefix_of_host_json(prefix: str, path: str) -> None:
    host_json = {"version": "2.0", "extensions": {"http": {"routePrefix": prefix}}}
    with FunctionsHost(http_app(), {}, host_json) as host:
        assert call(host.address, path)[0] == 200
    setting = {"AzureFunctionsJobHost__extensions__http__routePrefix": prefix}
    with FunctionsHost(http_app(), setting, {"version": "2.0"}) as host:
        assert call(host.address, path)[0] == 200


class TestBody:
    def test_chunked_body_is_dropped(self, address: str) -> None:
        _, _, body = call(address, "/api/headers", "POST", iter([b"abc"]))
        seen = json.loads(body)
        assert seen["length"] == 0
        assert seen["headers"]["transfer-encoding"] == "chunked"

    def test_encoded_body_is_not_decoded(self, address: str) -> None:
        sent = gzip.compress(b"abc")
        headers = {"Content-Encoding": "gzip", "Range": "bytes=0-1", "If-None-Match": '"1"'}
        seen = json.loads(call(address, "/api/headers", "POST", sent, headers)[2])
        assert seen["length"] == len(sent)
        assert seen["headers"].items() >= {k.lower(): v for k, v in headers.items()}.items()

    def test_encoded_answer_is_not_changed(self, address: str) -> None:
        status, headers, body = call(address, "/api/zipped", headers={"If-None-Match": '"1"'})
        assert (status, gzip.decompress(body)) == (206, b"page")
        assert headers["ETag"] == '"1"'
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Content-Range"] == "bytes 0-1/2"

    def test_client_that_waits_to_send(self, address: str) -> None:
        with connect(address) as connection:
            connection.sendall(
                b"POST /api/files/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                b"Connection: close\r\nExpect: 100-continue\r\n\r\n"
            )
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"abc")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"a:abc" in answer

    def test_limit(self, address: str) -> None:
        _, _, body = call(address, "/api/headers", "POST", bytes(100 * MIB))
        assert json.loads(body)["length"] == 100 * MIB
        length = {"Content-Length": str(100 * MIB + 1)}
        assert call(address, "/api/headers", "POST", headers=length)[::2] == (500, b"")

    def test_limit_of_the_setting(self, locked: FunctionsHost) -> None:
        def send(length: int) -> int:
            path = locked.link("/api/headers").removeprefix(locked.address)
            return call(locked.address, path, "POST", bytes(length))[0]

        assert [send(1000), send(1001)] == [200, 500]

    def test_invalid_setting(self) -> None:
        settings = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "100 MB"}
        with pytest.raises(SettingsError, match="FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"):
            FunctionsHost(http_app(), settings, {"version": "2.0"})


class TestKeys:
    def statuses(self, host: FunctionsHost, path: str, method: str = "GET") -> list[int]:
        """With no key, a wrong one, the function's, the host's, the system's, and the master."""
        assert host.keys
        keys = ("", "wrong", "of-latest", host.keys.host, host.keys.system, host.keys.master)
        by_header = [
            call(host.address, path, method, headers={"x-functions-key": key}) for key in keys
        ]
        by_query = [call(host.address, f"{path}?code={key}", method) for key in keys]
        assert not any(body for status, _, body in by_header + by_query if status > 400)
        statuses = [status for status, _, _ in by_header]
        assert statuses == [status for status, _, _ in by_query]
        return statuses

    def test_levels(self, locked: FunctionsHost) -> None:
        assert self.statuses(locked, "/api/jobs/1") == [200] * 6
        assert self.statuses(locked, "/api/jobs/latest") == [401, 401, 200, 200, 403, 200]
        assert self.statuses(locked, "/API/Nothing/") == [401, 401, 401, 204, 403, 204]
        assert self.statuses(locked, "/api/jobs/latest", "DELETE") == [
            *(401, 401, 401, 403, 403, 200)
        ]
        assert self.statuses(locked, "/api/unknown") == [404] * 6

    def test_the_header_precedes_the_parameter(self, locked: FunctionsHost) -> None:
        path = locked.link("/api/nothing").removeprefix(locked.address)
        assert call(locked.address, path)[0] == 204
        assert call(locked.address, path, headers={"x-functions-key": "wrong"})[0] == 401

    def test_the_body_is_not_read_without_a_key(self, locked: FunctionsHost) -> None:
        assert call(locked.address, "/api/headers", "POST", bytes(1001))[0] == 401

    def test_link(self, address: str) -> None:
        with FunctionsHost(http_app(), {}, {}, keys=Keys(host="a+b=")) as host:
            assert host.link("/api/nothing") == f"{host.address}/api/nothing?code=a%2Bb%3D"
        with FunctionsHost(http_app(), {}, {}) as host:
            assert host.link("/api/nothing") == f"{host.address}/api/nothing"

    def test_no_key_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        keys = Keys()
        with FunctionsHost(http_app(), {}, {}, keys=keys) as host:
            for path in ("nothing", "broken", "other"):
                call(host.address, f"/api/{path}?code={keys.host}")
            with connect(host.address) as connection:
                connection.sendall(f"GET /\u0663?code={keys.host} HTTP/1.1\r\n\r\n".encode())
                assert b" 400 " in connection.recv(1000)
        assert "Executed 'Functions.broken'" in caplog.text
        for key in (keys.host, keys.master, keys.system):
            assert key not in caplog.text


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
