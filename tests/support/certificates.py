"""Throw-away authorities, and what they sign. Nothing of it is believed by anybody but a test."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = {name}
[extensions]
basicConstraints = critical, CA:{authority}
keyUsage = critical, {usage}
subjectKeyIdentifier = hash
{names}
"""


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs names; ``signed.certificate`` is what believers are given."""

    folder: Path
    signed: Signed

    def issue(self, name: str, *names: str) -> Signed:
        """A server's certificate; ``names`` as in ``DNS:localhost`` and ``IP:127.0.0.1``."""
        extensions = (
            f"subjectAltName = {', '.join(names)}\nextendedKeyUsage = serverAuth\n"
            "authorityKeyIdentifier = keyid"
        )
        config = _CONFIG.format(
            name=name, authority="FALSE", usage="digitalSignature", names=extensions
        )
        return _make(
            self.folder,
            name,
            config,
            "-CA",
            str(self.signed.certificate),
            "-CAkey",
            str(self.signed.key),
        )


def an_authority(folder: Path, name: str) -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    config = _CONFIG.format(name=name, authority="TRUE", usage="keyCertSign, cRLSign", names="")
    return Authority(folder, _make(folder, name, config))


def _make(folder: Path, name: str, config: str, *more: str) -> Signed:
    written = folder / f"{name}.cnf"
    written.write_text(config)
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-config", str(written)),
            *("-keyout", str(made.key), "-out", str(made.certificate), *more),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return made
