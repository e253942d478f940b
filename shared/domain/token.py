"""What opens the API: a word that only its owner has, and what it opens. Pure."""

import hashlib
import re
from base64 import urlsafe_b64encode
from enum import StrEnum

PREFIX = "dk_"
RANDOM_BYTES = 32
# The word is 43 letters of base64url behind its prefix.
SHAPE = re.compile(r"dk_[A-Za-z0-9_-]{43}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Scope(StrEnum):
    """What a token opens; each includes the former."""

    READ = "read"  # looks at jobs
    WRITE = "write"  # orders, cancels, retries
    OPERATE = "operate"  # settles what waits for a person

    def includes(self, wanted: "Scope") -> bool:
        return _ORDER.index(wanted) <= _ORDER.index(self)


_ORDER = tuple(Scope)


def word_of(random: bytes) -> str:
    """The token that is made of ``RANDOM_BYTES`` random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a token is made of {RANDOM_BYTES} bytes")
    return PREFIX + urlsafe_b64encode(random).decode().rstrip("=")


def kept(word: str) -> bytes:
    """What is kept of a token. Its bytes are random, so a plain hash is as good as a slow one."""
    return hashlib.sha256(word.encode()).digest()
