"""Every bad day that has a name, once."""

import io
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from deploy.local.emulator.faults import FAULTS, Faults, Subject, UnknownFault
from tests.support.emulated import ALL_EVENTS, World, a_world
from tests.support.waiting import eventually

README = Path(__file__).parents[2] / "deploy" / "local" / "emulator" / "README.md"


def the(fault: str, **options: Any) -> dict[str, Any]:
    """A world in which this happens to every prediction."""
    return {"faults": ({"fault": fault, **options},)}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Unauthenticated"),
        (402, "insufficient credit"),
        (404, "could not be found"),
        (422, "Input validation failed"),
        (429, "Request was throttled"),
        (500, "<html>"),
        (502, "<html>"),
    ],
)
async def test_a_refused_create_buys_nothing(status: int, words: str) -> None:
    async with a_world(**the("refuse", status=status)) as world:
        answered, body, _ = await world.ask("POST", "/v1/predictions", world.order())

        assert answered == status
        assert words in str(body)
        assert world.emulator.ledger.entries("purchase") == []


async def test_a_throttled_create_says_in_its_body_how_long_to_wait() -> None:
    async with a_world(**the("refuse", status=429, retry_after=12)) as world:
        _, body, headers = await world.ask("POST", "/v1/predictions", world.order())

        assert body["retry_after"] == 12
        assert "~12s" in body["detail"]
        assert "Retry-After" not in headers


async def test_a_lost_answer_was_a_purchase_all_the_same() -> None:
    async with a_world(**the("lose_create_answer")) as world:
        with pytest.raises(aiohttp.ClientError):
            await world.buy()
        heard = await world.heard("the orphan's last word")

        [bought] = world.emulator.ledger.entries("purchase")
        [request] = await world.written("request", fault="lose_create_answer")
        assert heard[-1].body["id"] == bought["prediction"] == request["prediction"]
        assert request["status"] == 0


async def test_a_torn_create_buys_nothing() -> None:
    async with a_world(**the("tear")) as world:
        with pytest.raises(aiohttp.ClientError):
            await world.buy()

        await world.written("request", fault="tear")
        assert world.emulator.ledger.entries("purchase") == []


async def test_an_unreadable_answer_was_a_purchase() -> None:
    async with a_world(**the("unreadable_create_answer")) as world:
        status, body, _ = await world.ask("POST", "/v1/predictions", world.order())

        assert (status, body) == (201, "<html>created</html>")
        assert len(world.emulator.ledger.entries("purchase")) == 1


async def test_reads_can_be_refused_too() -> None:
    async with a_world(**the("refuse", status=502, on=["get", "list"])) as world:
        created = await world.buy()
        got, _, _ = await world.ask("GET", f"/v1/predictions/{created['id']}")
        listed, _, _ = await world.ask("GET", "/v1/predictions")

        assert (got, listed) == (502, 502)


async def test_an_answer_can_be_late() -> None:
    async with a_world(**the("slow_answer", seconds=0.3)) as world:
        await world.buy()

        [request] = await world.written("request")
        assert request["ms"] >= 300


async def test_a_version_can_be_hidden() -> None:
    async with a_world(**the("hidden_version")) as world:
        assert (await world.buy())["version"] == "hidden"


async def test_answers_can_keep_the_webhook_to_themselves() -> None:
    async with a_world(**the("no_webhook_echo")) as world:
        created = await world.buy()
        _, page, _ = await world.ask("GET", "/v1/predictions")
        heard = await world.heard("the last word")

        assert "webhook" not in created
        assert "webhook" not in page["results"][0]
        assert heard[-1].body["webhook"] == world.buyer.webhook_url


async def test_a_cold_start_delays_the_start() -> None:
    async with a_world(**the("cold_start", seconds=200)) as world:
        created = await world.buy()
        assert created["status"] == (await world.get(created["id"]))["status"] == "starting"

        world.emulator.clock.advance(200)

        assert (await world.ended(created["id"]))["metrics"]["total_time"] >= 200


async def test_a_start_can_lie_before_the_creation() -> None:
    async with a_world(**the("early_start")) as world:
        ended = await world.bought()

        started, created = (
            datetime.fromisoformat(ended[of]) for of in ("started_at", "created_at")
        )
        assert started < created


async def test_what_is_stuck_in_starting_can_only_be_canceled() -> None:
    async with a_world(**the("stuck_starting")) as world:
        created = await world.buy()
        world.emulator.clock.advance(10_000)
        stuck = await world.get(created["id"])
        await world.ask("POST", f"/v1/predictions/{created['id']}/cancel")

        assert stuck["status"] == "starting"
        assert (await world.get(created["id"]))["status"] == "canceled"


async def test_an_abort_never_started_and_is_not_billed() -> None:
    async with a_world(**the("abort")) as world:
        aborted = await world.bought()
        heard = await world.heard("the last word")

        [ended] = world.emulator.ledger.entries("ended")
        assert (aborted["status"], "started_at" in aborted) == ("aborted", False)
        assert ended["billed"] is False
        assert [one.status for one in heard] == ["aborted"]


