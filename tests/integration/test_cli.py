"""The command line on a real broker, database and bucket: what it publishes, and what it tells."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import aio_pika
import pytest

from services.cli import live
from services.cli.exit_codes import ExitCode
from shared.clock import utc_now
from shared.db import rate_limit
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from shared.messaging import topology
from shared.objects import open_bucket
from shared.recipes.standing import typical_of
from shared.recipes.variations import VARIATIONS
from shared.settings import BucketSettings
from tests.support import photos
from tests.support.purchases import a_job, a_slot, end_job, hear, news
from tests.support.waiting import eventually


async def darkroom(env: dict[str, str], *words: str) -> tuple[int, str, str]:
    """Run the command as an operator would: exit code, what it printed, what it complained of."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        *words,
        env={"PATH": os.defpath, "COLUMNS": "250"} | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def published(
    amqp_url: str, where: topology.Queue = topology.GENERATOR_JOBS
) -> dict[str, object]:
    """The first message that waits there: an order, if nothing else is asked for."""
    connection = await aio_pika.connect(amqp_url, timeout=5)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(where.name, ensure=False)
        message = await queue.get(timeout=5)
        assert message is not None
        await message.ack()
        body: dict[str, object] = json.loads(message.body)
        return body


async def test_words_alone_are_ordered_without_a_photo(service_environment: dict[str, str]) -> None:
    job_id = uuid4()

    code, out, err = await darkroom(
        service_environment,
        *("publish", "upload", "--recipe", "studio-concepts", "--job-id", str(job_id)),
        *("--param", "prompt=42", "--param", 'surface={"width": 12, "height": 8}'),
        *("--param", 'colours=["#112233", "#ddeeff"]', "--external-ref", "brief-7"),
        *("--metadata", '{"shop": 3}', "--locale", "ko"),
    )

    assert (code, out.strip()) == (0, str(job_id)), err
    order = await published(service_environment["AMQP_URL"])
    assert order["recipe"] == "studio-concepts"
    assert order["job_id"] == str(job_id)
    assert "source" not in order
    assert order["params"] == {
        "prompt": "42",
        "surface": {"width": 12, "height": 8},
        "colours": ["#112233", "#ddeeff"],
    }
    assert (order["metadata"], order["locale"]) == ({"shop": 3}, "ko")


async def test_a_url_is_passed_on_to_be_fetched(service_environment: dict[str, str]) -> None:
    url = "https://photos.example/old.jpg?sig=abc"

    code, _, err = await darkroom(
        service_environment,
        *("publish", "upload", "--recipe", "restoration", "--source-url", url),
        *("--callback-url", "https://shop.example/told"),
    )

    assert code == 0, err
    order = await published(service_environment["AMQP_URL"])
    assert order["source"] == {"url": url}
    assert order["callback_url"] == "https://shop.example/told"


async def test_the_photo_is_in_the_bucket_before_its_order_is_heard(
    service_environment: dict[str, str], tmp_path: "os.PathLike[str]"
) -> None:
    photo = os.path.join(tmp_path, "Me & you.PNG")  # noqa: PTH118
    with open(photo, "wb") as file:  # noqa: ASYNC230, PTH123
        file.write(photos.a_tiny_photo())

    code, out, err = await darkroom(service_environment, "publish", "upload", "--photo", photo)

    assert code == 0, err
    order = await published(service_environment["AMQP_URL"])
    key = f"jobs/{UUID(out.strip())}/original/original.png"
    assert order["source"] == {"key": key}
    async with open_bucket(_bucket(service_environment)) as bucket:
        assert await bucket.get_bytes(key, limit=10_000_000) == photos.a_tiny_photo()


async def test_what_lies_in_the_bucket_already_is_ordered_by_its_key_and_names_its_job(
    service_environment: dict[str, str],
) -> None:
    key = f"jobs/{(job_id := uuid4())}/original/old.png"
    async with open_bucket(_bucket(service_environment)) as bucket:
        await bucket.put(key, photos.a_tiny_photo(), content_type="image/png")

    code, out, err = await darkroom(service_environment, "publish", "upload", "--source-key", key)

    assert (code, out.strip()) == (0, str(job_id)), err
    order = await published(service_environment["AMQP_URL"])
    assert (order["job_id"], order["source"]) == (str(job_id), {"key": key})


async def test_a_key_under_which_nothing_lies_is_not_ordered(
    service_environment: dict[str, str],
) -> None:
    key = f"jobs/{uuid4()}/original/old.png"

    code, out, err = await darkroom(service_environment, "publish", "upload", "--source-key", key)

    assert (code, out) == (1, "")
    assert f"not ordered: there is no original at {key}" in err
    with pytest.raises(aio_pika.exceptions.QueueEmpty):
        await published(service_environment["AMQP_URL"])


