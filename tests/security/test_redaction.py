"""Keys and signatures are redacted in messages of hubs and libraries, in every encoding."""

from __future__ import annotations

import base64
import random
import re
import time
import traceback
from collections.abc import Callable, Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.redaction import _redact, redact, redact_error, redact_id
from shared.text import clean


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            "no access to https://a/c?sv=1&sig=c2ln%3D&se=2",
            "no access to https://a/c?sv=1&sig=REDACTED&se=2",
        ),
        (
            "SharedAccessSignature sr=h&sig=c2ln&se=1",
            "SharedAccessSignature sr=h&sig=REDACTED&se=1",
        ),
        ("HostName=h;SharedAccessKey=c2ln=;X=1", "HostName=h;SharedAccessKey=REDACTED;X=1"),
        ("SharedAccessKeyName=service;X=1", "SharedAccessKeyName=service;X=1"),
        ("AccountName=a;accountkey=c2ln==", "AccountName=a;accountkey=REDACTED"),
        (
            "?url=https%3A%2F%2Fa%2Fc%3Fsv%3D1%26sig%3Dc2ln%253D",
            "?url=https%3A%2F%2Fa%2Fc%3Fsv%3D1%26sig%3DREDACTED",
        ),
        ("?sig%25253Dc2ln%252526se", "?sig%25253DREDACTED%252526se"),
        (r"?sig\u003dc2ln\u0026se", r"?sig\u003dREDACTED\u0026se"),
        ('{"SharedAccessKey": "c2ln", "x": 1}', '{"SharedAccessKey": "REDACTED", "x": 1}'),
        (r"{\"primaryKey\":\"a\\\"b\",\"x\":1}", r"{\"primaryKey\":\"REDACTED\",\"x\":1}"),
        ('{"primaryKey":"cut o', '{"primaryKey":"REDACTED'),
        ('{"primaryKey":null,"secondaryKey":12}', '{"primaryKey":null,"secondaryKey":REDACTED}'),
        ('{"primaryKey":["a","b"],"x":1}', '{"primaryKey":REDACTED,"x":1}'),
        ("<primaryKey>a</primaryKey>", "<primaryKey>REDACTED</primaryKey>"),
        ('<add key="password" value="a"/>', '<add key="password" value="REDACTED"/>'),
        ("https://app/api/imports?code=a&x=1", "https://app/api/imports?code=REDACTED&x=1"),
        ("x-functions-key: a", "x-functions-key: REDACTED"),
        ("aeg-sas-key: a", "aeg-sas-key: REDACTED"),
        ("deviceKey=a", "deviceKey=REDACTED"),
        ('{"access_token":"a"}', '{"access_token":"REDACTED"}'),
        ("Authorization: Basic a", "Authorization: Basic REDACTED"),
        ("{'Authorization': 'Bearer a'}", "{'Authorization': 'Bearer REDACTED'}"),
        ("sent Bearer aB1", "sent Bearer REDACTED"),
        ('Bearer realm="a"', 'Bearer realm="a"'),
        ("a Bearer token is missing", "a Bearer token is missing"),
        ("https://user:a@host/b", "https://user:REDACTED@host/b"),
        ("https://host:443/b@c", "https://host:443/b@c"),
        ("primaryKey (aB1)", "primaryKey (REDACTED)"),
        ("primaryKey (required)", "primaryKey (required)"),
        ('primaryKey "a"', 'primaryKey "REDACTED"'),
        ('{"code":"aB1xY9"}', '{"code":"REDACTED"}'),
        ('{"code":"DeviceNotFound"}', '{"code":"DeviceNotFound"}'),
        (
            "<primaryKey><![CDATA[a<b]]></primaryKey>",
            "<primaryKey><![CDATA[REDACTED]]></primaryKey>",
        ),
        ('<entry key="password">a</entry>', '<entry key="password">REDACTED</entry>'),
        ("sig&equals;a&plus;b&sol;c&semi;", "sig&equals;REDACTED&semi;"),
        ("sig\uff1da&amp;se", "sig\uff1dREDACTED&amp;se"),
        ("primary\u200bKey=a\u00adb;c", "primary\u200bKey=REDACTED;c"),
        (r"primary\u200bKey\U0000003da", r"primary\u200bKey\U0000003dREDACTED"),
        ("sig%E2%80%8B%EF%BC%9Da", "sig%E2%80%8B%EF%BC%9DREDACTED"),
        ("sig=aB1 cd ef==&se=1", "sig=REDACTED&se=1"),
        ("sig=aB1 cd ef&se=1", "sig=REDACTED&se=1"),
        ("sig=aB1 is wrong", "sig=REDACTED is wrong"),
        ("SharedAccessKey=aB1x\n9Zk+Q\n", "SharedAccessKey=REDACTED\n"),
        ("(sig=a). Upload it again", "(sig=REDACTED). Upload it again"),
        (
            "-----BEGIN PRIVATE KEY-----\na\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----REDACTED-----END PRIVATE KEY-----",
        ),
        ("/devices/Xk3vT9pQ2mB7nZ4cR8wY/keys", "/devices/REDACTED/keys"),
        ("primaryKey: must be base64", "primaryKey: must be base64"),
        ("a design=good assignment", "a design=good assignment"),
    ],
)
def test_redaction(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted


#: Encodings of single characters.
ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "percent": lambda text: _escaped(text, "%{:02X}"),
    "percent in lower case": lambda text: _escaped(text, "%{:02x}"),
    "percent twice": lambda text: _escaped(text, "%25{:02X}"),
    "percent four times": lambda text: _escaped(text, "%252525{:02X}"),
    "percent of all": lambda text: "".join(f"%{ord(sign):02X}" for sign in text),
    "JSON": lambda text: _escaped(text, "\\u{:04x}"),
    "JSON twice": lambda text: _escaped(text, "\\\\u{:04X}"),
    "JSON of all": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
    "slashes": lambda text: text.replace("/", "\\/"),
    "slashes twice": lambda text: text.replace("/", "\\\\\\/"),
    "JSON of percent": lambda text: _escaped(text, "\\u0025{:02X}"),
    "percent of JSON": lambda text: _escaped(text, "%5Cu{:04x}"),
    "entities": lambda text: _escaped(text, "&#{:d};"),
    "hexadecimal entities": lambda text: _escaped(text, "&#x{:X};"),
}