async def test_an_abort_may_go_untold() -> None:
    async with a_world(**the("abort"), webhook_for_aborted=False) as world:
        await world.bought()
        await world.written("ended")

        assert world.emulator.ledger.entries("delivery") == []


async def test_a_run_can_be_canceled_by_nobody() -> None:
    async with a_world(**the("cancel")) as world:
        assert (await world.bought())["status"] == "canceled"


async def test_a_run_fails_with_the_error_that_was_asked_for() -> None:
    async with a_world(**the("fail", error="Something broke (E8765)")) as world:
        failed = await world.bought()

        assert (failed["status"], failed["error"]) == ("failed", "Something broke (E8765)")
        assert failed["output"] is None


async def test_a_status_can_be_one_that_nobody_knows() -> None:
    async with a_world(**the("unknown_status", status="exploded")) as world:
        await world.bought()
        heard = await world.heard("the last word")

        assert heard[-1].status == "exploded"


async def test_some_outputs_are_dropped_with_gaps_in_their_names() -> None:
    async with a_world(**the("nsfw", drop=[1, 2])) as world:
        ended = await world.bought(num_outputs=4)

        names = [url.rsplit("/", maxsplit=1)[1] for url in ended["output"]]
        assert names == ["out-0.png", "out-3.png"]
        assert ended["status"] == "succeeded"


async def test_all_outputs_dropped_is_a_failure_in_the_providers_words() -> None:
    async with a_world(**the("nsfw")) as world:
        ended = await world.bought(num_outputs=4)

        assert ended["status"] == "failed"
        assert ended["error"].startswith("NSFW content detected.")


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ("null", type(None)),
        ("empty", list),
        ("string", str),
        ("list", list),
        ("dict", dict),
        ("number", int),
        ("data_url", str),
    ],
)
async def test_a_success_can_carry_any_output(shape: str, kind: type) -> None:
    async with a_world(**the("output", shape=shape)) as world:
        ended = await world.bought()

        assert ended["status"] == "succeeded"
        assert isinstance(ended["output"], kind)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
async def test_pictures_can_come_in_another_format(extension: str) -> None:
    async with a_world(**the("other_format", format=extension)) as world:
        url = (await world.bought())["output"][0]
        _, kind, data = await world.fetch(url)

        found = Image.open(io.BytesIO(data))
        assert url.endswith(f"/out-0.{extension}")
        assert found.get_format_mimetype() == kind


async def test_logs_can_be_huge() -> None:
    async with a_world(**the("huge_logs", bytes=3_000_000)) as world:
        await world.bought(events=("completed",))
        [heard] = await world.heard("the last word")

        assert len(heard.raw) > 3_000_000


async def test_logs_can_shrink() -> None:
    async with a_world(**the("shrinking_logs")) as world:
        await world.bought()
        heard = await world.heard("the last word")

        lengths = [len(one.body["logs"]) for one in heard]
        assert lengths != sorted(lengths)


async def test_the_last_word_can_be_lost() -> None:
    async with a_world(**the("drop_terminal")) as world:
        await world.bought()
        await world.written("delivery", event="output")

        assert world.emulator.ledger.entries("delivery", event="completed") == []


async def test_every_webhook_can_be_lost() -> None:
    async with a_world(**the("drop_webhooks")) as world:
        await world.bought()

        assert world.emulator.ledger.entries("delivery") == []


@pytest.mark.parametrize(("same_id", "ids"), [(True, 1), (False, 3)])
async def test_the_last_word_can_be_said_three_times(same_id: bool, ids: int) -> None:
    async with a_world(**the("duplicate", copies=2, same_id=same_id)) as world:
        await world.bought(events=("completed",))
        heard = await world.heard("three deliveries", lambda heard: len(heard) == 3)

        assert len({one.headers["webhook-id"] for one in heard}) == ids
        assert len({one.raw for one in heard}) == 1


async def test_the_start_can_come_after_the_end() -> None:
    async with a_world(**the("late_start")) as world:
        await world.bought(events=("start", "completed"))
        heard = await world.heard("both", lambda heard: len(heard) == 2)

        assert [one.status for one in heard] == ["succeeded", "starting"]


async def test_webhooks_can_be_late() -> None:
    async with a_world(**the("delay_webhooks", seconds=20)) as world:
        await world.bought(events=("completed",))
        [delivery] = await world.written("delivery")

        [ended] = world.emulator.ledger.entries("ended")
        assert delivery["t"] - ended["t"] >= 20


async def test_webhooks_can_come_in_any_order() -> None:
    async with a_world(**the("shuffle_webhooks", seconds=20), run_s=8) as world:
        for seed in range(4):
            await world.bought(seed=seed, events=ALL_EVENTS)
        await world.written("delivery", event="completed", count=4)
        await world.written("delivery", event="start", count=4)

        told: dict[str, list[str]] = {}
        for one in world.emulator.ledger.entries("delivery"):
            told.setdefault(one["prediction"], []).append(one["event"])
        assert any(events[-1] != "completed" for events in told.values())


