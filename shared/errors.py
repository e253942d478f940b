"""What a part may say when it cannot finish. The consumer, and only the consumer, acts on it."""

from collections.abc import Sequence
from datetime import datetime, timedelta


class Transient(Exception):
    """Try again later: a timeout, a 429 or 5xx, a lost connection.

    ``retry_after`` is the earliest time the other side asked for, if it asked. ``expires_at`` is
    when it will be too late, if it ever is.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry_after: timedelta | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.expires_at = expires_at


class Permanent(Exception):
    """Never try again: unreadable, unknown or refused. The message is parked for an operator."""


class Flawed(Permanent):
    """An input that can never be used as it is. ``faults`` name each wrong field by its path, with
    what is wrong with it and never with its value; the text says the same in one sentence."""

    def __init__(self, sentence: str, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__(sentence)
        self.faults = tuple(faults)


class BrokerUnavailable(Transient):
    """RabbitMQ did not do what we asked within its deadline, or the link to it is gone."""


class Unroutable(Transient):
    """A message that somebody must hear came back from the broker: no queue takes it.

    Transient, because applying the topology mends it; nothing counted as published.
    """


class DatabaseUnavailable(Exception):
    """Postgres is away, or the outcome of a commit is unknown.

    Consumers pause and hold what they have: nothing is parked or dead-lettered for it.
    """


class Misconfigured(Exception):
    """A setting or a part of the installation is wrong; the sentence says how to mend it."""


class NotOurs(Exception):
    """Beside Transient or Permanent: what one message came to lies with somebody outside, so however
    many do in a row, they do not show that their consumer is broken."""
