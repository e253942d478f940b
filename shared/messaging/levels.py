"""How full the queues are and who listens, by a question that costs the broker the same always."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.errors import BrokerUnavailable
from shared.messaging.link import GONE, Link, deadline
from shared.messaging.topology import Queue

ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class QueueLevel:
    """``ready`` messages wait to be delivered (what is prefetched is not among them)."""

    ready: int
    consumers: int


class QueueLevels:
    """Asks by passive declarations: live at once, where the management API is seconds behind, and
    allowed to a user who may do nothing else."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel: AbstractChannel | None = None  # held: the client keeps weak references only

    async def read(self, queues: Sequence[Queue]) -> Mapping[str, QueueLevel | None]:
        """The level of each queue; None: there is no such queue. Raises BrokerUnavailable."""
        return {queue.name: await self._level(queue.name) for queue in queues}

    async def _level(self, name: str) -> QueueLevel | None:
        try:
            async with deadline(ANSWER_WITHIN_S, "asking how full a queue is"):
                underlay = await (await self._ready()).get_underlay_channel()
                told = await underlay.queue_declare(queue=name, passive=True)
        except ChannelNotFoundEntity:
            return None  # and the channel is gone with the question
        except GONE as error:
            raise BrokerUnavailable(f"the link broke: {type(error).__name__}") from error
        return QueueLevel(told.message_count or 0, told.consumer_count or 0)

    async def _ready(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed or not self._link.is_open:
            connection = await self._link.connection()
            self._channel = await connection.channel(publisher_confirms=False)
        return self._channel