def _escaped(text: str, form: str) -> str:
    return "".join(sign if sign.isalnum() else form.format(ord(sign)) for sign in text)


#: Properties whose values are always secret.
MEMBERS = [
    '"primaryKey":"{}"',
    '"secondaryKey" : "{}",',
    "'primaryKey':'{}'",
    r"{{\"symmetricKey\":{{\"primaryKey\":\"{}\",",
    r"\\\"secondaryKey\\\":\\\"{}\\\"",
    "AccountName=a;AccountKey={};EndpointSuffix=x",
    "SharedAccessKeyName=a;SharedAccessKey={}",
    "BlobEndpoint=x;SharedAccessSignature={};X=1",
    "https://a.blob.core.windows.net/c?sv=1&sig={}&se=2",
    "https%3A%2F%2Fa%2Fc%3Fsv%3D1%26sig%3D{}%26se",
    "https%253A%252F%252Fa%252Fc%253Fsig%253D{}%2526se",
    r"https://a/c?sv=1\u0026sig\u003d{}\u0026se=2",
    "https://a/c?sv=1&amp;sig={}&amp;se=2",
    "<primaryKey>{}</primaryKey>",
    "&lt;SecondaryKey&gt;{}&lt;/SecondaryKey&gt;",
    '<add name="password" value="{}"/>',
    '{{"name":"clientSecret","value":"{}"}}',
    "%22primaryKey%22%3A%22{}%22",
    r"\u0022primaryKey\u0022:\u0022{}\u0022",
    "password={}",
    "pwd = {}",
]

#: Text around a key that has no name.
BARE = [
    "{}",
    "'{}'",
    '"{}"',
    "({})",
    "[{},x]",
    "key {} is wrong",
    ">{}<",
    "a={} b",
    "SharedKey a:{}",
]

keys = st.binary(min_size=16, max_size=64).flatmap(
    lambda key: st.sampled_from([base64.b64encode(key), base64.urlsafe_b64encode(key)])
)


@st.composite
def padded(draw: st.DrawFn) -> str:
    key = draw(keys).decode()
    assume(key.endswith("="))
    return key