async def test_what_cannot_be_planned_reaches_nobody(service_environment: dict[str, str]) -> None:
    code, out, err = await darkroom(
        service_environment, "publish", "upload", "--recipe", "sound-effect", "--param", "seconds=9"
    )

    assert (code, out) == (2, "")
    assert "prompt: is missing" in err
    with pytest.raises(aio_pika.exceptions.QueueEmpty):
        await published(service_environment["AMQP_URL"])


async def test_a_broker_that_is_away_is_a_sentence(service_environment: dict[str, str]) -> None:
    away = service_environment | {"AMQP_URL": "amqp://guest:hush@127.0.0.1:9/"}

    code, _, err = await darkroom(
        away, "publish", "upload", "--recipe", "sound-effect", "--param", "prompt=rain"
    )

    assert code == ExitCode.UNREACHABLE
    assert err.startswith("not ordered:")
    assert "hush" not in err
    assert "Traceback" not in err


async def test_a_job_is_shown_with_its_live_fields(
    database: Database, service_environment: dict[str, str]
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    async with database.transaction() as tx:
        await tx.execute("UPDATE prediction SET progress = 0.4")

    code, out, err = await darkroom(service_environment, "jobs", "show", str(slot.job_id), "--json")
    _, text, _ = await darkroom(
        service_environment, "jobs", "show", str(slot.job_id), "--locale", "ko"
    )

    assert code == 0, err
    shown = json.loads(out)["job"]
    assert shown["sentence"]["en"] == "It is being made (40 %)."
    assert shown["replicate_status"] == "processing"
    assert (shown["stored"], shown["n"], shown["report"]) == (0, 1, "pending")
    assert 0.3 < shown["progress"] < 0.5
    assert "token" not in json.loads(out)["predictions"][0]
    assert "만들고 있습니다(40%)." in text


async def test_a_job_that_waits_says_what_for_and_which_command_tells_more(
    database: Database, service_environment: dict[str, str]
) -> None:
    job_id = await a_job(database)
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO cost_cap (recipe, cap_micros, begins_at, ends_at, held_until)"
            " VALUES ('variations', 0, now() - interval '9 hours', now() + interval '15 hours',"
            " now() + interval '1 hour')"
        )
        await rate_limit.pause(
            tx, rate_limit.CREATES, lasting=timedelta(hours=1), reason="no credit left (402)"
        )
    for due_in in (None, None, timedelta(hours=1)):
        await park(database, job_id, due_in=due_in)

    show = ("jobs", "show", str(job_id))
    _, text, err = await darkroom(service_environment, *show)
    _, korean, _ = await darkroom(service_environment, *show, "--locale", "ko")
    _, told, _ = await darkroom(service_environment, *show, "--json")

    waits = [line for line in text.splitlines() if " ledger " in line or "parked list" in line]
    assert len(waits) == 3, err
    assert waits[0].startswith("waits ")
    assert "COST_CAPS" in waits[0]
    assert "no credit left (402)" in text
    assert f"messages for an operator: 2; `darkroom parked list --job {job_id} --dead`" in waits[1]
    assert f"messages for their next try: 1; `darkroom parked list --job {job_id}" in waits[2]
    assert "대기 사유" in korean
    assert json.loads(told)["parked"] == {"waiting": 1, "dead": 2}
    assert json.loads(told)["buying_paused"]["reason"] == "no credit left (402)"
    listed = waits[1].partition("`darkroom ")[2].rstrip("`").split()
    _, dead, _ = await darkroom(service_environment, *listed, "--json")
    assert len(json.loads(dead)) == 2


async def test_nothing_is_said_of_waiting_where_a_job_goes_its_way(
    database: Database, service_environment: dict[str, str]
) -> None:
    other = await a_job(database)
    slot = await a_slot(database, SlotState.RUNNING)
    async with database.transaction() as tx:
        await rate_limit.pause(
            tx, rate_limit.CREATES, lasting=timedelta(hours=1), reason="no credit left (402)"
        )
    await park(database, other, due_in=None)

    _, text, err = await darkroom(service_environment, "jobs", "show", str(slot.job_id))

    assert "running" in text, err
    assert "waits" not in text


async def test_a_job_whose_order_is_parked_is_not_only_unknown(
    database: Database, service_environment: dict[str, str]
) -> None:
    job_id = uuid4()
    await park(database, job_id, due_in=None)

    code, _, said = await darkroom(service_environment, "jobs", "show", str(job_id))

    assert code == 1
    assert f"no job {job_id} is known here" in said
    assert f"`darkroom parked list --job {job_id} --dead`" in said


