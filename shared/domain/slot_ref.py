"""The slot's name in a webhook URL: ``<job>.<ordinal>.<attempt>.<token>``."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

_SHAPE = re.compile(
    r"(?P<job>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"\.(?P<ordinal>[1-9][0-9]{0,5})\.(?P<attempt>[1-9][0-9]{0,3})\.(?P<token>[A-Za-z0-9_-]{16,64})"
)


@dataclass(frozen=True, slots=True)
class SlotRef:
    """Which purchase a piece of news speaks of. The token tells ours from invented ones."""

    job_id: UUID
    ordinal: int
    attempt: int
    token: str

    def __str__(self) -> str:
        return f"{self.job_id}.{self.ordinal}.{self.attempt}.{self.token}"


def read_slot_ref(text: str | None) -> SlotRef | None:
    """The slot that ``text`` names, or None if it names none."""
    shape = _SHAPE.fullmatch(text or "")
    if shape is None:
        return None
    return SlotRef(UUID(shape["job"]), int(shape["ordinal"]), int(shape["attempt"]), shape["token"])


def slot_ref_of_url(url: str | None) -> SlotRef | None:
    """The slot in the ``slot`` parameter of a webhook URL, or None; a URL with two names none."""
    try:
        query = parse_qs(urlsplit(url or "").query)
    except ValueError:
        return None
    named = query.get("slot", [])
    return read_slot_ref(named[0]) if len(named) == 1 else None
