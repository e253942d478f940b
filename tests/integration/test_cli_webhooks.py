"""``darkroom webhooks`` and ``darkroom replay`` on a real database: what an operator sees, and never a
secret."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.clock import utc_now
from shared.db import journal, refused
from shared.db.connection import Database
from shared.db.parked import Which, add_dead, how_many
from shared.db.slots import Slot
from shared.domain import identity
from shared.domain.refusal import RefusedWebhook
from shared.domain.slot import SlotState
from shared.envelope import FROM_WEBHOOK, ORIGIN, WEBHOOK_ID, WEBHOOK_SIGNATURE
from tests.integration.test_cli import darkroom
from tests.support.purchases import PREDICTION, a_job, a_slot, hear, news, the_purchase, the_slot

LINK = "https://bucket.example/a.jpg?X-Amz-Signature=0123456789abcdef"
SIGNATURE = "v1,c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
EVENT = identity.verdict_id(PREDICTION, "succeeded")


@pytest.fixture
def env(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url}


async def a_webhook(database: Database, slot: Slot, *, outcome: str | None = None) -> None:
    """A success in the archive: heard, or (with an outcome) only noted."""
    row = await the_purchase(database, slot)
    envelope = news(
        PREDICTION,
        "succeeded",
        row=row,
        event_id=EVENT,
        extensions={
            ORIGIN: FROM_WEBHOOK,
            WEBHOOK_ID: "msg_1",
            WEBHOOK_SIGNATURE: SIGNATURE,
            "darkroom-slot": str(row.ref),
        },
        input={"image": LINK},
    )
    if outcome is None:
        await hear(database, envelope)
        return
    async with database.transaction() as tx:
        await journal.hear(tx, envelope, outcome=outcome, job_id=slot.job_id)


async def a_refusal(database: Database, **fields: Any) -> RefusedWebhook:
    told: dict[str, Any] = {
        "id": uuid4(),
        "received_at": utc_now(),
        "outcome": "bad_signature",
        "status": 401,
        "reason": "no signature fits",
        "sender": "203.0.113.7",
        "query": f"slot={uuid4()}.1.1.abcdefghijklmnopqrst",
        "headers": (("webhook-id", "msg_2"), ("webhook-signature", SIGNATURE)),
        "body": json.dumps({"input": LINK}).encode(),
        "body_bytes": 99,
    }
    one = RefusedWebhook(**(told | fields))
    async with database.transaction() as tx:
        await refused.keep(tx, one)
    return one


async def listed(env: dict[str, str], *words: str) -> list[dict[str, Any]]:
    code, out, err = await darkroom(env, "webhooks", "list", "--json", *words)
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


async def test_the_list_tells_what_came_and_what_it_did_here(
    env: dict[str, str], database: Database
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    await a_webhook(database, slot)
    forged = await a_refusal(database)
    old = await a_refusal(database, received_at=utc_now() - timedelta(hours=3), outcome="stale")

    everything = await listed(env)
    [of_the_job] = await listed(env, "--job", str(slot.job_id)[:8])
    [of_the_prediction] = await listed(env, "--prediction", PREDICTION)

    assert [row["id"] for row in everything][-1] == str(old.id)
    assert {row["id"] for row in everything} == {EVENT, str(forged.id), str(old.id)}
    assert of_the_job == of_the_prediction
    assert (of_the_job["verdict"], of_the_job["webhook_id"]) == ("moved", "msg_1")
    assert (of_the_job["prediction_id"], of_the_job["ordinal"]) == (PREDICTION, 1)
    assert [row["id"] for row in await listed(env, "--refused", "--since", "1h")] == [
        str(forged.id)
    ]
    assert [row["id"] for row in await listed(env, "--outcome", "stale")] == [str(old.id)]
    assert [row["id"] for row in await listed(env, "--taken")] == [EVENT]
    assert await listed(env, "--prediction", "another") == []


async def test_for_people_the_list_is_a_table(env: dict[str, str], database: Database) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    await a_webhook(database, slot)
    await a_refusal(database)

    code, out, err = await darkroom(env, "webhooks", "list")

    assert code == 0, err
    head, *lines = out.strip().splitlines()
    columns = head.replace("┃", " ").split()
    assert columns == [
        "received",
        "id",
        "what",
        "verdict",
        "job",
        "prediction",
        "bytes",
    ]
    assert sum("prediction.succeeded" in line and "moved" in line for line in lines) == 1
    assert sum("refused: 401" in line and "bad_signature" in line for line in lines) == 1


@pytest.mark.parametrize("name", [EVENT, "msg_1"])
async def test_one_webhook_is_shown_with_its_headers_and_without_what_opens_something(
    env: dict[str, str], database: Database, name: str
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    await a_webhook(database, slot)
    token = (await the_purchase(database, slot)).token

    code, out, err = await darkroom(env, "webhooks", "show", name, "--body")

    assert code == 0, err
    assert "verdict     moved" in out
    assert f"job         {slot.job_id}, slot 1" in out
    assert "header      webhook-signature: ***" in out
    assert "bucket.example/a.jpg" in out
    for secret in (SIGNATURE, "0123456789abcdef", token):
        assert secret not in out


async def test_the_body_is_shown_only_where_it_is_asked_for(
    env: dict[str, str], database: Database
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    await a_webhook(database, slot)

    _, out, _ = await darkroom(env, "webhooks", "show", EVENT)
    _, told, _ = await darkroom(env, "webhooks", "show", EVENT, "--json")

    assert "bucket.example" not in out + told


async def test_a_refused_webhook_is_shown_with_its_sender_and_the_reason(
    env: dict[str, str], database: Database
) -> None:
    one = await a_refusal(database)

    code, out, err = await darkroom(env, "webhooks", "show", str(one.id), "--body")

    assert code == 0, err
    assert "reason      no signature fits" in out
    assert "sender      203.0.113.7" in out
    assert "a.jpg" in out
    for secret in (SIGNATURE, "0123456789abcdef", "abcdefghijklmnopqrst"):
        assert secret not in out


async def test_a_webhook_that_is_not_there_is_a_sentence(env: dict[str, str]) -> None:
    code, _, err = await darkroom(env, "webhooks", "show", "msg_none")

    assert (code, err.strip()) == (1, "no webhook msg_none is kept here")


async def test_a_dry_replay_shows_the_difference_and_changes_nothing(
    env: dict[str, str], database: Database
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    await a_webhook(database, slot, outcome="unknown")

    code, out, err = await darkroom(env, "replay", "--job", str(slot.job_id)[:8], "--dry-run")

    assert code == 0, err
    assert "is running; by its webhooks it is succeeded" in out
    assert "say again prediction.succeeded" in out
    assert "1 facts would be said again, and nothing was changed" in out
    assert (await the_slot(database, slot.job_id)).state is SlotState.RUNNING
    assert await owed(database) == 0


@pytest.mark.parametrize("chosen", ["job", "since"])
async def test_a_replay_shows_the_difference_and_says_the_facts_again(
    env: dict[str, str], database: Database, chosen: str
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    await a_webhook(database, slot, outcome="unknown")
    words = ("--job", str(slot.job_id)) if chosen == "job" else ("--since", "1h")

    code, out, err = await darkroom(env, "replay", *words)

    assert code == 0, err
    assert out.index("by its webhooks it is succeeded") < out.index("1 facts said again")
    assert await owed(database) == 1


async def test_a_beginning_that_is_nobodys_or_not_one_jobs_alone_replays_and_lists_nothing(
    env: dict[str, str], database: Database
) -> None:
    ids = [UUID(int=0xBADCAFE << 96 | number) for number in (1, 2)]
    for job_id in ids:
        await a_job(database, id=job_id)

    for command in (("replay",), ("webhooks", "list")):
        several = await darkroom(env, *command, "--job", "0badcafe")
        nobodys = await darkroom(env, *command, "--job", "0badcafd")

        assert several[:2] == nobodys[:2] == (1, "")
        assert all(str(job_id) in several[2] for job_id in ids)
        assert "no job that begins with 0badcafd is known here" in nobodys[2]


async def a_homeless_webhook(database: Database) -> Slot:
    """A success that named no slot and looked like two purchases, of which one is explained by now."""
    (one, other) = [
        await a_slot(database, SlotState.SUBMITTED, prediction_id=name) for name in ("p-1", "p-2")
    ]
    link = {"image": f"https://bucket.example/jobs/{one.job_id}/original/a.jpg", "seed": one.seed}
    envelope = news(
        PREDICTION, "succeeded", event_id=EVENT, extensions={ORIGIN: FROM_WEBHOOK}, input=link
    )
    async with database.transaction() as tx:
        await journal.hear(tx, envelope, outcome="ambiguous")
        await add_dead(tx, "darkroom.storage.outputs", envelope, reason="ambiguous")
        await tx.execute(
            """
            UPDATE prediction
               SET prediction_id = NULL, status = NULL, ask_at = NULL, outcome = 'in_doubt'
             WHERE job_id = $1
            """,
            one.job_id,
        )
    assert other.job_id != one.job_id
    return one


@pytest.mark.parametrize("chosen", ["job", "since"])
async def test_a_webhook_that_no_job_was_found_for_is_said_again_once_there_is_one(
    env: dict[str, str], database: Database, chosen: str
) -> None:
    slot = await a_homeless_webhook(database)
    words = ("--job", str(slot.job_id)) if chosen == "job" else ("--since", "1h")

    dry_code, dry, _ = await darkroom(env, "replay", *words, "--dry-run")
    before = await owed(database), await dead(database)
    code, out, err = await darkroom(env, "replay", *words)

    assert (dry_code, code) == (0, 0), err
    assert "webhooks without a job: 1, of which 1 find one now" in dry
    assert f"it is of slot 1 of job {slot.job_id}, and would be moved" in out
    assert "1 facts said again" in out
    assert before == (0, 1)
    assert await owed(database) == 1
    assert await dead(database) == 0


async def test_a_webhook_of_a_stranger_stays_without_a_job(
    env: dict[str, str], database: Database
) -> None:
    async with database.transaction() as tx:
        stranger = news("p-9", "succeeded", extensions={ORIGIN: FROM_WEBHOOK})
        await journal.hear(tx, stranger, outcome="unknown")

    code, out, err = await darkroom(env, "replay", "--since", "1h", "--json")

    [line] = out.splitlines()
    assert code == 0, err
    assert json.loads(line) == {"without_a_job": 1, "say": []}
    assert await owed(database) == 0


async def test_as_json_a_replay_is_a_line_for_each_job(
    env: dict[str, str], database: Database
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    await a_webhook(database, slot, outcome="unknown")

    code, out, _ = await darkroom(env, "replay", "--job", str(slot.job_id), "--dry-run", "--json")

    [line] = out.splitlines()
    [shown] = json.loads(line)["slots"]
    assert code == 0
    assert (shown["now"], shown["archive"], shown["then"]) == ("running", "succeeded", "succeeded")
    assert [fact["event_id"] for fact in shown["say"]] == [EVENT]


async def test_what_no_fact_can_mend_fails_the_command_with_a_sentence(
    env: dict[str, str], database: Database
) -> None:
    slot = await a_slot(database, SlotState.FAILED)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE slot SET state = 'running', failure_code = NULL, failure_detail = NULL"
        )

    code, out, _ = await darkroom(env, "replay", "--job", str(slot.job_id), "--dry-run")

    assert code == 1
    assert "no fact that is said again mends it" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "say --job or --since"),
        (("--since", "soon"), 2, "neither 90s, 30m"),
        (("--job", str(uuid4())), 1, "is known here"),
    ],
)
async def test_a_replay_of_nothing_is_a_sentence(
    env: dict[str, str], words: tuple[str, ...], code: int, says: str
) -> None:
    ended, _, err = await darkroom(env, "replay", *words)

    assert ended == code
    assert says in " ".join(err.replace("│", " ").split())


async def owed(database: Database) -> int:
    async with database.connection() as tx:
        return len(
            [e for e in await journal.claim_owed(tx, 100) if e.type.startswith("prediction.")]
        )


async def dead(database: Database) -> int:
    async with database.connection() as tx:
        return await how_many(tx, Which(dead=True))
