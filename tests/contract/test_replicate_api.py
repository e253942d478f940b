"""Our way of calling Replicate, against the emulator; and on the wire where it must be exact."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from deploy.local.emulator import Emulator
from deploy.local.emulator import Settings as EmulatorSettings
from shared.clock import utc_now
from shared.domain.prediction import TERMINAL, Prediction, Status, read_prediction
from shared.replicate_api import (
    AccountPaused,
    InDoubt,
    NeverSent,
    Refused,
    Replicate,
    Throttled,
    open_replicate,
)
from shared.settings import ReplicateSettings
from tests.support.scripted_http import answer, scripted_server
from tests.support.waiting import eventually

TOKEN = "r8_contract0000000000000000000000000000"
MODEL = "stability-ai/sdxl:39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
SOON = timedelta(seconds=5)
A_PREDICTION = {"id": "5pcmjq6sfnrmc0cram79p95eg4", "status": "starting", "input": {}}


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Replicate]:
    settings = ReplicateSettings(replicate_api_token=TOKEN, replicate_base_url=url)
    async with open_replicate(settings) as replicate:
        yield replicate


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(port=0, files_port=0, run_s=0.2, speed=10)) as running:
        yield running


@pytest.fixture
async def replicate(emulator: Emulator) -> AsyncIterator[Replicate]:
    async with calling(emulator.url) as replicate:
        yield replicate


async def buy(
    replicate: Replicate, *, webhook: str | None = None, within: timedelta = SOON, seed: int = 7
) -> Prediction:
    return await replicate.create(
        MODEL,
        {"prompt": "a lighthouse", "seed": seed},
        webhook=webhook,
        events=("start", "completed"),
        deadline=within,
    )


async def purchases(emulator: Emulator) -> int:
    return len(emulator.ledger.entries("purchase"))


# ---- what the provider says


async def test_a_create_is_answered_with_its_prediction(
    emulator: Emulator, replicate: Replicate
) -> None:
    webhook = "http://127.0.0.1:9/webhooks/replicate?slot=x"

    bought = await buy(replicate, webhook=webhook)

    entry = emulator.ledger.entries("purchase")[-1]
    assert (bought.id, bought.status) == (entry["prediction"], Status.STARTING)
    assert bought.get_url == f"{emulator.url}/v1/predictions/{bought.id}"
    assert entry["events"] == ["start", "completed"]
    assert entry["version_asked"] == MODEL


async def test_without_a_webhook_none_is_asked_for(
    emulator: Emulator, replicate: Replicate
) -> None:
    await buy(replicate, webhook=None)

    assert emulator.ledger.entries("purchase")[-1]["webhook"] is None


async def test_a_prediction_is_read_with_its_body_as_it_came(replicate: Replicate) -> None:
    bought = await buy(replicate)

    ended = await eventually(
        "the prediction ends",
        lambda: replicate.get(bought.id),
        holds=lambda read: read.prediction.status in TERMINAL,
    )

    assert ended.prediction.status is Status.SUCCEEDED
    assert json.loads(ended.body)["output"] == ended.prediction.output


async def test_a_canceled_prediction_ends_as_canceled(
    emulator: Emulator, replicate: Replicate
) -> None:
    emulator.faults.add("slow_run")
    bought = await buy(replicate)

    await replicate.cancel(bought.id)

    ended = await eventually(
        "the prediction ends",
        lambda: replicate.get(bought.id),
        holds=lambda read: read.prediction.status in TERMINAL,
    )
    assert ended.prediction.status is Status.CANCELED


async def test_a_canceled_prediction_that_never_began_is_read_as_aborted_or_canceled(
    emulator: Emulator, replicate: Replicate
) -> None:
    emulator.faults.add("abort")
    bought = await buy(replicate)

    ended = await eventually(
        "the prediction ends",
        lambda: replicate.get(bought.id),
        holds=lambda read: read.prediction.status in TERMINAL,
    )

    assert ended.prediction.status is Status.ABORTED


async def test_a_list_goes_on_until_it_is_complete(
    emulator: Emulator, replicate: Replicate
) -> None:
    since = utc_now() - timedelta(minutes=5)
    bought = {(await buy(replicate, seed=seed)).id for seed in range(120)}

    pages = [page async for page in replicate.list_since(since)]

    assert {prediction.id for page in pages for prediction in page} == bought
    assert len(pages) == 2


async def test_a_list_of_a_span_leaves_out_what_was_made_before_and_after(
    emulator: Emulator, replicate: Replicate
) -> None:
    first, *middle, last = [await buy(replicate, seed=seed) for seed in range(5)]
    wanted = {one.id for one in middle}
    begin, end = middle[0].created_at, last.created_at
    assert first.created_at
    assert begin
    assert end

    pages = [page async for page in replicate.list_between(begin, end)]

    assert {answer.prediction.id for page in pages for answer in page} == wanted
    (entry,) = [a for page in pages for a in page if a.prediction.id == middle[0].id]
    assert read_prediction(entry.body) == entry.prediction


async def test_the_webhook_secret_is_the_one_that_signs(
    emulator: Emulator, replicate: Replicate
) -> None:
    assert await replicate.webhook_secret() == emulator.webhook_secret


# ---- what it says when it does not


async def test_a_refused_input_brings_the_providers_reason(
    emulator: Emulator, replicate: Replicate
) -> None:
    with pytest.raises(Refused, match="seed") as refused:
        await replicate.create(
            MODEL, {"prompt": "x", "seed": 1.5}, webhook=None, events=(), deadline=SOON
        )

    assert refused.value.code == 422
    assert "\n" not in refused.value.detail
    assert await purchases(emulator) == 0


async def test_an_unknown_version_is_refused(replicate: Replicate) -> None:
    with pytest.raises(Refused, match="version does not exist"):
        await replicate.create("0" * 64, {}, webhook=None, events=(), deadline=SOON)


async def test_an_unknown_prediction_is_refused_with_404(replicate: Replicate) -> None:
    with pytest.raises(Refused) as refused:
        await replicate.get("nosuchprediction0000000000")

    assert refused.value.code == 404


@pytest.mark.parametrize("status", [401, 402])
async def test_an_account_that_is_turned_away_is_no_failure_and_says_no_vendors_words(
    emulator: Emulator, replicate: Replicate, status: int
) -> None:
    emulator.faults.add("refuse", status=status)

    with pytest.raises(AccountPaused) as paused:
        await buy(replicate)

    assert paused.value.code == status
    assert "http" not in str(paused.value)
    assert "replicate.com" not in str(paused.value)
    assert await purchases(emulator) == 0


@pytest.mark.parametrize("in_header", [False, True])
async def test_a_throttled_create_says_how_long_to_wait(in_header: bool) -> None:
    settings = EmulatorSettings(
        port=0,
        files_port=0,
        retry_after_header=in_header,
        faults=({"fault": "refuse", "status": 429, "retry_after": 17},),
    )
    async with Emulator(settings) as emulator, calling(emulator.url) as replicate:
        with pytest.raises(Throttled) as throttled:
            await buy(replicate)

    assert throttled.value.retry_after == timedelta(seconds=17)


async def test_a_throttled_read_is_not_retried_behind_our_back(
    emulator: Emulator, replicate: Replicate
) -> None:
    bought = await buy(replicate)
    emulator.faults.add("refuse", status=429, retry_after=30, on=["get"])

    with pytest.raises(Throttled):
        await replicate.get(bought.id)

    assert [rule["fired"] for rule in emulator.faults.listing()] == [1]


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_broken_answer_to_a_create_is_in_doubt(
    emulator: Emulator, replicate: Replicate, status: int
) -> None:
    emulator.faults.add("refuse", status=status)

    with pytest.raises(InDoubt):
        await buy(replicate)


@pytest.mark.parametrize("fault", ["lose_create_answer", "unreadable_create_answer"])
async def test_a_purchase_whose_answer_is_lost_is_in_doubt_and_was_made_once(
    emulator: Emulator, replicate: Replicate, fault: str
) -> None:
    emulator.faults.add(fault)

    with pytest.raises(InDoubt):
        await buy(replicate)

    assert await purchases(emulator) == 1


async def test_a_create_ends_within_its_deadline(emulator: Emulator, replicate: Replicate) -> None:
    emulator.faults.add("slow_answer", seconds=60)

    with pytest.raises(InDoubt):
        await buy(replicate, within=timedelta(seconds=0.3))

    assert await purchases(emulator) == 1


# ---- on the wire


async def test_a_refused_connection_is_never_sent() -> None:
    async with scripted_server() as server:
        url = server.url  # nobody listens there once it is closed

    async with calling(url) as replicate:
        with pytest.raises(NeverSent):
            await buy(replicate)


async def test_a_name_that_leads_nowhere_is_never_sent() -> None:
    async with calling("http://nowhere.invalid") as replicate:
        with pytest.raises(NeverSent):
            await buy(replicate)


async def test_what_cannot_be_sent_within_its_time_is_not_sent_later() -> None:
    async with scripted_server(answer(201, json.dumps(A_PREDICTION))) as server:
        async with calling(server.url) as replicate:
            with pytest.raises(NeverSent):
                await buy(replicate, within=timedelta(0))

        assert server.requests == []


async def test_an_answer_torn_in_its_middle_is_in_doubt() -> None:
    whole = answer(201, json.dumps(A_PREDICTION))

    async with scripted_server(whole[:-20]) as server, calling(server.url) as replicate:
        with pytest.raises(InDoubt):
            await buy(replicate)


async def test_a_link_that_closes_without_a_word_is_in_doubt_and_not_tried_again() -> None:
    async with scripted_server(b"", b"") as server, calling(server.url) as replicate:
        with pytest.raises(InDoubt):
            await buy(replicate)

        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"id": "x1"}',
        '["x1"]',
        "null",
        "",
        '{"id": null, "status": "starting"}',
        '{"id": "../models", "status": "starting"}',
    ],
)
async def test_a_201_that_is_no_prediction_is_in_doubt(body: str) -> None:
    async with scripted_server(answer(201, body)) as server, calling(server.url) as replicate:
        with pytest.raises(InDoubt):
            await buy(replicate)


async def test_a_201_that_the_official_client_cannot_read_is_a_purchase() -> None:
    odd = A_PREDICTION | {"status": "aborted", "version": None, "urls": {"stream": None}}

    async with scripted_server(answer(201, json.dumps(odd))) as server:
        async with calling(server.url) as replicate:
            bought = await buy(replicate)

    assert (bought.id, bought.status) == (odd["id"], Status.ABORTED)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ((), '{"retry_after": 5}', 5),
        ((), '{"retry_after": 2.5, "detail": "resets in ~9s."}', 2.5),
        (("Retry-After: 7",), "{}", 7),
        (("Retry-After: 7",), "<html>slow down</html>", 7),
        ((), '{"detail": "Request was throttled. Your rate limit resets in ~30s."}', 30),
        ((), '{"retry_after": 1e30}', None),
        ((), '{"retry_after": -3}', None),
        ((), '{"retry_after": true}', None),
        ((), '{"retry_after": 86400}', 600),
        ((), "[1]", None),
        ((), "", None),
    ],
)
async def test_how_long_to_wait_is_found_wherever_it_stands(
    headers: tuple[str, ...], body: str, seconds: float | None
) -> None:
    async with scripted_server(answer(429, body, *headers)) as server:
        async with calling(server.url) as replicate:
            with pytest.raises(Throttled) as throttled:
                await buy(replicate)

    expected = None if seconds is None else timedelta(seconds=seconds)
    assert throttled.value.retry_after == expected


async def test_a_reason_is_one_line_without_links_or_secrets() -> None:
    detail = f"- input.image: https://s3.example/a?X-Amz-Signature=1 is bad\n- {TOKEN} is wrong\n"

    async with scripted_server(answer(422, json.dumps({"detail": detail}))) as server:
        async with calling(server.url) as replicate:
            with pytest.raises(Refused) as refused:
                await buy(replicate)

    assert refused.value.detail == "input.image: (link) is bad; *** is wrong"


async def test_a_redirect_is_not_followed_with_our_token() -> None:
    async with scripted_server() as other:
        moved = answer(307, "", f"Location: {other.url}/v1/predictions")
        async with scripted_server(moved) as server, calling(server.url) as replicate:
            with pytest.raises(InDoubt):
                await buy(replicate)

        assert other.requests == []


async def test_a_list_that_goes_on_at_another_host_is_not_followed_there() -> None:
    async with scripted_server() as other:
        page = {"results": [A_PREDICTION], "next": f"{other.url}/v1/predictions?cursor=2"}
        async with scripted_server(answer(200, json.dumps(page))) as server:
            async with calling(server.url) as replicate:
                with pytest.raises(InDoubt, match="another host"):
                    [page async for page in replicate.list_since(datetime(2026, 1, 1, tzinfo=UTC))]

        assert other.requests == []


async def test_a_list_with_an_entry_that_cannot_be_read_is_not_complete() -> None:
    page = {"results": [A_PREDICTION, {"status": "starting"}], "next": None}

    async with scripted_server(answer(200, json.dumps(page))) as server:
        async with calling(server.url) as replicate:
            with pytest.raises(InDoubt):
                [page async for page in replicate.list_since(datetime(2026, 1, 1, tzinfo=UTC))]


async def test_the_token_goes_where_it_belongs_and_into_no_error() -> None:
    async with scripted_server(answer(401, "{}")) as server, calling(server.url) as replicate:
        with pytest.raises(AccountPaused) as paused:
            await buy(replicate)

        assert f"authorization: bearer {TOKEN}".encode() in server.requests[0].lower()
    assert TOKEN not in repr(paused.value)


@pytest.mark.parametrize(("asked", "told"), [(1.0, 5), (5.2, 6), (90.0, 90), (-7.0, 5)])
async def test_the_life_of_a_prediction_is_told_in_whole_seconds_that_the_provider_takes(
    replicate: Replicate, asked: float, told: int
) -> None:
    bought = await replicate.create(
        MODEL,
        {"prompt": "a lighthouse"},
        webhook=None,
        events=(),
        deadline=SOON,
        cancel_after=timedelta(seconds=asked),
    )

    body = json.loads((await replicate.get(bought.id)).body)
    ends_at, created_at = (datetime.fromisoformat(body[n]) for n in ("deadline", "created_at"))
    # Its clock runs ten times as fast as the wall's.
    assert (ends_at - created_at).total_seconds() * 10 == pytest.approx(told, abs=0.5)


async def test_many_creates_at_once_do_not_mix_up_their_answers(replicate: Replicate) -> None:
    bought = await asyncio.gather(*(buy(replicate, seed=seed) for seed in range(40)))

    assert sorted(one.input["seed"] for one in bought) == list(range(40))
    assert len({one.id for one in bought}) == 40
