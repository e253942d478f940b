"""The log that every proof rests on, the clock, and the command."""

import asyncio
import hashlib
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from deploy.local.emulator.clock import Clock
from deploy.local.emulator.ledger import Ledger, without_secrets
from tests.support.emulated import TOKEN, a_world
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


async def test_a_purchase_is_followed_from_its_create_to_its_last_file() -> None:
    async with a_world() as world:
        ended = await world.bought(events=("completed",))
        await world.written("delivery")
        await world.fetch(ended["output"][0])

        kinds = [one["kind"] for one in world.emulator.ledger.entries()]
        numbers = [one["seq"] for one in world.emulator.ledger.entries()]
        assert [kind for kind in kinds if kind != "request"] == [
            "began",
            "purchase",
            "input_fetch",
            "ended",
            "delivery",
            "file_fetch",
        ]
        assert numbers == list(range(1, len(numbers) + 1))
        [bought] = world.emulator.ledger.entries("purchase")
        assert bought["webhook"] == world.buyer.webhook_url
        assert bought["sensitive"] == ["webhook"]
        assert bought["seed"] == 7


async def test_an_end_tells_each_file_that_the_output_names_by_size_and_hash() -> None:
    async with a_world() as world:
        ended = await world.bought(num_outputs=2)
        fetched = [(await world.fetch(url))[2] for url in ended["output"]]
        [told] = world.emulator.ledger.entries("ended")

    assert told["files"] == [
        {"bytes": len(file), "sha256": hashlib.sha256(file).hexdigest()} for file in fetched
    ]


async def test_an_end_tells_no_file_that_the_output_does_not_name() -> None:
    async with a_world(faults=({"fault": "output", "shape": "null"},)) as world:
        await world.bought()
        [told] = world.emulator.ledger.entries("ended")

    assert (told["files"], told["outputs"]) == ([], 1)


async def test_no_secret_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    async with a_world(ledger_path=path) as world:
        ended = await world.bought()
        heard = await world.heard("the last word")
        await world.fetch(ended["output"][0])
        secret = world.emulator.webhook_secret

    text = path.read_text()
    assert world.buyer.photo_url.split("?")[0] in text
    assert "very-secret" not in text
    assert TOKEN not in text
    assert secret.removeprefix("whsec_") not in text
    assert not [one for one in heard if one.headers["webhook-signature"] in text]


async def test_the_file_says_what_memory_says(tmp_path: Path) -> None:
    path = tmp_path / "below" / "ledger.jsonl"
    async with a_world(ledger_path=path) as world:
        await world.bought()
        await world.heard("the last word")
        entries = world.emulator.ledger.entries()
        lines = [json.loads(line) for line in path.read_text().splitlines()]

        assert lines[: len(entries)] == entries


async def test_a_second_emulator_goes_on_where_the_first_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = Ledger(Clock(), path)
    first.write("began")
    first.write("purchase")
    first.close()
    with path.open("a") as torn:
        torn.write('{"seq": 3, "ki')

    second = Ledger(Clock(), path)
    second.write("began")
    second.close()

    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["seq"], last["kind"]) == (3, "began")
    assert [one["seq"] for one in second.entries(after=2)] == [3]


async def test_a_long_run_keeps_only_its_last_entries_in_memory_and_all_in_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(Clock(), path, keeps=2)
    for kind in ("began", "purchase", "ended", "delivery"):
        ledger.write(kind)
    ledger.close()

    assert [entry["kind"] for entry in ledger.entries()] == ["ended", "delivery"]
    assert [entry["seq"] for entry in ledger.entries(after=3)] == [4]
    assert len(path.read_text().splitlines()) == 4


async def test_it_is_read_over_http_from_where_one_left_off() -> None:
    async with a_world() as world:
        await world.bought()
        _, first, _ = await world.ask("GET", "/_emulator/ledger?kind=purchase")
        bought = json.loads(first)
        _, rest, _ = await world.ask("GET", f"/_emulator/ledger?after={bought['seq']}")
        wrong, _, _ = await world.ask("GET", "/_emulator/ledger?after=yesterday")

        assert next(json.loads(line)["seq"] for line in rest.splitlines()) == bought["seq"] + 1
        assert wrong == 400


def test_inputs_are_kept_without_what_would_open_them() -> None:
    kept = without_secrets(
        {
            "image": "https://bucket/photo.jpg?X-Amz-Signature=abc",
            "more": ["data:image/png;base64," + "A" * 5000, "p" * 5000, 7],
        }
    )

    assert kept["image"] == "https://bucket/photo.jpg?…"
    assert len(json.dumps(kept)) < 1000
    assert kept["more"][2] == 7


async def test_the_clock_jumps_for_those_who_sleep() -> None:
    clock = Clock()
    asleep: list[int] = []
    order: list[int] = []

    async def all_asleep() -> bool:
        return len(asleep) == 3

    async def sleeper(seconds: int) -> None:
        asleep.append(seconds)
        await clock.sleep(seconds)
        order.append(seconds)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for seconds in (3000, 1000, 2000):
            group.create_task(sleeper(seconds))
        await eventually("all are asleep", all_asleep)
        clock.advance(3600)

    assert order == [1000, 2000, 3000]
    assert clock.now() >= 3600


async def test_the_clock_is_turned_over_http() -> None:
    async with a_world(speed=1.0) as world:
        status, moved, _ = await world.ask(
            "POST", "/_emulator/clock", {"advance_s": 100, "speed": 20}
        )
        wrong, _, _ = await world.ask("POST", "/_emulator/clock", {"advance_s": -1})

        assert (status, wrong) == (200, 400)
        assert moved["t"] >= 100
        assert world.emulator.clock.speed == 20


async def test_the_command_says_where_it_is_and_ends_when_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.local.emulator", "--port", "0", "--files-port", "0"),
        *("--ledger-path", str(path), "--faults", '[{"fault": "fail", "rate": 0.5}]'),
        cwd=ROOT,
        env={"EMULATOR_SPEED": "20", "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    async with aiohttp.ClientSession() as session:
        async with session.get(ready["url"] + "/_emulator/faults") as response:
            faults = await response.json()
    process.send_signal(signal.SIGTERM)

    assert await asyncio.wait_for(process.wait(), 20) == 0
    assert [rule["fault"] for rule in faults["rules"]] == ["fail"]
    assert json.loads(path.read_text().splitlines()[0])["speed"] == 20


async def test_a_wrong_setting_is_named_and_its_value_is_not() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.local.emulator"),
        cwd=ROOT,
        env={"EMULATOR_WEBHOOK_SECRET": "not-a-webhook-secret"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 2
    assert b"webhook_secret" in complaint
    assert b"not-a-webhook-secret" not in complaint


async def test_it_closes_while_predictions_run() -> None:
    async with a_world(run_s=600) as world:
        for seed in range(20):
            await world.buy(seed=seed)
        url = world.emulator.url

    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)


async def test_a_hundred_predictions_at_once_all_end_and_all_are_told() -> None:
    async with a_world() as world:
        async with asyncio.TaskGroup() as group:
            for seed in range(100):
                group.create_task(world.buy(seed=seed, events=("completed",)))

        await world.written("delivery", count=100, heard=True)
        ended = world.emulator.ledger.entries("ended", status="succeeded")
        assert len({one["prediction"] for one in ended}) == 100
