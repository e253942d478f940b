"""Server-sent events as they come over the wire, and what they tell of one job. No input, no output:
bytes in, standings out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from darkroom_client import shapes
from darkroom_client.errors import Unanswered
from darkroom_client.shapes import Standing

LONGEST_EVENT = 8 * 1024 * 1024  # a job of ten thousand slots has two


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``id`` names the state that it tells."""

    name: str
    data: str
    id: str


class Events:
    """Cuts a stream of bytes, wherever it was cut before, into events."""

    def __init__(self) -> None:
        self._line = b""
        self._after_cr = False
        self._data: list[str] = []
        self._size = 0
        self._name = ""
        self.last_id = ""  # of the last event that came whole
        self._id = ""
        self.come_again_s: float | None = None  # as the server wishes

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end in ``piece``. Raises Unanswered where one is larger than any."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        *lines, rest = (
            (self._line + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        )
        self._line = rest
        if len(rest) + self._size > LONGEST_EVENT:
            raise Unanswered("an event is larger than any of one job")
        for line in lines:
            event = self._read(line.decode("utf-8", "replace"))
            if event is not None:
                yield event

    def begin_again(self) -> None:
        """A new connection: what was half told is told anew."""
        self._line, self._after_cr = b"", False
        self._data, self._size, self._name, self._id = [], 0, "", self.last_id

    def _read(self, line: str) -> Event | None:
        if not line:
            self.last_id = self._id
            event = Event(self._name or "message", "\n".join(self._data), self.last_id)
            had = bool(self._data)
            self._data, self._size, self._name = [], 0, ""
            return event if had else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._size += len(value)
                if self._size > LONGEST_EVENT:
                    raise Unanswered("an event is larger than any of one job")
                self._data.append(value)
            case "event":
                self._name = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdecimal():
                self.come_again_s = min(int(value) / 1000, 60.0)
            case _:
                pass  # a comment keeps the line open; other fields are of later servers
        return None


class Following:
    """What a stream tells of one job, each time whole; ``over`` once it has told how it ended."""

    def __init__(self) -> None:
        self.events = Events()
        self.over = False
        self._known: Standing | None = None

    def feed(self, piece: bytes) -> Iterator[Standing]:
        """Raises Unanswered for what no server of ours says."""
        for event in self.events.feed(piece):
            if event.name not in (shapes.SNAPSHOT, shapes.CHANGE, shapes.END):
                continue
            before = self._known if event.name == shapes.CHANGE else None
            try:
                self._known = shapes.standing(json.loads(event.data), before)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise Unanswered(f"an event cannot be read: {type(error).__name__}") from error
            self.over = event.name == shapes.END
            yield self._known
            if self.over:
                return
