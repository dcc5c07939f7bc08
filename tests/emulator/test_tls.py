"""HTTPS: names in the certificate, and host names that clients use."""

from __future__ import annotations

import gc
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from iothub_emulator import HubEmulator
from iothub_emulator.tls import Authority, Tls
from tests.emulator.support import DEADLINE, HubClient, error_code

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubEmulator]:
    with HubEmulator(tls=True, host_name="hub.example") as hub:
        yield hub


def port_of(hub: HubEmulator) -> int:
    return int(hub.address.split(":")[1])


def send(hub: HubEmulator, authorization: str, host: str | None = None) -> requests.Response:
    """Connect to the loopback address: the hub's name is not in DNS."""
    headers = {"Authorization": authorization} | ({"Host": host} if host else {})
    return requests.get(
        f"https://127.0.0.1:{port_of(hub)}/jobs?api-version=2021-04-12",
        headers=headers,
        verify=str(hub.ca_file),
        timeout=DEADLINE,
    )


@pytest.mark.parametrize("name", ["hub.example", "localhost", "127.0.0.1", "::1"])
def test_names_of_the_certificate(hub: HubEmulator, name: str) -> None:
    context = ssl.create_default_context(cafile=hub.ca_file)
    address = ("127.0.0.1", port_of(hub))
    with socket.create_connection(address, timeout=DEADLINE) as plain:
        context.wrap_socket(plain, server_hostname=name).close()


def test_other_names_and_untrusting_clients(hub: HubEmulator) -> None:
    address = ("127.0.0.1", port_of(hub))
    for context, name in (
        (ssl.create_default_context(cafile=hub.ca_file), "other.example"),
        (ssl.create_default_context(), "hub.example"),
    ):
        with (
            socket.create_connection(address, timeout=DEADLINE) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname=name)


def test_oldest_protocol() -> None:
    tls = Tls("127.0.0.1")
    try:
        assert tls.open().minimum_version is ssl.TLSVersion.TLSv1_2
    finally:
        tls.close()


@pytest.mark.parametrize("host", ["hub.example:{port}", "hub.example", "localhost:{port}", None])
@pytest.mark.parametrize("resource", ["hub.example:{port}", "hub.example", "HUB.example"])
def test_port_is_optional_in_both_names(hub: HubEmulator, resource: str, host: str | None) -> None:
    port = port_of(hub)
    token = HubClient(hub.connection_string()).token(resource.format(port=port))

    assert send(hub, token, host and host.format(port=port)).status_code == 200


@pytest.mark.parametrize("resource", ["hub.example:1", "other.example", "hub.example.com"])
def test_names_of_other_hubs(hub: HubEmulator, resource: str) -> None:
    token = HubClient(hub.connection_string()).token(resource)
    assert error_code(send(hub, token)) == (401, "IotHubUnauthorizedAccess")


@pytest.mark.parametrize(
    ("port", "tls", "host_name"),
    [(8081, True, "hub.example:8081"), (443, True, "hub.example"), (443, False, "hub.example:443")],
)
def test_connection_string(port: int, tls: bool, host_name: str) -> None:
    hub = HubEmulator(port=port, host_name="hub.example", tls=tls)
    parts = HubClient(hub.connection_string("service")).parts

    assert parts.pop("HostName") == host_name
    assert parts.pop("SharedAccessKeyName") == "service"
    assert parts.pop("SharedAccessKey")
    assert parts == ({} if tls else {"UseDevelopmentEmulator": "true"})
    assert hub.url == f"http{'s' if tls else ''}://{host_name}"


def test_temporary_file_is_deleted_at_the_stop() -> None:
    hub = HubEmulator(tls=True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="while the emulator runs"):
            _ = hub.ca_file
        with hub:
            token = HubClient(hub.connection_string()).token()
            assert send(hub, token).status_code == 200
            folder = hub.ca_file.parent
        assert not folder.exists()


def test_kept_authority(tmp_path: Path) -> None:
    """A client that pins the CA connects after a restart, with another host name, too."""
    with HubEmulator(tls=True, state=tmp_path) as hub:
        pinned = hub.ca_file.read_text()
        assert hub.ca_file == tmp_path / "ca.pem"
    key_file = tmp_path / "ca-key.pem"
    assert key_file.stat().st_mode & 0o777 == 0o600

    with HubEmulator(tls=True, state=tmp_path, host_name="hub.example") as hub:
        context = ssl.create_default_context(cadata=pinned)
        address = ("127.0.0.1", port_of(hub))
        with socket.create_connection(address, timeout=DEADLINE) as plain:
            context.wrap_socket(plain, server_hostname="hub.example").close()


def test_no_authority_without_tls(tmp_path: Path) -> None:
    with HubEmulator(state=tmp_path):
        assert [file.name for file in tmp_path.glob("ca*")] == []


