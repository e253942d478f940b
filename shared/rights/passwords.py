"""Passwords as broker and database keep them, so that the word itself is in no statement and log."""

import hashlib
import hmac
from base64 import b64encode
from pathlib import Path

from shared.errors import Misconfigured

ROUNDS = 4096  # what Postgres itself takes; the passwords are machines', not people's
SHORTEST = 16


def for_postgres(password: str, *, salt: bytes) -> str:
    """The SCRAM-SHA-256 verifier; ``salt`` is 16 random bytes."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ROUNDS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def for_rabbitmq(password: str, *, salt: bytes) -> str:
    """The salted SHA-256; ``salt`` is 4 random bytes."""
    return _text(salt + hashlib.sha256(salt + password.encode()).digest())


def read_passwords(folder: Path, parties: tuple[str, ...]) -> dict[str, str]:
    """The passwords that lie in ``folder``, one file a party and named after it, as a mounted
    secret lies there. A party without a file has none here.

    Raises Misconfigured: no folder, a file of no party's name, a word that is too short or is not
    plain (Postgres would prepare other letters before it compares).
    """
    try:
        files = {file.name: file for file in folder.iterdir() if not file.name.startswith(".")}
        if strange := sorted(files.keys() - set(parties)):
            raise Misconfigured(
                f"{folder} has {', '.join(strange)}, and nobody is called so; the accounts are "
                f"{', '.join(parties)}"
            )
        found = {party: file.read_text(encoding="utf-8").strip() for party, file in files.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"no passwords can be read from {folder}: {error}") from error
    for party, password in found.items():
        if len(password) < SHORTEST or not (password.isascii() and password.isprintable()):
            raise Misconfigured(
                f"the password of {party} must be at least {SHORTEST} printable ASCII characters"
            )
    return found


def _text(data: bytes) -> str:
    return b64encode(data).decode()
