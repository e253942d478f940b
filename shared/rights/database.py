"""What each service may do in the database, table by table. The ingress is not in it: it has no
role, and cannot connect.

Rows are written by those whose state they are: a column that a service does not decide about is not
its to update. Nobody changes what the journal says, only when it was published and what hearing it
did; and those who keep the times take bodies and rows out of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.rights.accounts import OPERATOR, account

SCHEMA = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """On one table. Reading is for the whole row; ``updates`` names columns."""

    inserts: bool = False
    updates: tuple[str, ...] = ()
    deletes: bool = False


READS = Rights()

Tables = Mapping[str, Rights]

# Every relay marks what it has published, and every consumer parks what it cannot finish.
_SAYS = Rights(inserts=True, updates=("published_at",))
_SAYS_AND_HEARS = Rights(inserts=True, updates=("job_id", "ordinal", "outcome", "published_at"))
_PARKS: Tables = {
    "parked_message": Rights(
        inserts=True,
        updates=(
            *("attempts", "body", "due_at", "expires_at", "generation", "headers", "parked_at"),
            *("reason", "trace"),
        ),
    ),
    "suspect_start": Rights(inserts=True, updates=("last_at", "starts")),
}
# What news of a prediction moves, whoever hears it.
_PREDICTION_BY_NEWS = (
    *("adopted", "ask_at", "cancel_wanted_at", "completed_at", "cost_micros", "created_at"),
    *("error", "last_news_at", "last_webhook_at", "metrics", "outcome", "predict_seconds"),
    *("prediction_id", "progress", "started_at", "status", "url"),
)
_SLOT_BY_NEWS = (
    *("attempt", "due_at", "expires_at", "failure_code", "failure_detail", "lease_until"),
    *("moved_at", "not_listed", "skipped", "state", "waste_since", "winner"),
)
_BUDGET = Rights(
    inserts=True,
    updates=(
        *("capacity", "paused_until", "per_second", "reason", "refilled_at", "slowed_at"),
        *("slowed_to", "tokens"),
    ),
)

# Every service reads `schema_migrations`: it is not ready before the tables are of its version.
RIGHTS: Mapping[str, Tables] = {
    "generator": {
        **_PARKS,
        "artifact": Rights(inserts=True),
        "cost_cap": Rights(
            inserts=True,
            updates=(
                *("added_up_at", "begins_at", "cap_micros", "ends_at", "held_until", "open"),
                *("open_micros", "paid", "paid_micros", "since"),
            ),
        ),
        "job": Rights(
            inserts=True,
            updates=("canceled", "ended_at", "queued_at", "reason", "running_at", "state"),
        ),
        "journal": _SAYS_AND_HEARS,
        "prediction": Rights(
            inserts=True,
            updates=(
                *_PREDICTION_BY_NEWS,
                *("answered_at", "create_deadline", "estimate_micros", "intended_at", "lost_at"),
                *("micros_per_output", "micros_per_second"),
            ),
        ),
        "rate_limit": _BUDGET,
        "schema_migrations": READS,
        "slot": Rights(inserts=True, updates=(*_SLOT_BY_NEWS, "counted_at", "fence")),
        "tombstone": READS,
    },
    "storage": {
        **_PARKS,
        "artifact": Rights(inserts=True),
        "job": Rights(updates=("queued_at", "running_at", "state")),
        "journal": _SAYS_AND_HEARS,
        "prediction": Rights(updates=(*_PREDICTION_BY_NEWS, "lost_at")),
        "schema_migrations": READS,
        "slot": Rights(updates=_SLOT_BY_NEWS),
        "tombstone": READS,
    },
    "aggregator": {
        **_PARKS,
        "artifact": READS,
        "job": Rights(updates=("canceled", "ended_at", "failed", "reason", "state", "stored")),
        "journal": _SAYS_AND_HEARS,
        "prediction": READS,
        "schema_migrations": READS,
        "slot": Rights(updates=("counted_at",)),
        "tombstone": READS,
    },
    "report": {
        **_PARKS,
        "artifact": Rights(inserts=True),
        "job": Rights(updates=("report", "report_key")),
        "journal": _SAYS,
        "prediction": READS,
        "schema_migrations": READS,
        "slot": READS,
    },
    "reconciler": {
        "artifact": Rights(updates=("deleted_at",)),
        "cost_cap": READS,
        "job": Rights(updates=("queued_at", "state"), deletes=True),
        "journal": Rights(inserts=True, updates=("body", "headers", "published_at"), deletes=True),
        "parked_message": Rights(
            inserts=True, updates=_PARKS["parked_message"].updates, deletes=True
        ),
        "prediction": Rights(
            updates=(
                *("adopted", "answered_at", "ask_at", "asked", "cancel_sent_at"),
                *("cancel_wanted_at", "created_at", "error", "lost_at", "outcome"),
                *("prediction_id", "status", "url"),
            )
        ),
        "rate_limit": _BUDGET,
        "refused_webhook": Rights(inserts=True, deletes=True),
        "schema_migrations": READS,
        "slot": Rights(updates=_SLOT_BY_NEWS),
        "suspect_start": Rights(
            inserts=True, updates=_PARKS["suspect_start"].updates, deletes=True
        ),
        "retention_mark": Rights(inserts=True, updates=("up_to",)),
        "tombstone": Rights(inserts=True, deletes=True),
    },
    # Looks at jobs, says what others ask for and what became of calling back; moves no job.
    "api": {
        "api_token": Rights(updates=("last_used_at",)),
        "artifact": READS,
        "cost_cap": READS,
        "job": READS,
        "journal": _SAYS,
        # Brings back and throws away on an operator's word: decision record 0028.
        "parked_message": Rights(
            inserts=True, updates=_PARKS["parked_message"].updates, deletes=True
        ),
        "prediction": READS,
        "rate_limit": READS,
        "refused_webhook": READS,
        "schema_migrations": READS,
        "slot": READS,
        "suspect_start": Rights(
            inserts=True, updates=_PARKS["suspect_start"].updates, deletes=True
        ),
        "tombstone": READS,
    },
    # Looks at everything; replays news, and settles what is parked.
    OPERATOR: {
        "api_token": Rights(inserts=True, updates=("revoked_at",)),
        "artifact": Rights(updates=("deleted_at",)),
        "cost_cap": READS,
        "job": Rights(
            updates=(
                *("canceled", "ended_at", "failed", "queued_at", "running_at", "state"),
                "stored",
                # What erasing a job takes away.
                *("callback_url", "erased_at", "metadata", "params", "reason", "source_key"),
                "source_url",
            )
        ),
        "journal": Rights(
            inserts=True,
            updates=("body", "headers", "job_id", "ordinal", "outcome", "published_at"),
        ),
        "parked_message": Rights(updates=("attempts", "due_at", "generation"), deletes=True),
        "prediction": Rights(updates=_PREDICTION_BY_NEWS),
        "refused_webhook": Rights(deletes=True),
        "schema_migrations": READS,
        "slot": Rights(updates=(*_SLOT_BY_NEWS, "counted_at", "finish", "input")),
        "suspect_start": Rights(deletes=True),
        "rate_limit": READS,
        "tombstone": READS,
    },
}


def grants() -> Iterator[str]:
    """The statements that bring every role to what the table says, whatever it could do before.

    The roles exist; the statements run in the database, by the owner of its tables.
    """
    for party, tables in RIGHTS.items():
        role = account(party)
        yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM {role}"
        yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}"
        for table, rights in sorted(tables.items()):
            verbs = ["SELECT"]
            if rights.inserts:
                verbs.append("INSERT")
            if rights.updates:
                verbs.append(f"UPDATE ({', '.join(sorted(rights.updates))})")
            if rights.deletes:
                verbs.append("DELETE")
            yield f"GRANT {', '.join(verbs)} ON {SCHEMA}.{table} TO {role}"
