"""Certificates of one bench: an authority that lives as long as it does, and what it signs."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.bench.options import BenchError
from e2e.bench.packages import require_program

_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_VALID_DAYS = "30"


class Authority:
    """A certificate authority in a directory. Elliptic curves, since an RSA key costs a tenth of a second."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._openssl = require_program("openssl")
        self._config = directory / "openssl.cnf"
        self._config.write_text(_CONFIG)
        self.certificate = directory / "ca.crt"
        self._key = directory / "ca.key"
        self._request("ca", "/CN=voicefleet bench", self._key, self.certificate, [])

    def issue(self, name: str, subject: str, alternative_names: Sequence[str] = ()) -> tuple[Path, Path]:
        """Sign a certificate; return the paths of certificate and key."""
        certificate, key = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        extra = ["-CA", str(self.certificate), "-CAkey", str(self._key)]
        if alternative_names:
            extra += ["-addext", f"subjectAltName={','.join(alternative_names)}"]
        self._request("leaf", subject, key, certificate, extra)
        return certificate, key

    def make_signing_key(self, name: str) -> Path:
        """Make a bare private key, for signing ServiceAccount tokens."""
        path = self._directory / f"{name}.key"
        self._run("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", str(path))
        return path

    def _request(self, section: str, subject: str, key: Path, certificate: Path, extra: list[str]) -> None:
        arguments = [
            "req",
            "-x509",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ]
        arguments += [
            "-config",
            str(self._config),
            "-extensions",
            section,
            "-days",
            _VALID_DAYS,
            "-subj",
            subject,
        ]
        self._run(*arguments, "-keyout", str(key), "-out", str(certificate), *extra)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._openssl), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