async def park(database: Database, job_id: UUID, *, due_in: timedelta | None) -> None:
    envelope = Envelope(
        id=f"e-{uuid4()}",
        type="upload.received",
        source="test",
        time=utc_now(),
        body=b"{}",
        subject=str(job_id),
    )
    await Parked(database).park(
        "darkroom.generator.jobs",
        envelope,
        reason="no",
        trace=None,
        attempts=1,
        due_in=due_in,
    )


async def test_jobs_are_listed_with_their_sentences(
    database: Database, service_environment: dict[str, str]
) -> None:
    running = await a_slot(database, SlotState.RUNNING, prediction_id="p1")
    failed = await a_slot(database, SlotState.FAILED, prediction_id="p2")

    _, out, err = await darkroom(service_environment, "jobs", "list", "--json")
    _, text, _ = await darkroom(service_environment, "jobs", "list", "--locale", "ko")

    listed = {each["id"]: each for each in json.loads(out)}
    assert set(listed) == {str(running.job_id), str(failed.job_id)}, err
    assert listed[str(running.job_id)]["sentence"]["ko"] == "만들고 있습니다."
    assert "만들고 있습니다." in text


async def test_a_list_in_korean_speaks_korean_throughout(
    database: Database, service_environment: dict[str, str]
) -> None:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="p1")

    _, listed, _ = await darkroom(service_environment, "jobs", "list", "--locale", "ko")
    _, shown, _ = await darkroom(
        service_environment, "jobs", "show", str(slot.job_id), "--locale", "ko"
    )

    assert listed.split()[0] == "작업"
    assert "진행 중" in listed
    assert "running" not in listed + shown.partition("기록")[0]
    assert not {"job", "state", "progress", "slots", "files"} & set(shown.split())


async def test_for_programs_a_list_is_a_line_for_each_job_however_narrow_the_terminal(
    database: Database, service_environment: dict[str, str]
) -> None:
    long = f"brief\nof\u2028a\x85\x1b[2J {'the long name of somebody ' * 6}"
    ids = {str(await a_job(database, external_ref=ref)) for ref in (long, "brief-7")}

    _, out, err = await darkroom(service_environment | {"COLUMNS": "40"}, "jobs", "list")

    head, *lines = out.splitlines()
    assert head.split() == ["job", "recipe", "state", "stored", "reference", "ordered", "sentence"]
    assert {line.split()[0] for line in lines} == ids, err
    assert len(lines) == 2
    assert all("Your order is in" in line[head.index("sentence") :] for line in lines)
    [named] = [line for line in lines if "brief of a [2J the long name of somebody" in line]
    assert named.index("brief of") == head.index("reference")
    assert lines == [line.rstrip() for line in lines]


async def test_a_list_says_that_there_is_more_and_that_there_is_nothing(
    database: Database, service_environment: dict[str, str]
) -> None:
    _, _, empty = await darkroom(service_environment, "jobs", "list")
    for _ in range(3):
        await a_job(database, external_ref="brief-7")

    by_ref = ("jobs", "list", "--external-ref", "brief-7", "--limit")
    _, two, said = await darkroom(service_environment, *by_ref, "2", "--json")
    _, _, all_of_them = await darkroom(service_environment, *by_ref, "3")
    _, _, nobodys = await darkroom(service_environment, "jobs", "list", "--external-ref", "brief-8")

    assert "no jobs yet" in empty
    assert len(json.loads(two)) == 2
    assert "there are more; --limit shows them" in said
    assert "more" not in all_of_them
    assert "no job has the reference 'brief-8'" in nobodys


async def test_a_job_is_meant_by_a_beginning_that_only_it_has(
    database: Database, service_environment: dict[str, str]
) -> None:
    first, second = UUID("0badcafe-0000-4000-8000-000000000001"), UUID(int=0xBADCAFE << 96 | 2)
    for job_id in (first, second):
        await a_job(database, id=job_id, external_ref=str(job_id))

    code, out, err = await darkroom(
        service_environment, "jobs", "show", "0BADCAFE-0000-4", "--json"
    )
    several = await darkroom(service_environment, "jobs", "show", "0badcafe")
    nobodys = await darkroom(service_environment, "jobs", "cancel", "0badcafd")
    short = await darkroom(service_environment, "jobs", "watch", "0badcaf")
    told, _, _ = await darkroom(service_environment, "jobs", "cancel", "0badcafe-0000-4")

    assert (code, json.loads(out)["job"]["id"]) == (0, str(first)), err
    assert several[0] == 1
    assert str(first) in several[2]
    assert str(second) in several[2]
    assert (nobodys[0], nobodys[2].strip()) == (
        1,
        "no job that begins with 0badcafd is known here",
    )
    assert short[0] == 2
    assert told == 0
    wish = await published(service_environment["AMQP_URL"], topology.AGGREGATOR_SLOTS)
    assert wish["job_id"] == str(first)
    with pytest.raises(aio_pika.exceptions.QueueEmpty):
        await published(service_environment["AMQP_URL"], topology.AGGREGATOR_SLOTS)


