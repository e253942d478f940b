"""Whether a webhook is Replicate's: strict shapes first, then svix, under every key that we hold.

The shapes come first because the library lets malformed input escape as errors of many kinds, reads
timestamps leniently, and prefers ``svix-*`` headers over the ones that Replicate signs.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr

from shared.errors import Misconfigured

if TYPE_CHECKING:
    from svix.webhooks import Webhook

TOLERANCE = timedelta(minutes=5)  # how far a webhook's own time may lie from ours, both ways
SIGNATURES_AT_MOST = 5
HEADER_BYTES_AT_MOST = 1024
KEY_BYTES = range(24, 65)

WHERE_SECRETS_COME_FROM = (
    "must be the signing secret of the Replicate account: whsec_ and the base64 of 24 to 64 bytes, "
    "several with commas between them while rotating. `darkroom secret` fetches it"
)

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{10,12}")
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
_NEEDED = ("webhook-id", "webhook-timestamp", "webhook-signature")


def signing_secrets(listed: SecretStr) -> SecretStr:
    """For settings: secrets with commas between them, or nothing. Raises ValueError, without them."""
    text = listed.get_secret_value()
    if text and not all(is_secret(part.strip()) for part in text.split(",")):
        raise ValueError(WHERE_SECRETS_COME_FROM)
    return listed


class NotGenuine(Exception):
    """A webhook that is not to be believed; the sentence may be shown to whoever sent it."""


class Malformed(NotGenuine):
    """It does not have the shape of a signed webhook."""


class BadSignature(NotGenuine):
    """None of our keys made any of its signatures."""


class Stale(NotGenuine):
    """It was signed too long ago, or in the future: a replay, or a clock that is wrong.

    ``skew`` is how far ahead of us its time lies; negative is the past. ``claim`` is not believed.
    """

    def __init__(self, skew: timedelta, claim: "Claim") -> None:
        super().__init__("webhook-timestamp lies more than five minutes from our clock")
        self.skew = skew
        self.claim = claim


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """What a genuine webhook is called. ``id`` stays the same when it is sent again;
    ``timestamp`` (Unix seconds) is the time of this attempt; ``signatures`` are those of version 1
    that came, whichever of them fits."""

    id: str
    timestamp: int
    signatures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What the headers claim, in good shape and in time, but not believed yet."""

    id: str
    timestamp: str
    signatures: tuple[str, ...]


def read_claim(headers: Iterable[tuple[str, str]], *, now: datetime) -> Claim:
    """Read what ``headers`` (name and value, in any case, as often as they came) claim.

    Cheap, and needs no body. Raises Malformed or Stale.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if key in _NEEDED:
            if key in found:
                raise Malformed(f"{key} comes twice")
            if len(value) > HEADER_BYTES_AT_MOST:
                raise Malformed(f"{key} is longer than {HEADER_BYTES_AT_MOST} bytes")
            found[key] = value
        elif key.startswith("svix-"):
            raise Malformed("svix-* headers are not Replicate's")
    for key in _NEEDED:
        if key not in found:
            raise Malformed(f"{key} is missing")
    webhook_id, timestamp, listed = (found[key] for key in _NEEDED)
    if not _ID.fullmatch(webhook_id):
        raise Malformed("webhook-id has characters that no id has, or more than 128")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Malformed("webhook-timestamp is not a whole number of Unix seconds")
    items = listed.split(" ")
    if len(items) > SIGNATURES_AT_MOST:
        raise Malformed(f"webhook-signature lists more than {SIGNATURES_AT_MOST} signatures")
    # Of the list only what reads as a v1 signature counts: another version, or rubbish, beside a
    # good one must not hide it.
    signatures = tuple(item for item in items if _SIGNATURE.fullmatch(item))
    if not signatures:
        raise Malformed("webhook-signature lists no v1 signature")
    claim = Claim(webhook_id, timestamp, signatures)
    skew = timedelta(seconds=int(timestamp) - now.timestamp())
    if abs(skew) > TOLERANCE:
        raise Stale(skew, claim)
    return claim


class Secrets:
    """Every signing key that is valid now: one, or two while rotating."""

    def __init__(self, listed: str) -> None:
        """``listed`` has commas between the secrets. Raises Misconfigured, never with a value."""
        from svix.webhooks import Webhook  # 0.3 s and 30 MiB that only a verifier pays

        secrets = [part.strip() for part in listed.split(",")]
        if not all(is_secret(secret) for secret in secrets):
            raise Misconfigured(WHERE_SECRETS_COME_FROM)
        self._verifiers = tuple(Webhook(secret) for secret in secrets)

    def __len__(self) -> int:
        return len(self._verifiers)

    def verify(
        self, headers: Iterable[tuple[str, str]], body: bytes, *, now: datetime
    ) -> VerifiedWebhook:
        """Believe a webhook, or raise Malformed, Stale or BadSignature.

        ``body`` is what was received, byte for byte. The library asks the machine's clock on its
        own as well, so ``now`` can only narrow what it accepts.
        """
        return self.believe(read_claim(headers, now=now), body)

    def believe(self, claim: Claim, body: bytes) -> VerifiedWebhook:
        """Hold ``claim`` against ``body`` under every key. Raises Malformed or BadSignature."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise Malformed("the body is not UTF-8") from None
        headers = {
            "webhook-id": claim.id,
            "webhook-timestamp": claim.timestamp,
            "webhook-signature": " ".join(claim.signatures),
        }
        genuine = False
        for verifier in self._verifiers:  # every key, so that time does not tell which one fits
            genuine |= _accepts(verifier, text, headers)
        if not genuine:
            raise BadSignature("no signature of webhook-signature fits the body")
        return VerifiedWebhook(claim.id, int(claim.timestamp), claim.signatures)

    def made(self, claim: Claim, body: bytes) -> bool:
        """Whether one of our keys made ``claim``, whatever the time is here. Nothing is believed
        for that: it may be a replay."""
        try:
            text = body.decode()
            at = datetime.fromtimestamp(int(claim.timestamp), UTC)
        except (UnicodeDecodeError, ValueError, OverflowError, OSError):
            return False
        genuine = False
        for verifier in self._verifiers:
            mine = verifier.sign(claim.id, at, text)
            for signature in claim.signatures:
                genuine |= hmac.compare_digest(mine, signature)
        return genuine


def is_secret(text: str) -> bool:
    """Whether ``text`` has the shape of a signing secret."""
    if not text.startswith("whsec_"):
        return False
    encoded = text.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return False
    return len(key) in KEY_BYTES


def new_secret() -> str:
    """A signing secret that nobody has had before."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def sign(secret: str, *, webhook_id: str, timestamp: datetime, body: bytes) -> str:
    """The ``webhook-signature`` under ``secret``, as Replicate makes it. ``timestamp`` is aware;
    ``body`` is UTF-8."""
    from svix.webhooks import Webhook

    return Webhook(secret).sign(webhook_id, timestamp.astimezone(UTC), body.decode())


def _accepts(verifier: "Webhook", text: str, headers: dict[str, str]) -> bool:
    try:
        verifier.verify(text, headers)  # what it returns means nothing: it raises, or all is well
    except Exception:  # noqa: BLE001 - whatever the library raises, it does not vouch for this one
        return False
    return True
