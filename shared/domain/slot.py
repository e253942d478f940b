"""The life of one slot, as a table. The same law stands in the database as CHECKs."""

from dataclasses import dataclass
from enum import StrEnum


class SlotState(StrEnum):
    PENDING = "pending"  # to be bought when due
    CREATING = "creating"  # intent written; the create is under way under a lease
    IN_DOUBT = "in_doubt"  # the create's outcome is unknown; nothing is bought until it is
    SUBMITTED = "submitted"  # Replicate took it
    RUNNING = "running"  # Replicate said that it works on it
    SUCCEEDED = "succeeded"  # the files are made, and still only at Replicate
    STORED = "stored"  # closed: the files are ours
    FAILED = "failed"  # closed: nothing more will be tried
    CANCELED = "canceled"  # closed: the job ended first


CLOSED = frozenset({SlotState.STORED, SlotState.FAILED, SlotState.CANCELED})
OPEN = frozenset(SlotState) - CLOSED
UNBOUGHT = frozenset(
    {SlotState.PENDING, SlotState.CREATING, SlotState.IN_DOUBT, SlotState.SUBMITTED}
)


class News(StrEnum):
    """Everything that can be heard about a slot."""

    CLAIMED = "claimed"  # token taken, intent written
    ACCEPTED = "accepted"  # the create was answered 2xx
    REFUSED = "refused"  # 400, 404, 422
    ACCOUNT_PAUSED = "account_paused"  # 401, 402
    NOT_BOUGHT = "not_bought"  # 429, or the connection was never opened
    UNKNOWN_OUTCOME = "unknown_outcome"  # 5xx, timeout, torn connection, unreadable 2xx, lease out
    NOT_LISTED = "not_listed"  # a complete list, begun late enough, lacks it
    STARTED = "started"  # started or progressed
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    CANCELED = "canceled"  # at Replicate, without our asking
    SAVED = "saved"  # the files are in our bucket
    EXPIRED = "expired"  # the files are gone at Replicate
    UNUSABLE = "unusable"  # no file of it can be used
    NOT_STORED = "not_stored"  # the attempts to store are used up
    JOB_ENDED = "job_ended"


class FailureCode(StrEnum):
    """Why a slot failed for good, in words that a front end can switch on."""

    NSFW = "nsfw"
    CANCELED = "canceled"
    ABORTED = "aborted"
    EXPIRED = "expired"
    INVALID_INPUT = "invalid_input"
    NO_OUTPUT = "no_output"
    PROVIDER = "provider"
    UNUSABLE_OUTPUT = "unusable_output"
    NOT_STORED = "not_stored"


@dataclass(frozen=True, slots=True)
class Move:
    """Go to ``to``; ``next_attempt`` means that the next purchase is another one."""

    to: SlotState
    next_attempt: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """The news says nothing new about this slot."""


S, N = SlotState, News

# Moves that need no further question. What may come again at a cost is below.
TABLE: dict[tuple[SlotState, News], Move] = {
    (S.PENDING, N.CLAIMED): Move(S.CREATING),
    (S.CREATING, N.ACCEPTED): Move(S.SUBMITTED),
    # The answer came after the lease: the purchase in doubt is there after all.
    (S.IN_DOUBT, N.ACCEPTED): Move(S.SUBMITTED),
    (S.CREATING, N.REFUSED): Move(S.FAILED),
    (S.IN_DOUBT, N.REFUSED): Move(S.FAILED),
    (S.CREATING, N.ACCOUNT_PAUSED): Move(S.PENDING),
    (S.IN_DOUBT, N.ACCOUNT_PAUSED): Move(S.PENDING),
    (S.CREATING, N.NOT_BOUGHT): Move(S.PENDING),
    (S.IN_DOUBT, N.NOT_BOUGHT): Move(S.PENDING),
    (S.CREATING, N.UNKNOWN_OUTCOME): Move(S.IN_DOUBT),
    # Always another attempt, and not counted against the recipe's: nothing is known to have run.
    (S.IN_DOUBT, N.NOT_LISTED): Move(S.PENDING, next_attempt=True),
    (S.SUCCEEDED, N.SAVED): Move(S.STORED),
    (S.SUCCEEDED, N.UNUSABLE): Move(S.FAILED),
    (S.SUCCEEDED, N.NOT_STORED): Move(S.FAILED),
    **{(state, N.STARTED): Move(S.RUNNING) for state in UNBOUGHT},
    **{(state, N.SUCCEEDED): Move(S.SUCCEEDED) for state in UNBOUGHT | {S.RUNNING}},
    **{(state, N.JOB_ENDED): Move(S.CANCELED) for state in OPEN},
}

# Another attempt where it is worth one, else the end. A slot that succeeded has its verdict:
# only the loss of its files can open it again.
VERDICTS = frozenset({N.FAILED, N.ABORTED, N.CANCELED})


def decide(state: SlotState, news: News, *, again: bool = False) -> Move | Stale:
    """Where ``news`` takes a slot in ``state``; never raises, since late news is ordinary.

    ``again`` says that another attempt is worth it, allowed and left, and that the job is open.
    """
    reopens = (news in VERDICTS and state in OPEN - {S.SUCCEEDED}) or (
        news is N.EXPIRED and state is S.SUCCEEDED
    )
    if reopens:
        return Move(S.PENDING, next_attempt=True) if again else Move(S.FAILED)
    return TABLE.get((state, news), Stale())