async def fetched(world: World) -> tuple[int, str, bytes]:
    return await world.fetch((await world.bought())["output"][0])


async def test_a_file_can_be_missing() -> None:
    async with a_world(**the("missing_file")) as world:
        assert (await fetched(world))[0] == 404


async def test_a_file_can_fail_at_first() -> None:
    async with a_world(**the("failing_file", fetches=2)) as world:
        url = (await world.bought())["output"][0]

        assert [(await world.fetch(url))[0] for _ in range(3)] == [500, 500, 200]


async def test_a_file_can_break_off() -> None:
    async with a_world(**the("truncated_file")) as world:
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetched(world)


async def test_a_file_can_be_short_and_not_say_so() -> None:
    async with a_world(**the("short_file")) as world:
        status, _, data = await fetched(world)

        assert status == 200
        with pytest.raises(OSError, match=r"truncated|broken"):
            Image.open(io.BytesIO(data)).load()


async def test_a_file_can_be_slow() -> None:
    async with a_world(**the("slow_file", seconds=0.4)) as world:
        status, _, data = await fetched(world)

        assert status == 200
        Image.open(io.BytesIO(data)).load()


async def test_a_file_can_claim_another_type() -> None:
    async with a_world(**the("wrong_content_type", content_type="text/plain")) as world:
        _, kind, data = await fetched(world)

        assert kind == "text/plain"
        Image.open(io.BytesIO(data)).load()


async def test_a_file_can_be_no_picture() -> None:
    async with a_world(**the("not_an_image")) as world:
        _, kind, data = await fetched(world)

        assert kind == "image/png"
        assert data.startswith(b"<!doctype html>")


async def test_one_file_of_several_can_be_bad() -> None:
    async with a_world(**the("missing_file", outputs=[1])) as world:
        urls = (await world.bought(num_outputs=3))["output"]

        assert [(await world.fetch(url))[0] for url in urls] == [200, 404, 200]


@pytest.mark.parametrize("outputs", ["some", [True, "1"], 1])
def test_outputs_that_are_no_indices_are_refused(outputs: object) -> None:
    with pytest.raises(UnknownFault, match="outputs"):
        Faults(0).add("missing_file", outputs=outputs)


async def test_a_file_can_send_elsewhere() -> None:
    async with a_world(**the("redirected_file")) as world:
        assert (await fetched(world))[0] == 302


async def test_rules_are_made_listed_and_removed_over_http() -> None:
    async with a_world() as world:
        rule = {"fault": "fail", "error": "no", "times": 1, "when": {"prompt": "cursed"}}
        status, made, _ = await world.ask("POST", "/_emulator/faults", rule)
        spared = await world.bought(prompt="a lake")
        met = await world.bought(prompt="a cursed lake")
        after = await world.bought(prompt="a cursed lake")
        _, listing, _ = await world.ask("GET", "/_emulator/faults")
        await world.ask("DELETE", f"/_emulator/faults/{made['id']}")
        _, left, _ = await world.ask("GET", "/_emulator/faults")

        assert status == 201
        assert [one["status"] for one in (spared, met, after)] == [
            "succeeded",
            "failed",
            "succeeded",
        ]
        assert listing["rules"][0]["fired"] == 1
        assert set(listing["known"]) == set(FAULTS)
        assert left["rules"] == []


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "meteor"},
        {"fault": "fail", "colour": "red"},
        {"fault": "fail", "when": {"weather": "bad"}},
        {"fault": "fail", "rate": 2},
        {"fault": "output", "shape": "round"},
        {"fault": "other_format", "format": "bmp"},
        ["fail"],
    ],
)
async def test_a_rule_that_means_nothing_is_refused(rule: Any) -> None:
    async with a_world() as world:
        status, body, _ = await world.ask("POST", "/_emulator/faults", rule)

        assert status == 400
        assert body["detail"]


def test_a_rate_meets_its_share_and_the_same_ones_each_time() -> None:
    def met(seed: int) -> list[int]:
        faults = Faults(seed)
        faults.add("drop_terminal", rate=0.3)
        return [n for n in range(1, 1001) if faults.for_create(Subject(number=n))]

    assert 240 < len(met(1)) < 360
    assert met(1) == met(1)
    assert met(1) != met(2)


def test_an_unknown_fault_lists_the_known_ones() -> None:
    with pytest.raises(UnknownFault, match="drop_terminal"):
        Faults(0).add("drop")


def test_every_fault_stands_in_the_readme_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", README.read_text(), flags=re.MULTILINE)
    named = [row for row in rows if row in FAULTS]

    assert set(FAULTS) <= set(rows)
    assert len(named) == len(FAULTS)


async def test_faults_are_written_down_with_the_purchase() -> None:
    async with a_world(**the("drop_terminal")) as world:
        await world.buy()

        [bought] = world.emulator.ledger.entries("purchase")
        assert bought["faults"] == ["drop_terminal"]
        await eventually("it ends", lambda: world.written("ended"))
