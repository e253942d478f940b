"""F12: news in any order, twice, contradicting itself, from many at once; on a real database.

A trigger writes down every move of a row, so that the judge is neither the code nor its last state.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from shared.db.connection import Database, open_database
from shared.db.record import record
from shared.domain.identity import verdict_id
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, Transient
from tests.matrix.ground import Ground
from tests.matrix.promises import Promise, all_of, none, told
from tests.support.purchases import NOON, a_job, bought, claim, never, news

SLOTS_OF_A_JOB = 10
JOBS_OF_A_LOT = 20
AT_ONCE = 6
TRIES = 20

# How far each state is, in words of this file: no move may lead to a lower number, and from 9 none
# may lead at all.
FAR: dict[str, dict[str | None, int]] = {
    "slot": {
        "pending": 0,
        "creating": 1,
        "in_doubt": 2,
        "submitted": 3,
        "running": 4,
        "succeeded": 5,
        "stored": 9,
        "failed": 9,
        "canceled": 9,
    },
    "prediction": {
        None: 0,
        "starting": 1,
        "processing": 2,
        "succeeded": 9,
        "failed": 9,
        "canceled": 9,
        "aborted": 9,
    },
    "job": {
        "pending": 0,
        "queued": 1,
        "running": 2,
        "completed": 9,
        "failed": 9,
        "canceled": 9,
    },
}
WATCH = """
CREATE TABLE moved (kind text, key text, before text, after text);
CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'prediction' THEN
        INSERT INTO moved
        SELECT 'prediction', OLD.prediction_id, OLD.status, NEW.status
         WHERE OLD.status IS DISTINCT FROM NEW.status;
    ELSIF TG_TABLE_NAME = 'slot' THEN
        INSERT INTO moved SELECT 'slot', OLD.job_id || '.' || OLD.ordinal, OLD.state, NEW.state
         WHERE OLD.state IS DISTINCT FROM NEW.state OR OLD.winner IS DISTINCT FROM NEW.winner;
    ELSE
        INSERT INTO moved SELECT 'job', OLD.id::text, OLD.state, NEW.state
         WHERE OLD.state IS DISTINCT FROM NEW.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watched AFTER UPDATE ON job FOR EACH ROW EXECUTE FUNCTION note_move();
CREATE TRIGGER watched AFTER UPDATE ON slot FOR EACH ROW EXECUTE FUNCTION note_move();
CREATE TRIGGER watched AFTER UPDATE ON prediction FOR EACH ROW EXECUTE FUNCTION note_move();
"""
VERDICTS = ("succeeded", "failed", "canceled", "aborted")


async def disorder(ground: Ground, times: int) -> list[Promise]:
    """``times`` pieces of news, in lots of 200 predictions."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    given = early = 0
    async with ground.database() as url, open_database(url, name="matrix") as database:
        async with database.connection() as db:
            for statement in _statements():
                await db.execute(statement)
        while given < times:
            lot = await _a_lot(database, dice)
            some = lot[: times - given]
            early += _early(some)
            await _hear_all(database, some, dice)
            given += len(some)
        async with database.connection() as db:
            moves = await db.fetch("SELECT kind, key, before, after FROM moved")
            states = await db.fetch(
                """SELECT p.prediction_id, p.status, s.state AS slot, s.winner
                     FROM prediction p JOIN slot s USING (job_id, ordinal)"""
            )
            closings = await db.fetch(
                """SELECT job_id, ordinal FROM journal WHERE type = 'slot.failed'
                    GROUP BY 1, 2 HAVING count(*) > 1"""
            )
    back = [
        dict(move) for move in moves if not _forward(move["kind"], move["before"], move["after"])
    ]
    wrong = [dict(row) for row in states if not _agrees(row["status"], row["slot"])]
    verdicts = Counter(row["status"] for row in states)
    return [
        all_of("news taken in", given, times),
        none("move back", back),
        none("prediction that contradicts its slot", wrong),
        none("slot that was closed twice", [dict(row) for row in closings]),
        told("terminal before its start", early),
        told("verdicts", dict(verdicts.most_common())),
        told("seed", seed),
    ]


def _forward(kind: str, before: str | None, after: str | None) -> bool:
    far = FAR[kind]
    return far[before] < far[after]


def _agrees(status: str | None, slot: str) -> bool:
    match status:
        case "succeeded":
            return slot == "succeeded"  # nobody here stores
        case "failed" | "canceled" | "aborted":
            return slot == "failed"
        case _:
            return slot in ("submitted", "running")


async def _a_lot(database: Database, dice: random.Random) -> list[Envelope]:
    """Fresh purchases, and everything that is ever said of them, shuffled."""
    lot: list[Envelope] = []
    for _ in range(JOBS_OF_A_LOT):
        job_id = await a_job(database, n=SLOTS_OF_A_JOB)
        for prediction_id in await _buy(database, job_id):
            lot += _all_news(prediction_id, dice)
    dice.shuffle(lot)
    return lot


async def _buy(database: Database, job_id: UUID) -> list[str]:
    async with database.transaction() as tx:
        claimed = [slot for slot in await claim(tx) if slot.job_id == job_id]
    made = [(slot, f"{job_id.hex[:16]}{slot.ordinal:02}") for slot in claimed]
    for slot, prediction_id in made:
        await bought(database, slot, prediction_id)
    return [prediction_id for _, prediction_id in made]


def _all_news(prediction_id: str, dice: random.Random) -> list[Envelope]:
    """Start and progress, one verdict from two mouths, another one that contradicts it, the late
    start, and the body from which the files are gone."""
    verdict, other = dice.sample(VERDICTS, 2)

    def final(status: str, **body: Any) -> Envelope:
        return news(prediction_id, status, event_id=verdict_id(prediction_id, status), **body)

    return [
        news(prediction_id, "starting"),
        *(news(prediction_id, "processing", logs=f"{n * 30}%|") for n in range(3)),
        final(verdict, output=["https://replicate.delivery/a.png"]),
        final(verdict, output=["https://replicate.delivery/a.png"]),
        final(verdict, data_removed=True, output=None),
        final(other),
        news(prediction_id, "processing"),
        news(prediction_id, "starting"),
    ]


def _early(lot: Sequence[Envelope]) -> int:
    """Of how many predictions a verdict was given out before any start."""
    firsts: dict[bytes, str] = {}
    for envelope in lot:
        key = envelope.body.split(b'"', 4)[3]
        if envelope.type != "prediction.progressed":
            firsts.setdefault(key, envelope.type)
    return sum(fact != "prediction.started" for fact in firsts.values())


async def _hear_all(database: Database, lot: Sequence[Envelope], dice: random.Random) -> None:
    waiting = iter(lot)

    async def keep_hearing() -> None:
        for envelope in waiting:
            await _hear(database, envelope)

    await asyncio.gather(*(keep_hearing() for _ in range(dice.randint(1, AT_ONCE))))


async def _hear(database: Database, envelope: Envelope) -> None:
    for turn in range(TRIES):
        try:
            async with database.transaction() as tx:
                await record(tx, envelope, again=never, now=NOON + timedelta(minutes=1))
        except (Transient, DatabaseUnavailable):
            if turn == TRIES - 1:
                raise
            continue
        return


def _statements() -> list[str]:
    head, _, tail = WATCH.partition("CREATE FUNCTION")
    function, _, triggers = tail.partition("END $$;")
    return [
        head,
        f"CREATE FUNCTION{function}END $$",
        *(part for part in triggers.split(";") if part.strip()),
    ]
