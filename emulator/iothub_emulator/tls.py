"""HTTPS for the emulator: a certificate authority of its own, and how clients come to trust it."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
#: Whose clients read which variable; all but Node's replace what the machine trusts otherwise.
TRUST_VARIABLES = {
    "REQUESTS_CA_BUNDLE": "Python",
    "NODE_EXTRA_CA_CERTS": "Node",
    "SSL_CERT_FILE": "Go, .NET on Linux, curl",
}


class Tls:
    """A certificate for a host name and this machine, and the file that makes clients trust it.

    Both are new each time that the emulator starts. Without a place for the file it is in a
    temporary folder, which goes when the emulator stops; a file that somebody chose stays.
    """

    def __init__(self, host_name: str, ca_file: Path | None = None) -> None:
        self._names = tuple(dict.fromkeys((host_name, *LOOPBACK_NAMES)))
        self._chosen = ca_file
        self._folder: TemporaryDirectory[str] | None = None

    @property
    def ca_file(self) -> Path:
        """Where the authority's certificate is; RuntimeError while there is none."""
        if self._chosen is not None:
            return self._chosen
        if self._folder is None:
            raise RuntimeError("the CA certificate is there while the emulator runs")
        return Path(self._folder.name) / "hub-emulator-ca.pem"

    def open(self) -> ssl.SSLContext:
        """Make the certificate and write the file."""
        if self._chosen is None:
            self._folder = TemporaryDirectory(prefix="hub-emulator-")
        authority = trustme.CA(organization_name="Hub emulator")
        authority.cert_pem.write_to_path(self.ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # What hubs accept at least (learn: "Transport Layer Security (TLS) support in IoT Hub").
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        authority.issue_cert(*self._names).configure_cert(context)
        return context

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
