"""F11: the same webhook ten times at once, and again after a day and after a week."""

import asyncio
import hashlib
import json
from collections import Counter
from datetime import timedelta
from typing import Any

from shared.clock import utc_now
from tests.matrix.ground import Ground
from tests.matrix.house import House, a_house, buy, let_pass
from tests.matrix.promises import Promise, all_of, none, told
from tests.support.file_host import FileHost, a_file_host
from tests.support.photos import a_tiny_photo

AT_ONCE = 10
LOT = 200
LATER = (timedelta(days=1), timedelta(days=7))
# One in five has a file that is fetched, looked at and put; the others end by a word.
VERDICTS = ("succeeded", "failed", "canceled", "failed", "failed")
SETTLES_WITHIN_S = 900.0

# All that a webhook may move, but for the times at which rows were written.
EFFECTS = {
    "job": "SELECT id, state, stored, failed, canceled, report FROM job",
    "slot": """SELECT job_id, ordinal, state, attempt, winner, failure_code,
                      counted_at IS NOT NULL AS counted FROM slot""",
    "prediction": "SELECT job_id, ordinal, attempt, prediction_id, status, outcome FROM prediction",
    "artifact": "SELECT job_id, key, bytes, sha256 FROM artifact",
    "journal": "SELECT event_id, type, job_id, ordinal, outcome FROM journal",
    "parked_message": "SELECT queue, event_id FROM parked_message",
}


async def each_webhook_again(ground: Ground, times: int) -> list[Promise]:
    """``times`` webhooks, each ten times at once, and once more after 24 hours and after 7 days."""
    photo = a_tiny_photo()
    answers: Counter[int] = Counter()
    changed: list[str] = []
    twice: list[dict[str, Any]] = []
    open_jobs = sent = 0
    async with ground.rooms() as rooms, a_file_host() as host:
        host.serve("/out.png", photo)
        async with a_house(rooms, origin=host.origin) as house:
            for start in range(0, times, LOT):
                some = await _webhooks(house, host, min(LOT, times - start))
                answers.update(await _send(house, [one for one in some for _ in range(AT_ONCE)]))
                sent += AT_ONCE * len(some)
                await house.settled(within=SETTLES_WITHIN_S)
                before = await _effects(house)
                for span in LATER:
                    async with house.database.transaction() as tx:
                        await let_pass(tx, span)
                    answers.update(await _send(house, some))
                    sent += len(some)
                    await house.settled(within=SETTLES_WITHIN_S)
                    after = await _effects(house)
                    changed += [
                        f"{name} after {span}" for name in after if after[name] != before[name]
                    ]
            twice = await house.rows(
                """SELECT job_id, ordinal, type, count(*) FROM journal
                    WHERE type IN ('artifacts.stored', 'slot.failed', 'job.completed', 'job.failed')
                    GROUP BY 1, 2, 3 HAVING count(*) > 1"""
            )
            [still] = await house.rows("SELECT count(*) AS n FROM job WHERE ended_at IS NULL")
            open_jobs = int(still["n"])
    return [
        all_of("every one of them is taken", answers[204], sent),
        none("row that a repeated webhook changed", changed),
        none("end that was told twice", twice),
        none("job that did not end", open_jobs),
        told("webhooks, each", f"{times}, {AT_ONCE} at once and {len(LATER)} later"),
    ]


async def _webhooks(house: House, host: FileHost, count: int) -> list[tuple[bytes, str]]:
    """Bodies and ids of the last webhooks of so many fresh purchases."""
    made = []
    for number, (_, _, prediction_id) in enumerate(await buy(house.database, count)):
        status = VERDICTS[number % len(VERDICTS)]
        body = {
            "id": prediction_id,
            "status": status,
            "completed_at": utc_now().isoformat(),
            "output": [f"{host.origin}/out.png"] if status == "succeeded" else None,
            "error": None if status == "succeeded" else "no reason",
        }
        made.append((json.dumps(body).encode(), f"msg_{prediction_id}"))
    return made


async def _send(house: House, webhooks: list[tuple[bytes, str]]) -> Counter[int]:
    return Counter(await asyncio.gather(*(house.told(body, name) for body, name in webhooks)))


async def _effects(house: House) -> dict[str, str]:
    """A digest of every table that a webhook may move."""
    found = {}
    for table, sql in EFFECTS.items():
        lines = sorted(repr(row) for row in await house.rows(sql))
        found[table] = f"{len(lines)} rows, {hashlib.sha256(repr(lines).encode()).hexdigest()[:16]}"
    return found
