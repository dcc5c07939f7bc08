"""The emulator's certificate authority (CA) and the TLS certificate of each start."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOG = logging.getLogger(__name__)

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_CA_LIFETIME = timedelta(days=3650)
#: Apple's clients accept at most 398 days (support.apple.com: "About upcoming limits on trusted
#: certificates").
_SERVER_LIFETIME = timedelta(days=397)
#: For clients whose clock is behind.
_LEEWAY = timedelta(hours=1)


class Tls:
    """A server certificate for the host name and this machine, signed by a CA that clients trust.

    The server certificate is new at each start. With ``folder`` the CA is kept there, in ``ca.pem``
    and ``ca-key.pem``; otherwise it is new, too, in a temporary folder that the stop deletes.
    """

    def __init__(self, host_name: str, folder: Path | None = None) -> None:
        self._names = tuple(dict.fromkeys((host_name, *_LOOPBACK_NAMES)))
        self._kept = folder
        self._temporary: TemporaryDirectory[str] | None = None

    @property
    def ca_file(self) -> Path:
        """The CA certificate; RuntimeError if it exists only while the emulator runs."""
        if self._kept is not None:
            return self._kept / "ca.pem"
        if self._temporary is None:
            raise RuntimeError("the CA certificate exists only while the emulator runs")
        return Path(self._temporary.name) / "ca.pem"

    def open(self) -> ssl.SSLContext:
        """Create what does not exist; ValueError or OSError if the files of the CA are unusable."""
        if self._kept is None:
            self._temporary = TemporaryDirectory(prefix="hub-emulator-")
        authority = Authority.open(self.ca_file, datetime.now(UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The minimum of hubs (learn: "Transport Layer Security (TLS) support in IoT Hub").
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with TemporaryDirectory(prefix="hub-emulator-") as folder:
            server_file = Path(folder) / "server.pem"
            _write_private(server_file, authority.issue(self._names, datetime.now(UTC)))
            context.load_cert_chain(server_file)
        return context

    def close(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


class Authority:
    """A CA with its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def open(cls, file: Path, now: datetime) -> Self:
        """Read the CA of a file, whose key is in a file beside it; create it if it is missing.

        Raises
        ------
        ValueError
            A file is damaged, the certificate is not that of a CA, or the key is not its key.
        OSError
            A file cannot be read or written.
        """
        key_file = file.with_name("ca-key.pem")
        if file.exists():
            authority = cls._read(file, key_file)
            expiry = authority._certificate.not_valid_after_utc
            if now < expiry:
                return authority
            LOG.warning(
                "%s expired on %s: a new CA replaces it, which clients must trust again",
                file,
                f"{expiry:%Y-%m-%d}",
            )
        authority = cls.create(now)
        _write_private(key_file, _key_pem(authority._key))
        file.write_bytes(authority._certificate.public_bytes(Encoding.PEM))
        return authority

    @classmethod
    def create(cls, now: datetime) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        # Trust stores look CAs up by name: another CA of an emulator must have another one.
        name = _name(f"IoT Hub emulator CA {secrets.token_hex(4)}")
        certificate = (
            _builder(name, name, key.public_key(), now, now + _CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    def issue(self, names: Sequence[str], now: datetime) -> bytes:
        """Issue a server certificate; return it as PEM, together with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate
        expiry = min(now + _SERVER_LIFETIME, issuer.not_valid_after_utc)
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        server_auth = [ExtendedKeyUsageOID.SERVER_AUTH]
        certificate = (
            _builder(_name("IoT Hub emulator"), issuer.subject, key.public_key(), now, expiry)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(server_auth), critical=False)
            .add_extension(
                x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM) + _key_pem(key)

    @classmethod
    def _read(cls, file: Path, key_file: Path) -> Self:
        try:
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise _unusable(file) from error
        if not constraints.value.ca:
            raise _unusable(file)
        try:
            key = load_pem_private_key(key_file.read_bytes(), password=None)
        except FileNotFoundError:
            raise ValueError(f"{key_file} is missing: delete {file} to get a new CA") from None
        except (ValueError, TypeError) as error:
            raise _foreign(key_file, file) from error
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or key.public_key() != certificate.public_key()
        ):
            raise _foreign(key_file, file)
        return cls(certificate, key)


def _unusable(file: Path) -> ValueError:
    return ValueError(f"{file} is not a CA certificate: delete it to get a new CA")


def _foreign(key_file: Path, file: Path) -> ValueError:
    return ValueError(f"{key_file} is not the EC key of {file}: delete both to get a new CA")


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    expiry: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(
        issuer, subject, key, x509.random_serial_number(), now - _LEEWAY, expiry
    )
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read, also if it existed with other permissions."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
