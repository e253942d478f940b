"""A ticket opens one thing for a while, for a browser that cannot send a header with it: a job's
events, or the pages. Pure.

It is signed with what is kept of the token that asked for it, which every instance knows and nobody
outside does; where the token is revoked, its tickets are worth nothing.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

PARAMETER = "ticket"
PAGES = "pages"
LONGEST = 256  # characters


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose token made it, until when it opens, and what proves both."""

    name: str
    until: int  # Unix seconds
    proof: bytes


def events_of(job_id: UUID) -> str:
    """What a ticket for the events of a job opens."""
    return f"events:{job_id}"


def visit_of(job_id: UUID) -> str:
    """The same for a page that shows the job: the stream that it opens ends with the ticket, since
    whoever looks at a page is let in until a certain moment."""
    return f"visit:{job_id}"


def made(name: str, kept: bytes, what: str, *, now: datetime, lifetime: timedelta) -> str:
    """A ticket that opens ``what``, by the token ``name`` of which ``kept`` is stored."""
    until = int((now + lifetime).timestamp())
    proof = urlsafe_b64encode(_proof(name, kept, what, until)).decode().rstrip("=")
    return f"{until}.{proof}.{name}"


def read(ticket: str) -> Claim | None:
    """What a ticket claims; None: it is none."""
    until, _, rest = ticket.partition(".")
    proof, _, name = rest.partition(".")
    if len(ticket) > LONGEST or not (until.isascii() and until.isdecimal()) or not name:
        return None
    try:
        return Claim(name, int(until), urlsafe_b64decode(proof + "=" * (-len(proof) % 4)))
    except ValueError:
        return None


def opens(claim: Claim, kept: bytes, what: str, *, now: datetime) -> bool:
    """Whether the claim is true and its time has not passed."""
    proof = _proof(claim.name, kept, what, claim.until)
    return hmac.compare_digest(proof, claim.proof) and now.timestamp() < claim.until


def _proof(name: str, kept: bytes, what: str, until: int) -> bytes:
    return hmac.digest(kept, f"{what}:{until}:{name}".encode(), hashlib.sha256)[:24]
