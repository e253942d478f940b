"""How the whole installation stands at this moment, for whoever looks after it: pure data.

The page and the command draw the same ``Overview``; ``as_data`` is it for programs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.domain.cost import Bill
from shared.domain.level import Level
from shared.domain.slot import SlotState
from shared.words import Words

# From here on something is said, as the alerts do.
LOSS_IS_NEAR_S = 1200
BUYING_IS_LATE_S = 300
SAYING_IS_LATE_S = 30


class Backlog(StrEnum):
    """What work waits for, in the order of a job's way."""

    PLAN = "plan"  # orders that were taken over HTTP, to be planned
    BUY = "buy"  # slots past their time, to be bought
    DOUBT = "doubt"  # purchases of which nobody knows whether they were made
    SILENCE = "silence"  # predictions that no webhook told the end of in time, to be asked about
    STORE = "store"  # outputs that are made, and not ours yet
    COUNT = "count"  # closed slots that their open job has not counted
    REPORT = "report"  # completed jobs without their report
    SAY = "say"  # facts in the journal that are not published


WAITING_FOR: Mapping[Backlog, Words] = {
    Backlog.PLAN: {"en": "orders to plan", "ko": "계획할 주문"},
    Backlog.BUY: {"en": "slots to buy", "ko": "구매할 항목"},
    Backlog.DOUBT: {"en": "purchases in doubt", "ko": "확인 중인 구매"},
    Backlog.SILENCE: {"en": "predictions to ask about", "ko": "직접 물어볼 예측"},
    Backlog.STORE: {"en": "outputs to store", "ko": "저장할 결과"},
    Backlog.COUNT: {"en": "slots to count", "ko": "집계할 항목"},
    Backlog.REPORT: {"en": "reports to make", "ko": "만들 보고서"},
    Backlog.SAY: {"en": "facts to publish", "ko": "발행할 사실"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """How webhooks fared lately, at most the latest 50,000 of them.

    ``taken`` were believed and could be placed, ``unplaced`` could not be told to any purchase,
    ``refused`` were not believed, by cause; ``asked`` are ends that only a question at the provider
    brought. ``to_journal_p95`` in seconds from the door to the journal.
    """

    last_at: datetime | None
    taken: int
    unplaced: int
    refused: Mapping[str, int]
    asked: int
    to_journal_p95: float | None

    @property
    def refusals(self) -> int:
        return sum(self.refused.values())

    @property
    def came(self) -> int:
        return self.taken + self.unplaced + self.refusals

    @property
    def share_taken(self) -> float | None:
        """Of all that came; None: nothing came."""
        return round(self.taken / self.came, 4) if self.came else None

    def concerns(self) -> Iterator["Concern"]:
        if self.refusals > self.came / 10:
            yield Concern.REFUSED
        if self.unplaced:
            yield Concern.UNPLACED
        if self.asked > 2 * self.taken:
            yield Concern.ASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The jobs that ended lately."""

    completed: int
    failed: int
    canceled: int

    @property
    def share_completed(self) -> float | None:
        """Of those that ended; None: none did."""
        ended = self.completed + self.failed + self.canceled
        return round(self.completed / ended, 4) if ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueNow:
    """One queue of the broker.

    ``ready`` messages wait to be delivered and ``consumers`` listen; both None where the broker did
    not answer or has no such queue. What is delivered and not acknowledged it tells only to its
    management pages: ``waits`` is what the rows know of the same work (None: nothing), and its age.
    ``parked`` wait for their time, ``dead`` for a person.
    """

    name: str
    ready: int | None
    consumers: int | None
    waits: Level | None
    parked: Level
    dead: Level

    @property
    def is_unheard(self) -> bool:
        """Messages wait, and nobody listens."""
        return bool(self.ready) and self.consumers == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsNow:
    """The slots of open jobs in one state: ``count`` of them, the first since ``seconds``."""

    state: SlotState
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Seconds until the provider deletes the next files that are not ours: of those that are
    ``made``, and of predictions that went ``silent`` and may have made some. None: there are none.
    Below 0 they are gone."""

    made: float | None
    silent: float | None

    @property
    def first(self) -> float | None:
        return min((one for one in (self.made, self.silent) if one is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account at the provider. ``left`` are the calls that may be made at once, each by its kind
    as a share of the most; ``paused_until``: it turns us away, and nothing is bought before then."""

    left: Mapping[str, float]
    paused_until: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapNow:
    """What a recipe may cost today (``cap_micros``), and what its purchases of the day count as.
    ``holds``: slots wait for it until ``ends_at`` at the latest, the midnight of the installation."""

    cap_micros: int
    counted_micros: int
    holds: bool
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeMoney:
    """What a recipe was bought for today; ``seconds`` the provider worked. ``cap``: None where it has
    none, or was not asked for today."""

    recipe: str
    bill: Bill
    seconds: float
    cap: CapNow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Today, from midnight to midnight of the installation's zone; the dearest recipe first."""

    begins: datetime
    ends: datetime
    recipes: tuple[RecipeMoney, ...]

    @property
    def bill(self) -> Bill:
        bills = [one.bill for one in self.recipes]
        return Bill(
            paid=sum(one.paid for one in bills),
            paid_micros=sum(one.paid_micros for one in bills),
            open=sum(one.open for one in bills),
            open_micros=sum(one.open_micros for one in bills),
            unknown=sum(one.unknown for one in bills),
        )


class Concern(StrEnum):
    """What somebody should look at."""

    REFUSED = "webhooks_refused"
    UNPLACED = "webhooks_unplaced"
    ASKED = "webhooks_missing"
    LOSS = "files_expire_soon"
    LOST = "files_lost"
    PAUSED = "account_paused"
    UNHEARD = "queue_unheard"
    DEAD = "messages_dead"
    BUYING = "buying_late"
    SAYING = "facts_not_published"
    BROKER = "broker_silent"
    CAPPED = "cost_cap_reached"


CONCERNS: Mapping[Concern, Words] = {
    Concern.REFUSED: {
        "en": "more than a tenth of the webhooks is refused",
        "ko": "웹훅이 10분의 1 넘게 거부되었습니다",
    },
    Concern.UNPLACED: {
        "en": "webhooks came that belong to no purchase of ours",
        "ko": "우리 구매에 속하지 않는 웹훅이 왔습니다",
    },
    Concern.ASKED: {
        "en": "most ends had to be asked for: webhooks do not arrive",
        "ko": "끝난 소식을 대부분 직접 물어야 했습니다. 웹훅이 도착하지 않습니다",
    },
    Concern.LOSS: {
        "en": "files are deleted within 20 minutes and are not ours yet",
        "ko": "20분 안에 삭제될 파일이 아직 저장되지 않았습니다",
    },
    Concern.LOST: {
        "en": "files were deleted before they were ours",
        "ko": "저장하기 전에 파일이 삭제되었습니다",
    },
    Concern.PAUSED: {
        "en": "the provider turns our account away: nothing is bought",
        "ko": "제공자가 계정을 거부해 아무것도 구매하지 않습니다",
    },
    Concern.UNHEARD: {
        "en": "messages wait in a queue that nobody listens to",
        "ko": "아무도 듣지 않는 큐에 메시지가 쌓여 있습니다",
    },
    Concern.DEAD: {
        "en": "messages wait for a person",
        "ko": "사람의 판단을 기다리는 메시지가 있습니다",
    },
    Concern.BUYING: {
        "en": "slots wait to be bought for more than 5 minutes",
        "ko": "5분 넘게 구매를 기다리는 항목이 있습니다",
    },
    Concern.SAYING: {
        "en": "facts wait to be published for more than 30 seconds",
        "ko": "30초 넘게 발행되지 않은 사실이 있습니다",
    },
    Concern.BROKER: {
        "en": "the broker does not tell how full its queues are",
        "ko": "브로커가 큐의 상태를 알려 주지 않습니다",
    },
    Concern.CAPPED: {
        "en": "what a recipe may cost a day is spent: its orders wait",
        "ko": "레시피의 하루 비용 한도에 도달해 주문이 대기합니다",
    },
}

# The page of docs/runbook that says what to do about it.
RUNBOOK: Mapping[Concern, str] = {
    Concern.REFUSED: "webhooks-unbelieved",
    Concern.UNPLACED: "predictions-unknown",
    Concern.ASKED: "webhooks-missing",
    Concern.LOSS: "files-expire-soon",
    Concern.LOST: "files-lost",
    Concern.PAUSED: "account-paused",
    Concern.UNHEARD: "queue-unheard",
    Concern.DEAD: "messages-dead",
    Concern.BUYING: "buying-late",
    Concern.SAYING: "journal-stuck",
    Concern.BROKER: "broker-silent",
    Concern.CAPPED: "cost-cap-reached",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it as it stood ``at`` one moment. What fared "lately" did so in the last ``seconds``.

    ``slots`` are those of open jobs, by state; of many, the first few thousand of the oldest jobs.
    """

    at: datetime
    seconds: int
    webhooks: Webhooks
    ended: Ended
    open_jobs: Level
    slots: tuple[SlotsNow, ...]
    backlog: Mapping[Backlog, Level]
    queues: tuple[QueueNow, ...]
    losses: Losses
    account: Account
    money: Money

    @property
    def parked(self) -> int:
        """Messages that wait for their time, in all queues."""
        return sum(queue.parked.count for queue in self.queues)

    @property
    def dead(self) -> int:
        """Messages that wait for a person."""
        return sum(queue.dead.count for queue in self.queues)

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """What somebody should look at, the worst first."""
        near = self.losses.first
        holding = [one.cap for one in self.money.recipes if one.cap and one.cap.holds]
        found = {
            *self.webhooks.concerns(),
            *([Concern.LOST] if near is not None and near < 0 else []),
            *([Concern.LOSS] if near is not None and 0 <= near < LOSS_IS_NEAR_S else []),
            *([Concern.PAUSED] if self.account.paused_until else []),
            *([Concern.UNHEARD] if any(queue.is_unheard for queue in self.queues) else []),
            *([Concern.BROKER] if all(queue.ready is None for queue in self.queues) else []),
            *([Concern.DEAD] if self.dead else []),
            *([Concern.BUYING] if self.backlog[Backlog.BUY].seconds > BUYING_IS_LATE_S else []),
            *([Concern.SAYING] if self.backlog[Backlog.SAY].seconds > SAYING_IS_LATE_S else []),
            *([Concern.CAPPED] if holding else []),
        }
        return tuple(sorted(found, key=_WORST_FIRST.index))


_WORST_FIRST = (
    Concern.LOST,
    Concern.LOSS,
    Concern.PAUSED,
    Concern.UNHEARD,
    Concern.BROKER,
    Concern.ASKED,
    Concern.REFUSED,
    Concern.SAYING,
    Concern.BUYING,
    Concern.DEAD,
    Concern.UNPLACED,
    Concern.CAPPED,
)


def as_data(told: Overview) -> dict[str, Any]:
    """It as JSON takes it: money in micros of a dollar, spans in seconds, times as ISO 8601."""
    return {
        "at": told.at.isoformat(),
        "seconds": told.seconds,
        "concerns": [
            {"code": str(concern), "words": dict(CONCERNS[concern])} for concern in told.concerns
        ],
        "webhooks": {
            "last_at": _time(told.webhooks.last_at),
            "taken": told.webhooks.taken,
            "unplaced": told.webhooks.unplaced,
            "refused": dict(told.webhooks.refused),
            "share_taken": told.webhooks.share_taken,
            "asked": told.webhooks.asked,
            "to_journal_p95_seconds": told.webhooks.to_journal_p95,
        },
        "jobs": {
            "completed": told.ended.completed,
            "failed": told.ended.failed,
            "canceled": told.ended.canceled,
            "share_completed": told.ended.share_completed,
            "open": _level(told.open_jobs),
        },
        "slots": {str(one.state): _level(one.level) for one in told.slots},
        "backlog": {str(stage): _level(level) for stage, level in told.backlog.items()},
        "queues": [
            {
                "name": queue.name,
                "ready": queue.ready,
                "consumers": queue.consumers,
                "waits": None if queue.waits is None else _level(queue.waits),
                "parked": _level(queue.parked),
                "dead": _level(queue.dead),
            }
            for queue in told.queues
        ],
        "seconds_to_loss": {
            "first": told.losses.first,
            "made": told.losses.made,
            "silent": told.losses.silent,
        },
        "account": {
            "left": dict(told.account.left),
            "paused_until": _time(told.account.paused_until),
            "reason": told.account.reason,
        },
        "money": {
            "begins": told.money.begins.isoformat(),
            "ends": told.money.ends.isoformat(),
            **_bill(told.money.bill),
            "recipes": [_recipe(one) for one in told.money.recipes],
        },
    }


def _recipe(one: RecipeMoney) -> dict[str, Any]:
    cap = one.cap and {
        "cap_micros": one.cap.cap_micros,
        "counted_micros": one.cap.counted_micros,
        "holds": one.cap.holds,
        "ends_at": one.cap.ends_at.isoformat(),
    }
    return {"recipe": one.recipe, **_bill(one.bill), "seconds": one.seconds, "cap": cap}


def _bill(bill: Bill) -> dict[str, Any]:
    return {
        "micros": bill.micros,
        "paid": bill.paid,
        "paid_micros": bill.paid_micros,
        "open": bill.open,
        "open_micros": bill.open_micros,
        "unknown": bill.unknown,
    }


def _level(level: Level) -> dict[str, Any]:
    return {"count": level.count, "seconds": round(level.seconds, 3)}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