async def test_a_wish_to_cancel_is_published_for_jobs_that_are_open_or_not_known_yet(
    database: Database, service_environment: dict[str, str]
) -> None:
    running, ended = (
        await a_slot(database, SlotState.RUNNING),
        await a_slot(database, SlotState.CREATING),
    )
    await end_job(database, ended.job_id)
    unknown = uuid4()

    code, out, err = await darkroom(
        service_environment,
        *("jobs", "cancel", str(running.job_id), str(ended.job_id), str(unknown)),
        *("--reason", "ordered by mistake"),
    )

    amqp = service_environment["AMQP_URL"]
    wishes = [await published(amqp, topology.AGGREGATOR_SLOTS) for _ in range(2)]
    assert wishes == [
        {"job_id": str(job_id), "reason": "ordered by mistake"}
        for job_id in (running.job_id, unknown)
    ]
    assert code == 1
    assert f"{running.job_id} is told to end" in out
    assert f"{unknown} is not known here yet: it is canceled when its order comes" in out
    assert f"{ended.job_id} has ended before: it is canceled" in err


async def test_what_the_end_of_a_job_spared_is_shown_with_it(
    database: Database, service_environment: dict[str, str]
) -> None:
    running = await a_slot(database, SlotState.RUNNING)
    await end_job(database, running.job_id)
    canceled = news("p1", "canceled", metrics={"predict_time": 1.5})
    async with database.transaction() as tx:
        await tx.execute("UPDATE prediction SET micros_per_second = 975, micros_per_output = 0")
    await hear(database, canceled)

    show = ("jobs", "show", str(running.job_id))
    code, out, err = await darkroom(service_environment, *show, "--json")
    _, text, _ = await darkroom(service_environment, *show)

    assert code == 0, err
    spared = json.loads(out)["spared"]
    typical = typical_of(VARIATIONS)
    assert typical is not None
    saved = typical.micros() - round(1.5 * 975)
    assert spared == {"not_bought": 0, "stopped": 1, "micros": saved, "saved": saved / 1e6}
    line = f"spared     0 never bought, 1 stopped at Replicate, about ${saved / 1e6:.4f} saved"
    assert line in text


async def test_watching_a_job_that_nobody_ordered_ends_with_a_sentence(
    service_environment: dict[str, str],
) -> None:
    job_id = uuid4()

    code, _, err = await darkroom(service_environment, "jobs", "watch", str(job_id))

    assert code == 1
    assert f"no job {job_id} is known here" in err


async def test_who_watches_an_order_that_nobody_takes_is_told_so_once(
    database: Database,
    service_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "UNKNOWN_FOR_S", 0.1)
    monkeypatch.setattr(live, "LOOK_AGAIN_S", 0.1)
    chosen = live.FollowSettings.model_validate(
        {
            name.lower(): value
            for name, value in service_environment.items()
            if name.lower() in live.FollowSettings.model_fields
        }
    )
    told: list[str] = []
    looks: list[int] = []  # at each, how often it was told by then

    class Looks(live.Unseen):
        def update(self, views: Sequence[live.View]) -> None:
            assert views == []
            looks.append(len(told))

    following = asyncio.create_task(
        live.follow(chosen, [uuid4()], show=Looks(), unknown=lambda: told.append("nobody"))
    )

    async def looked_on() -> int:
        return sum(times > 0 for times in looks)

    await eventually("it looks on after that", looked_on, holds=lambda n: n >= 3)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert told == ["nobody"]


async def test_watching_ends_with_the_job_and_says_by_its_code_how(
    database: Database, service_environment: dict[str, str]
) -> None:
    slot = await a_slot(database, SlotState.FAILED)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE job SET state = 'failed', failed = 1, ended_at = now() WHERE id = $1",
            slot.job_id,
        )

    code, out, err = await darkroom(
        service_environment, "jobs", "watch", str(slot.job_id), "--json"
    )

    assert code == 1, err
    told = json.loads(out.splitlines()[-1])
    assert (told["state"], told["progress"], told["report"]) == ("failed", 1.0, None)


def _bucket(env: dict[str, str]) -> BucketSettings:
    return BucketSettings.model_validate(
        {
            name.lower(): value
            for name, value in env.items()
            if name.lower() in BucketSettings.model_fields
        }
    )