@st.composite
def unpadded(draw: st.DrawFn) -> str:
    """Random keys: Hypothesis prefers regular ones."""
    data = random.Random(draw(st.integers(0, 1 << 64))).randbytes(draw(st.integers(16, 64)))
    encode = draw(st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
    key = encode(data).decode().rstrip("=")
    # The docstring of the module states how often a key is not recognized.
    assume(redact(key) == "REDACTED")
    return key


@st.composite
def secrets(draw: st.DrawFn) -> tuple[str, str, Callable[[str], str]]:
    """A text that contains a key, the key, and its encoding."""
    encode = ENCODINGS[draw(st.sampled_from([*ENCODINGS]))]
    if draw(st.booleans()):
        key = draw(st.one_of(padded(), unpadded()))
        shape = draw(st.sampled_from(BARE))
    else:
        key = draw(st.one_of(padded(), unpadded(), st.text("qwz567", min_size=12)))
        shape = draw(st.sampled_from(MEMBERS))
    return shape.format(encode(key)), key, encode


#: White space between groups of a key, in several encodings.
SPACES = [
    "\n",
    "\r\n",
    " ",
    "\n    ",
    r"\n",
    r"\r\n",
    r"\\n",
    "%0D%0A",
    "&#10;",
    "&NewLine;",
    "%20",
]


def groups(key: str) -> Iterator[str]:
    """Variants of a key that is split by white space."""
    for space in SPACES:
        for size in (8, 12, 16, 20, 32):
            yield space.join(key[at : at + size] for at in range(0, len(key), size))
        yield f"{key[:22]}{space}{key[22:]}"
        yield key.replace("+", " ")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("size", [32, 64])
def test_a_key_split_by_white_space(encode: Callable[[bytes], bytes], size: int) -> None:
    """Exceptions are listed in the docstring of the module; none applies here."""
    rng = random.Random(size)
    for _ in range(10):
        key = encode(rng.randbytes(size)).decode()
        pieces = {key[at : at + 12] for at in range(len(key) - 13)}
        for cut in groups(key):
            for text in (cut, f"SharedAccessKey={cut}", f"primaryKey: {cut};", f"it has '{cut}'"):
                # Unchanged, and on one line.
                for redacted in (redact(f"a {text} b"), clean(f"a {text} b", 10_000)):
                    plain = re.sub(r"\s|\\+[nr]|%0D|%0A|%20|&#10;|&NewLine;", "", redacted)
                    assert not [piece for piece in pieces if piece in plain], (text, redacted)
                    assert redact(redacted) == redacted
                    assert redacted.startswith("a ")
                    assert redacted.endswith(" b")


words = st.text(max_size=60) | st.sampled_from(
    ["Invalid device format in line: ", "Error converting value \"X\". Path 'a.b'", "ErrorCode:X;"]
)


@given(
    st.lists(
        words
        | secrets().map(lambda secret: secret[0])
        | padded().flatmap(lambda key: st.sampled_from([*groups(key)])),
        max_size=4,
    ).map(" ".join)
)
def test_redaction_is_idempotent(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "piece",
    [
        *("A", "Ab", "aB1", "1", "=", "/", "+-", "AtAsBy", "aaaBBBB", "\\", "%", "%25", "&#0", " "),
        *('\\\\"', "\\u002", "%5Cu0025", "primaryKey", "primaryKey ", 'primaryKey":"', "sig=\\"),
        *("aB1 ", "aB1x\n", "aB1/", "REDACTED aB1x ", "://a:", "primaryKey (", "-----BEGIN A-----"),
        *("sig=a bc ", "Bearer ", "\u200b", "\uff1d", "%E2", "&plus;", '"code":"a'),
        *("<primaryKey ", "primaryKey\\", 'primaryKey" , "', "primaryKey=[", "&sig=", "\ud83d"),
    ],
)
def test_redaction_takes_linear_time(piece: str) -> None:
    """100 KB take about 0.05 s; quadratic time would be 10 s."""
    text = piece * (100_000 // len(piece))
    begun = time.process_time()
    for variant in (text, f"{text}1a", f'primaryKey="{text}', f"primaryKey={text}", f"sig{text}"):
        redact(variant)
    assert time.process_time() - begun < 5


def test_an_exception_keeps_its_type() -> None:
    key = base64.b64encode(b"made-up key of an exception").decode()
    try:
        try:
            raise KeyError(key)
        except KeyError as cause:
            cause.add_note(key)
            raise ExceptionGroup(f"sig={key}", [OSError(5, key)]) from cause
    except ExceptionGroup as error:
        redacted = redact_error(error)
    text = "".join(traceback.format_exception(redacted))
    assert key not in text
    assert text.count("REDACTED") == 3
    assert "ExceptionGroup" in text
    assert "test_redaction.py" in text
    assert isinstance(redact_error(OSError(key)), OSError)
    assert redact_error(harmless := OSError("no route to host")) is harmless


@given(st.text("aAbc019._-", max_size=60) | st.text("abcdefghijklmnopqrstuvwxyz-", max_size=60))
def test_an_id_without_special_characters_holds_no_secret(text: str) -> None:
    """It is returned as it is, which is what redaction would do with it."""
    assert redact_id(text) == _redact(text, guess=False) == text


@pytest.mark.parametrize(
    "text", ["-----BEGIN-KEY-----abc", "primaryKey-abc", "sig_abc", "Bearer-a"]
)
def test_an_id_that_contains_a_name_of_a_secret(text: str) -> None:
    assert redact_id(text) == _redact(text, guess=False) == text


def test_a_random_looking_id_is_kept() -> None:
    assert redact_id("Xk3vT9pQ2mB7nZ4cR8wY") == "Xk3vT9pQ2mB7nZ4cR8wY"
    assert redact_id(base64.b64encode(b"made-up key of a device, 32 byte").decode()) == "REDACTED"
    assert redact_id('{"primaryKey":"a"}') == '{"primaryKey":"REDACTED"}'
