"""The official Python client, unchanged, against the emulator."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from replicate.client import Client
from replicate.exceptions import ReplicateError

from tests.support.emulated import RESTORE, SDXL, TOKEN, World, a_world
from tests.support.waiting import eventually


@asynccontextmanager
async def official(world: World) -> AsyncIterator[Client]:
    client = Client(api_token=TOKEN, base_url=world.emulator.url)
    try:
        yield client
    finally:
        await client._async_client.aclose()


async def test_a_prediction_is_created_followed_and_read() -> None:
    async with a_world() as world, official(world) as client:
        created = await client.predictions.async_create(
            version=SDXL, input={"image": world.buyer.photo_url, "seed": 3}
        )
        ended = await eventually(
            "the prediction ends",
            lambda: client.predictions.async_get(created.id),
            holds=lambda seen: seen.status == "succeeded",
        )

        assert created.status == "starting"
        assert isinstance(ended.output, list)
        assert "Using seed: 3" in (ended.logs or "")
        assert (ended.metrics or {})["predict_time"] > 0


async def test_waiting_for_it_gives_the_output_in_one_call() -> None:
    async with a_world() as world, official(world) as client:
        ended = await client.predictions.async_create(
            version=SDXL, input={"image": world.buyer.photo_url}, wait=30
        )

        assert ended.output


async def test_an_official_model_is_bought_by_its_name() -> None:
    async with a_world() as world, official(world) as client:
        by_model = await client.models.predictions.async_create(
            RESTORE, input={"input_image": world.buyer.photo_url}
        )
        by_version = await client.predictions.async_create(
            version=RESTORE, input={"input_image": world.buyer.photo_url}
        )

        assert by_model.version == by_version.version == "hidden"


async def test_a_community_model_has_no_endpoint_of_its_own() -> None:
    async with a_world() as world, official(world) as client:
        with pytest.raises(ReplicateError) as refused:
            await client.models.predictions.async_create("stability-ai/sdxl", input={})

        assert refused.value.status == 404


async def test_a_deployment_is_bought_from() -> None:
    async with a_world() as world, official(world) as client:
        created = await client.deployments.predictions.async_create(
            "acme/sdxl", input={"image": world.buyer.photo_url}
        )

        assert (await world.get(created.id))["deployment"] == "acme/sdxl"


async def test_a_cancel_ends_the_prediction_at_once() -> None:
    async with a_world(run_s=600) as world, official(world) as client:
        created = await client.predictions.async_create(
            version=SDXL, input={"image": world.buyer.photo_url}
        )
        canceled = await client.predictions.async_cancel(created.id)

        assert canceled.status == "canceled"
        assert (await client.predictions.async_get(created.id)).status == "canceled"


async def test_the_list_is_paged_newest_first_without_gaps() -> None:
    async with a_world(cold_start_s=600) as world, official(world) as client:
        for seed in range(203):
            await world.buy(seed=seed)
        made = [one["prediction"] for one in world.emulator.ledger.entries("purchase")]
        first = await client.predictions.async_list()
        second = await client.predictions.async_list(first.next or "")
        third = await client.predictions.async_list(second.next or "")
        back = await client.predictions.async_list(third.previous or "")

        pages = [[one.id for one in page.results] for page in (first, second, third)]
        assert [len(page) for page in pages] == [100, 100, 3]
        assert [one for page in pages for one in page] == made[::-1]
        assert third.next is None
        assert [one.id for one in back.results] == pages[1]


async def test_the_list_knows_spans_of_time() -> None:
    async with a_world(cold_start_s=600) as world:
        early = await world.buy(seed=1)
        between = datetime.now(UTC)  # noqa: TID251 - the span is the test's own
        late = await world.buy(seed=2)

        _, after, _ = await world.ask(
            "GET", f"/v1/predictions?created_after={between.isoformat().replace('+00:00', 'Z')}"
        )
        _, before, _ = await world.ask(
            "GET", f"/v1/predictions?created_before={between.isoformat().replace('+', '%2B')}"
        )
        _, hour, _ = await world.ask(
            "GET",
            "/v1/predictions?created_after="
            + (between - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

        assert [one["id"] for one in after["results"]] == [late["id"]]
        assert [one["id"] for one in before["results"]] == [early["id"]]
        assert len(hour["results"]) == 2


async def test_the_webhook_secret_is_told() -> None:
    async with a_world() as world, official(world) as client:
        secret = await client.webhooks.default.async_secret()

        assert secret.key == world.emulator.webhook_secret
        assert secret.key.startswith("whsec_")


async def test_models_and_versions_describe_their_inputs() -> None:
    async with a_world() as world, official(world) as client:
        model = await client.models.async_get("stability-ai/sdxl")
        version = await model.versions.async_get(SDXL)
        account = await client.accounts.async_current()

        schema = version.openapi_schema["components"]["schemas"]["Input"]["properties"]
        assert schema["num_outputs"]["maximum"] == 4
        assert model.latest_version is not None
        assert model.latest_version.id == SDXL
        assert account.username


async def test_a_file_is_uploaded_used_and_deleted() -> None:
    async with a_world() as world, official(world) as client:
        upload = await client.files.async_create(
            io.BytesIO(world.buyer.photo), filename="photo.jpg", content_type="image/jpeg"
        )
        ended = await world.bought(image=upload.urls["get"])
        await client.files.async_delete(upload.id)

        assert upload.size == len(world.buyer.photo)
        assert ended["status"] == "succeeded"
        with pytest.raises(ReplicateError):
            await client.files.async_get(upload.id)


async def test_a_wrong_token_is_refused_by_its_recorded_body() -> None:
    async with a_world(tokens=("r8_right",)) as world:
        client = Client(api_token="r8_wrong", base_url=world.emulator.url)
        with pytest.raises(ReplicateError) as refused:
            await client.predictions.async_create(version=SDXL, input={})
        await client._async_client.aclose()

        assert refused.value.status == 401
        assert refused.value.title == "Unauthenticated"
        assert refused.value.detail == "You did not pass a valid authentication token"
        assert world.emulator.ledger.entries("purchase") == []
