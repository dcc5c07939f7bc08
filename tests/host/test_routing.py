from __future__ import annotations

import pytest

from local.host.routing import decode_path, encode_path, match, parameters


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a%20b/%C3%BC", "/a b/ü"),
        ("/a%2Fb%2f", "/a%2Fb%2f"),
        ("/a%252Fb", "/a%2Fb"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/./b", "/b"),
        ("/../../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/%FF/%", "/a/%FF/%"),
        ("/a//b/", "/a//b/"),
        ("", "/"),
    ],
)
def test_decoded_path(raw: str, path: str) -> None:
    assert decode_path(raw) == path


@pytest.mark.parametrize("raw", ["/a%00", "/\N{SNOWMAN}"])
def test_refused_path(raw: str) -> None:
    with pytest.raises(ValueError, match="invalid character"):
        decode_path(raw)


def test_encoded_path() -> None:
    assert encode_path("/a b/%2F/100%/ü:@") == "/a%20b/%2F/100%25/%C3%BC:@"


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/api/jobs/J%2F1", {"id": "J%2F1"}),
        ("/API/Jobs/j/", {"id": "j"}),
        ("/api/jobs", None),
        ("/api/jobs/", None),
        ("/api/jobs//", None),
        ("/api//jobs/1", None),
        ("/api/jobs/1/more", None),
        ("/api/jobs/1//", None),
    ],
)
def test_parameter(path: str, values: dict[str, str] | None) -> None:
    assert match("api/jobs/{id}", path) == values


@pytest.mark.parametrize(
    ("path", "values"),
    [("/files/a/B/", {"rest": "a/B/"}), ("/files", {}), ("/files/", {}), ("/file", None)],
)
def test_catch_all(path: str, values: dict[str, str] | None) -> None:
    assert match("files/{*rest}", path) == values


def test_route_of_the_root() -> None:
    assert match("", "/") == {}
    assert match("", "/a") is None


def test_query() -> None:
    assert parameters("a=1&b&c=&a=2&d=%2B+&a=") == {"a": "1,2", "d": "+ "}
    assert parameters("") == {}