def test_extensions_that_strict_clients_require(hub: HubEmulator) -> None:
    authority = x509.load_pem_x509_certificate(hub.ca_file.read_bytes())
    server = x509.load_pem_x509_certificate(
        ssl.get_server_certificate(("127.0.0.1", port_of(hub)), timeout=DEADLINE).encode()
    )

    server.verify_directly_issued_by(authority)
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).critical
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.not_valid_after_utc - authority.not_valid_before_utc > timedelta(days=3640)

    issuer = server.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == identifier.digest
    purposes = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=398)


@pytest.mark.parametrize(
    ("damaged", "content"),
    [
        ("ca.pem", ""),
        ("ca.pem", "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n"),
        ("ca-key.pem", ""),
        ("ca-key.pem", "of another CA"),
        ("ca-key.pem", None),
    ],
)
def test_damaged_authority(tmp_path: Path, damaged: str, content: str | None) -> None:
    folder = tmp_path / "hub"
    for each in (folder, tmp_path / "another"):
        with HubEmulator(tls=True, state=each):
            pass
    if content is None:
        (folder / damaged).unlink()
    elif content == "of another CA":
        (folder / damaged).write_bytes((tmp_path / "another" / damaged).read_bytes())
    else:
        (folder / damaged).write_text(content)

    hub = HubEmulator(tls=True, state=folder)
    with pytest.raises((ValueError, OSError), match=damaged):
        hub.start()


def test_certificate_that_is_no_authority(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    server = Authority.create(now).issue(["hub.example"], now)
    for name in ("ca.pem", "ca-key.pem"):
        (tmp_path / name).write_bytes(server)

    with pytest.raises(ValueError, match=r"ca\.pem is not a CA certificate"):
        Authority.open(tmp_path / "ca.pem", now)


def test_expired_authority_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "ca.pem"
    start = datetime(2001, 1, 1, tzinfo=UTC)
    Authority.open(file, start)
    first = file.read_bytes()
    Authority.open(file, start + timedelta(days=3649))
    assert file.read_bytes() == first

    Authority.open(file, start + timedelta(days=3651))

    assert file.read_bytes() != first
    [record] = caplog.records
    assert str(file) in record.getMessage()
    assert "2010-12-30" in record.getMessage()


def test_no_server_certificate_outlives_its_authority() -> None:
    start = datetime(2001, 1, 1, tzinfo=UTC)
    last = Authority.create(start).issue(["hub.example"], start + timedelta(days=3600))

    server = x509.load_pem_x509_certificate(last)
    assert server.not_valid_after_utc == start + timedelta(days=3650)


def test_no_file_without_tls() -> None:
    with pytest.raises(RuntimeError, match="plain HTTP"):
        _ = HubEmulator().ca_file


def test_failed_start_leaves_no_file(hub: HubEmulator) -> None:
    second = HubEmulator(port=port_of(hub), tls=True)

    with pytest.raises(OSError, match="address already in use"):
        second.start()
    with pytest.raises(RuntimeError):
        _ = second.ca_file


def test_stop_closes_idle_connections() -> None:
    """Otherwise the open sockets cause a ResourceWarning, which is an error here."""
    with requests.Session() as session:
        session.trust_env = False
        with HubEmulator(tls=True) as hub:
            session.get(f"{hub.url}/emulator/requests", verify=str(hub.ca_file), timeout=DEADLINE)
        gc.collect()


def test_command() -> None:
    code = "import sys; from iothub_emulator.cli import main; sys.exit(main(sys.argv[1:]))"
    options = "--port 0 --tls --host-name localhost --role none --no-local-auth"
    command = [sys.executable, "-c", code, *options.split(), "--issuer", "https://issuer.example/"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "AZURE_AUTHORITY_HOST=" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        client = HubClient(lines[1].rpartition(": ")[2].strip())
        [ca_file] = [line.split("=")[1].split()[0] for line in lines if "REQUESTS_CA" in line]

        def send(authorization: str) -> requests.Response:
            return requests.get(
                f"https://{client.host}/jobs",
                headers={"Authorization": authorization},
                verify=ca_file,
                timeout=DEADLINE,
            )

        claims = {
            "iss": "https://issuer.example/",
            "aud": "https://iothubs.azure.net",
            "exp": 4_000_000_000,
            "oid": "somebody",
        }
        token = jwt.encode(claims, "a secret of thirty-two bytes or more", "HS256")
        assert client.host.startswith("localhost:")
        assert error_code(send(client.token())) == (401, "IotHubUnauthorizedAccess")
        assert "Principal somebody is not authorized" in send(f"Bearer {token}").text
        process.terminate()
        assert process.wait(timeout=DEADLINE) == 0
    assert not Path(ca_file).exists()
