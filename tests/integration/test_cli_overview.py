"""The overview, lists and stories that the command line tells, on a real database and broker."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from deploy.local.logins import as_party
from services.cli.exit_codes import ExitCode
from shared.clock import utc_now
from shared.db import caps, journal, parked
from shared.db.connection import Database
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from shared.messaging.publisher import open_publisher
from shared.messaging.topology import STORAGE_OUTPUTS
from shared.rights.accounts import OPERATOR
from tests.integration.test_cli import darkroom
from tests.support.consuming import an_event
from tests.support.days import where_it_is_noon
from tests.support.purchases import a_job, a_slot, end_job, hear, news, the_purchase
from tests.support.waiting import eventually

Env = dict[str, str]
HERE = where_it_is_noon()
AT_NOON = {"TIMEZONE": HERE.key}
AWAY = {"DATABASE_URL": "postgresql://nobody:hush@127.0.0.1:9/none"}


async def told(env: Env, *words: str) -> object:
    code, out, err = await darkroom(env, *words, "--json")
    assert code == 0, err
    return json.loads(out)


class TestOverview:
    async def test_its_numbers_are_those_of_the_installation(
        self, database: Database, service_environment: Env
    ) -> None:
        await a_slot(database, SlotState.SUCCEEDED)
        async with database.transaction() as tx:
            await parked.park(
                tx,
                STORAGE_OUTPUTS.name,
                an_event("a"),
                reason="why",
                trace=None,
                attempts=1,
                due_in=None,
            )
        async with open_publisher(service_environment["AMQP_URL"], name="t") as publisher:
            await publisher.publish(an_event())

        said = await told(service_environment, "overview")
        _, text, _ = await darkroom(service_environment, "overview")
        _, korean, _ = await darkroom(service_environment, "overview", "--locale", "ko")

        assert isinstance(said, dict)
        assert said["backlog"]["store"]["count"] == 1
        queues = {queue["name"]: queue for queue in said["queues"]}
        assert queues["darkroom.aggregator.slots"]["ready"] == 1
        assert queues[STORAGE_OUTPUTS.name]["dead"]["count"] == 1
        assert [one["code"] for one in said["concerns"]] == [
            "files_lost",
            "queue_unheard",
            "messages_dead",
        ]
        lines = [line.strip() for line in text.splitlines()]
        dead = "! messages wait for a person: `darkroom parked list --dead`, "
        assert f"{dead}docs/runbook/messages-dead.md" in lines
        assert "! 사람의 판단을 기다리는 메시지가 있습니다" in korean
        assert "darkroom.aggregator.slots" in text
        # Nobody knows what its purchase cost: that is not nothing.
        assert "알 수 없음" in korean
        assert "$0.0000" not in text

    async def test_the_money_of_the_day_and_its_caps_are_in_it(
        self, database: Database, service_environment: Env
    ) -> None:
        async with database.transaction() as tx:
            await caps.take(
                tx,
                "variations",
                cap_micros=1000,
                estimate_micros=4000,
                wanted=1,
                zone=HERE,
                look_again=timedelta(minutes=1),
            )

        _, text, _ = await darkroom(service_environment | AT_NOON, "overview")

        assert "$0.0000 / $0.0010, its orders wait" in text

    async def test_an_operator_needs_no_more_than_an_operators_accounts(
        self, database: Database, service_environment: Env, database_url: str
    ) -> None:
        await a_slot(database, SlotState.SUBMITTED)
        operator = service_environment | {"DATABASE_URL": as_party(database_url, OPERATOR)}

        said = await told(operator, "overview")

        assert isinstance(said, dict)
        assert said["jobs"]["open"]["count"] == 1

    async def test_the_ledger_says_how_much_a_cap_holds_back(
        self, database: Database, service_environment: Env
    ) -> None:
        await a_job(database, n=3)
        await a_job(database, recipe="restoration")
        async with database.transaction() as tx:
            await caps.take(
                tx,
                "variations",
                cap_micros=1000,
                estimate_micros=4000,
                wanted=3,
                zone=HERE,
                look_again=timedelta(minutes=1),
            )
        env = service_environment | AT_NOON | {"REPLICATE_API_TOKEN": "r8_" + "a" * 37}

        said = await told(env, "ledger", "--no-provider")
        _, text, _ = await darkroom(env, "ledger", "--no-provider")

        assert isinstance(said, dict)
        [cap] = said["caps"]
        assert (cap["recipe"], cap["holds"], cap["waiting_slots"]) == ("variations", True, 3)
        assert "its orders wait, 3 slots" in text

    async def test_a_broker_that_is_away_leaves_question_marks_and_no_trace(
        self, service_environment: Env, database: Database
    ) -> None:
        away = service_environment | {"AMQP_URL": "amqp://guest:hush@127.0.0.1:9/"}

        code, out, err = await darkroom(away, "overview")

        assert (code, err) == (0, "")
        assert "! the broker does not tell how full its queues are" in out
        assert "?" in out

    async def test_a_database_that_is_away_is_a_code_of_its_own(
        self, service_environment: Env
    ) -> None:
        code, out, err = await darkroom(service_environment | AWAY, "overview", "--json")

        assert (code, out) == (ExitCode.UNREACHABLE, "")
        assert err.startswith("Postgres does not answer")
        assert "hush" not in err

    async def test_watching_tells_anew_until_it_is_stopped(
        self, database: Database, service_environment: Env
    ) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", "overview", "--watch", "--json"),
            env={"PATH": os.defpath} | service_environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Whoever runs these tests in the background may have us ignore it, and it with us.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(60):
                first = json.loads(await process.stdout.readline())
                await a_job(database)
                # The look that was under way may have missed it; each has a line.
                second = first
                while second["jobs"]["open"]["count"] == first["jobs"]["open"]["count"]:
                    second = json.loads(await process.stdout.readline())
                process.send_signal(signal.SIGINT)
                _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

        assert (first["jobs"]["open"]["count"], second["jobs"]["open"]["count"]) == (0, 1)
        assert process.returncode == ExitCode.INTERRUPTED
        assert b"Traceback" not in err


class TestList:
    async def test_every_filter_of_the_api_is_one_here(
        self, database: Database, service_environment: Env
    ) -> None:
        plain = await a_job(database)
        other = await a_job(database, recipe="restoration", external_ref="r-1")
        ended = await a_job(database)
        await end_job(database, ended)
        async with database.connection() as db:
            await db.execute(
                "UPDATE job SET created_at = now() - interval '2 hours' WHERE id = $1", plain
            )

        async def listed(*words: str) -> set[str]:
            said = await told(service_environment, "jobs", "list", *words)
            assert isinstance(said, list)
            return {job["id"] for job in said}

        assert await listed("--recipe", "restoration") == {str(other)}
        assert await listed("--external-ref", "r-1") == {str(other)}
        assert await listed("--state", "canceled") == {str(ended)}
        assert await listed("--since", "1h") == {str(other), str(ended)}
        assert await listed("--state", "failed") == set()

    async def test_a_list_goes_on_where_the_one_before_said(
        self, database: Database, service_environment: Env
    ) -> None:
        ordered = [str(await a_job(database)) for _ in range(3)]

        code, out, err = await darkroom(
            service_environment, "jobs", "list", "--json", "--limit", "2"
        )
        goes_on = err.split("--cursor ")[1].split()[0]
        rest = await told(service_environment, "jobs", "list", "--cursor", goes_on)

        assert code == 0
        assert isinstance(rest, list)
        seen = [job["id"] for job in [*json.loads(out), *rest]]
        assert seen == ordered[::-1]

    async def test_a_cursor_that_was_never_one_is_refused(self, service_environment: Env) -> None:
        code, _, err = await darkroom(service_environment, "jobs", "list", "--cursor", "x")

        assert code == ExitCode.USAGE
        assert "is no cursor of ours" in err

    async def test_an_order_that_nobody_has_planned_yet_is_in_it(
        self, database: Database, service_environment: Env
    ) -> None:
        planned, order_id = await a_job(database), await an_order(database)

        said = await told(service_environment, "jobs", "list")
        _, text, _ = await darkroom(service_environment, "jobs", "list")

        assert isinstance(said, list)
        waiting, known = said
        assert (waiting["id"], known["id"]) == (str(order_id), str(planned))
        assert (waiting["state"], waiting["recipe"], waiting["external_ref"]) == (
            "pending",
            "variations",
            "r-7",
        )
        assert set(waiting) == set(known)
        assert "0/0" in text


async def an_order(database: Database) -> UUID:
    """One that was taken over HTTP."""
    order_id = uuid4()
    order = Envelope(
        id=f"order-{order_id}",
        type="upload.received",
        source="api",
        time=utc_now(),
        body=json.dumps({"recipe": "variations", "external_ref": "r-7"}).encode(),
        subject=str(order_id),
    )
    async with database.transaction() as tx:
        assert await journal.say(tx, order)
    return order_id


class TestStories:
    async def test_an_order_that_nobody_has_planned_yet_is_known_by_the_beginning_of_its_id(
        self, database: Database, service_environment: Env
    ) -> None:
        order_id = await an_order(database)

        _, _, err = await darkroom(service_environment, "jobs", "show", str(order_id)[:8])

        assert f"job {order_id} is ordered, and waits to be planned" in err

    async def test_an_order_that_nobody_has_planned_yet_is_waited_for(
        self, database: Database, service_environment: Env
    ) -> None:
        order_id = await an_order(database)
        code, _, err = await darkroom(service_environment, "jobs", "show", str(order_id))

        watching = asyncio.create_task(
            darkroom(service_environment, "jobs", "watch", str(order_id), "--json")
        )

        async def is_watched() -> bool:
            async with database.connection() as db:
                return bool(
                    await db.fetchval(
                        "SELECT count(*) FROM pg_stat_activity "
                        "WHERE application_name = 'darkroom-cli' AND datname = current_database()"
                    )
                )

        await eventually("the command looks on", is_watched)
        await a_job(database, id=order_id)
        await end_job(database, order_id)
        ended, out, _ = await watching

        assert (code, "waits to be planned" in err) == (ExitCode.FOUND, True)
        assert ended == ExitCode.CANCELED
        assert json.loads(out.splitlines()[-1])["state"] == "canceled"

    async def test_the_webhooks_of_a_job_are_shown_with_their_bodies(
        self, database: Database, service_environment: Env
    ) -> None:
        slot = await a_slot(database, SlotState.SUBMITTED)
        row = await the_purchase(database, slot)
        secret = "https://files.example/in.png?X-Amz-Signature=hush"
        await hear(
            database,
            news(
                "p1",
                "processing",
                row=row,
                input={"image": secret},
                extensions={"darkroom-origin": "webhook", "webhook-id": "msg_1"},
            ),
        )

        said = await told(service_environment, "jobs", "show", str(slot.job_id), "--webhooks")
        _, text, _ = await darkroom(
            service_environment, "jobs", "show", str(slot.job_id), "--webhooks"
        )

        assert isinstance(said, list)
        [one] = said
        assert (one["webhook_id"], one["type"], one["verdict"]) == (
            "msg_1",
            "prediction.progressed",
            "moved",
        )
        assert json.loads(one["body"])["status"] == "processing"
        assert '"status": "processing"' in text
        assert "hush" not in text + one["body"]

    async def test_following_a_job_that_is_canceled_ends_with_a_code_of_its_own(
        self, database: Database, service_environment: Env
    ) -> None:
        job_id = await a_job(database)
        await end_job(database, job_id)

        code, _, err = await darkroom(service_environment, "jobs", "watch", str(job_id))

        assert code == ExitCode.CANCELED, err

    async def test_a_wish_to_cancel_is_told_to_programs(
        self, database: Database, service_environment: Env
    ) -> None:
        open_, ended, unknown = await a_job(database), await a_job(database), UUID(int=9)
        await end_job(database, ended)

        code, out, _ = await darkroom(
            service_environment,
            *("jobs", "cancel", str(open_), str(ended), str(unknown), "--json"),
        )

        assert code == ExitCode.FOUND
        assert [(one["job_id"], one["asked"], one["state"]) for one in json.loads(out)] == [
            (str(open_), True, "pending"),
            (str(ended), False, "canceled"),
            (str(unknown), True, None),
        ]

    async def test_what_is_done_with_parked_messages_is_told_to_programs(
        self, database: Database, service_environment: Env
    ) -> None:
        async with database.transaction() as tx:
            for event in ("a", "b"):
                await parked.park(
                    tx,
                    STORAGE_OUTPUTS.name,
                    an_event(event),
                    reason="why",
                    trace=None,
                    attempts=1,
                    due_in=None,
                )

        would = await told(service_environment, "parked", "replay", "--all", "--dry-run")
        replayed = await told(service_environment, "parked", "replay", "a")
        discarded = await told(service_environment, "parked", "discard", "b", "--yes")
        nothing = await told(service_environment, "parked", "discard", "--all", "--yes")

        assert isinstance(would, dict)
        assert (would["would_be"], [kind["queue"] for kind in would["kinds"]]) == (
            2,
            [STORAGE_OUTPUTS.name],
        )
        assert (replayed, discarded, nothing) == (
            {"brought_back": 1},
            {"discarded": 1},
            {"discarded": 0},
        )


class TestShell:
    """The real program, as the scripts of a shell call it."""

    async def test_ids_of_jobs_are_completed_the_latest_first(
        self, database: Database, service_environment: Env
    ) -> None:
        ended, open_ = await a_job(database), await a_job(database)
        await end_job(database, ended)

        assert await completed(service_environment, "darkroom jobs show ") == [
            str(open_),
            str(ended),
        ]
        assert await completed(service_environment, "darkroom jobs cancel ") == [str(open_)]
        begins = str(ended)[:12]
        assert await completed(service_environment, f"darkroom jobs show {begins}") == [str(ended)]

    @pytest.mark.parametrize("away", [AWAY, {"DATABASE_URL": "nonsense"}, {"DATABASE_URL": ""}])
    async def test_where_no_database_answers_nothing_is_completed_and_nothing_said(
        self, service_environment: Env, away: Env
    ) -> None:
        assert await completed(service_environment | away, "darkroom jobs show ") == []

    @pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
    async def test_a_real_bash_completes_by_the_script_that_the_command_shows(
        self, database: Database, service_environment: Env, tmp_path: Path
    ) -> None:
        job_id = await a_job(database)
        program = tmp_path / "darkroom"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m services.cli "$@"\n')
        program.chmod(0o755)
        env = service_environment | {"PATH": f"{tmp_path}:{os.defpath}"}
        script = await asyncio.to_thread(
            subprocess.run,
            ["darkroom", "--show-completion", "bash"],
            env=env | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        ask = (
            f"{script.stdout}\n"
            "COMP_WORDS=(darkroom jobs show ''); COMP_CWORD=3\n"
            "_darkroom_completion darkroom; echo ${COMPREPLY[@]}\n"
        )

        said = await asyncio.to_thread(
            subprocess.run, ["bash", "-c", ask], env=env, capture_output=True, text=True, check=True
        )

        assert said.stdout.split() == [str(job_id)], said.stderr


async def completed(env: Env, line: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli"),
        env={"PATH": os.defpath, "COMP_WORDS": line, "_DARKROOM_COMPLETE": "complete_bash"}
        | env
        | {"COMP_CWORD": str(len(line.split(" ")) - 1)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return out.decode().split()
