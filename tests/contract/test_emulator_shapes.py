"""Bodies and refusals, as they were recorded from the real API."""

import re
from typing import Any

import pytest

from tests.support.emulated import RESTORE, SDXL, a_world

ID = re.compile(r"[0-9a-z]{26}")


async def test_a_create_answers_without_what_has_not_happened() -> None:
    async with a_world() as world:
        created = await world.buy()

        assert ID.fullmatch(created["id"])
        assert created["status"] == "starting"
        assert created["logs"] == ""
        assert created["output"] is None
        assert created["data_removed"] is False
        assert created["urls"]["get"].endswith(created["id"])
        assert not {"started_at", "completed_at", "metrics"} & created.keys()


async def test_the_answered_version_is_not_the_one_asked_for() -> None:
    async with a_world() as world:
        created = await world.buy()

        assert created["version"] != SDXL
        assert re.fullmatch(r"[0-9a-f]{64}", created["version"])


async def test_timestamps_come_in_more_than_one_precision() -> None:
    async with a_world() as world:
        ended = await world.bought()

        assert re.search(r"\.\d{3}Z$", ended["created_at"])
        assert re.search(r"\.\d{1,9}Z$", ended["started_at"])
        assert ended["started_at"][:4] == ended["completed_at"][:4]


async def test_a_webhook_body_names_its_webhook_and_no_source() -> None:
    async with a_world() as world:
        ended = await world.bought()
        heard = await world.heard("the last word")

        [last] = [one.body for one in heard if "completed_at" in one.body]
        assert last["webhook"] == world.buyer.webhook_url
        assert last["webhook_events_filter"] == ["start", "output", "logs", "completed"]
        assert "source" not in last
        assert ended["source"] == "api"
        assert last["output"] == ended["output"]


async def test_an_official_model_gives_one_string_and_no_total_time_in_its_webhook() -> None:
    async with a_world() as world:
        ended = await world.bought(version=RESTORE, input_image=world.buyer.photo_url)
        heard = await world.heard("the last word")

        assert isinstance(ended["output"], str)
        assert ended["version"] == "hidden"
        assert "Generated image in" in ended["logs"]
        assert ended["metrics"]["image_count"] == 1
        assert "total_time" not in heard[-1].body["metrics"]


async def test_what_was_canceled_before_its_start_has_no_start() -> None:
    async with a_world(cold_start_s=600) as world:
        created = await world.buy()
        status, canceled, _ = await world.ask("POST", f"/v1/predictions/{created['id']}/cancel")
        heard = await world.heard("the last word")

        assert status == 200
        assert canceled["status"] == "canceled"
        assert canceled["logs"] is None
        assert "started_at" not in canceled
        assert [one.status for one in heard] == ["canceled"]


async def test_canceling_what_has_ended_changes_nothing() -> None:
    async with a_world() as world:
        ended = await world.bought()
        _, again, _ = await world.ask("POST", f"/v1/predictions/{ended['id']}/cancel")

        assert again["status"] == "succeeded"
        assert again["output"] == ended["output"]


async def test_after_its_hour_only_the_frame_of_a_prediction_is_left() -> None:
    async with a_world() as world:
        ended = await world.bought()
        assert (await world.fetch(ended["output"][0]))[0] == 200

        world.emulator.clock.advance(3600)
        await world.written("data_removed")
        left = await world.get(ended["id"])

        assert left["data_removed"] is True
        assert (left["input"], left["output"], left["logs"]) == ({}, None, "")
        assert left["status"] == "succeeded"
        assert left["metrics"]["predict_time"] == ended["metrics"]["predict_time"]
        assert (await world.fetch(ended["output"][0]))[0] == 404


async def test_logs_grow_while_it_runs() -> None:
    async with a_world() as world:
        ended = await world.bought()
        heard = await world.heard("the last word")

        lengths = [len(one.body["logs"]) for one in heard]
        assert lengths == sorted(lengths)
        assert len(set(lengths)) > 3
        assert "img2img mode" in ended["logs"]
        assert "100%|██████████|" in ended["logs"]


LINE = re.compile(
    r" *(?P<percent>\d+)%\|(?P<bar>[█▏▎▍▌▋▊▉ ]{10})\| (?P<step>\d+)/(?P<steps>\d+) "
    r"\[\d\d:\d\d<(?:\d\d:\d\d, +\d+\.\d\d(?:it/s|s/it)|\?, \?it/s)\]"
)


async def test_progress_is_printed_as_its_bar_prints_it() -> None:
    async with a_world() as world:
        ended = await world.bought(num_inference_steps=50, prompt_strength=0.8)

        head, lines = ended["logs"].splitlines()[:3], ended["logs"].splitlines()[3:]
        shown = [LINE.fullmatch(line) for line in lines]
        assert head == ["Using seed: 7", "Prompt: a lake", "img2img mode"]
        assert all(shown), lines
        assert lines[0] == "  0%|          | 0/40 [00:00<?, ?it/s]"
        assert " 50%|█████     | 20/40 [00:02<00:02, 10.00it/s]" in lines
        assert " 12%|█▎        | 5/40 [00:00<00:03, 10.00it/s]" in lines
        assert lines[-1] == "100%|██████████| 40/40 [00:04<00:00, 10.00it/s]"


async def test_progress_of_slow_steps_is_in_seconds_a_step() -> None:
    async with a_world(run_s=20) as world:
        logs = (await world.bought(num_inference_steps=10, prompt_strength=1))["logs"]

        assert logs.endswith("100%|██████████| 10/10 [00:20<00:00,  2.00s/it]\n")


async def test_progress_of_very_many_steps_is_a_few_dozen_lines() -> None:
    async with a_world(run_s=400) as world:
        world.emulator.clock.run_at(5000)
        logs = (await world.bought(num_inference_steps=499, prompt_strength=1))["logs"]

        assert 40 < len(logs.splitlines()) < 70
        assert "| 499/499 [" in logs.splitlines()[-1]


async def test_a_model_that_prints_no_progress_says_only_when_it_is_done() -> None:
    async with a_world(speed=1, cold_start_s=0, run_s=600) as world:
        created = await world.buy(version=RESTORE, input_image=world.buyer.photo_url, events=())
        await world.written("input_fetch")
        world.emulator.clock.advance(300)

        assert (await world.get(created["id"]))["logs"] == "Using seed: 7\nGenerating...\n"


async def test_a_run_ends_after_thirty_minutes() -> None:
    async with a_world(faults=({"fault": "slow_run", "seconds": 4000},)) as world:
        created = await world.buy(events=("completed",))
        await world.written("input_fetch")
        world.emulator.clock.advance(1801)
        ended = await world.ended(created["id"])

        assert ended["status"] == "failed"
        assert ended["error"] == "Prediction timed out"


async def test_a_deadline_aborts_what_has_not_started_and_cancels_what_runs() -> None:
    async with a_world(cold_start_s=20, run_s=600) as world:
        _, waiting, _ = await world.ask(
            "POST", "/v1/predictions", world.order(), Cancel_After="10s"
        )
        _, running, _ = await world.ask(
            "POST", "/v1/predictions", world.order(), Cancel_After="1m30s"
        )

        aborted, canceled = await world.ended(waiting["id"]), await world.ended(running["id"])
        assert "deadline" in waiting
        assert (aborted["status"], "started_at" in aborted) == ("aborted", False)
        assert (canceled["status"], "started_at" in canceled) == ("canceled", True)


async def test_waiting_is_echoed_and_ends_early_with_202() -> None:
    async with a_world(run_s=600) as world:
        status, body, headers = await world.ask(
            "POST", "/v1/predictions", world.order(), Prefer="wait=2"
        )

        assert status == 202
        assert headers["Preference-Applied"] == "wait=2"
        assert body["status"] == "processing"


async def test_waiting_to_the_end_answers_an_output_that_is_still_processing() -> None:
    async with a_world() as world:
        status, body, _ = await world.ask("POST", "/v1/predictions", world.order(), Prefer="wait")

        assert (status, body["status"]) == (201, "processing")
        assert body["output"]
        assert "metrics" not in body


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"num_outputs": 9},
            ("number_lte", "input.num_outputs", "Must be less than or equal to 4"),
        ),
        (
            {"prompt_strength": -1},
            ("number_gte", "input.prompt_strength", "Must be greater than or equal to 0"),
        ),
        (
            {"seed": 5.5},
            ("invalid_type", "input.seed", "Invalid type. Expected: integer, given: number"),
        ),
        ({"image": ""}, ("format", "input.image", "Does not match format 'uri'")),
        (
            {"refine": "more"},
            (
                "enum",
                "input.refine",
                (
                    "input.refine must be one of the following: "
                    '"no_refiner", "expert_ensemble_refiner", "base_image_refiner"'
                ),
            ),
        ),
    ],
)
async def test_a_wrong_input_is_refused_in_the_validators_words(
    given: dict[str, Any], complaint: tuple[str, str, str]
) -> None:
    async with a_world() as world:
        status, body, headers = await world.ask("POST", "/v1/predictions", world.order(**given))

        kind, field, description = complaint
        assert status == 422
        assert headers["Content-Type"].startswith("application/problem+json")
        assert body == {
            "detail": f"- {field}: {description}\n",
            "status": 422,
            "title": "Input validation failed",
            "invalid_fields": [{"type": kind, "field": field, "description": description}],
        }
        assert world.emulator.ledger.entries("purchase") == []


async def test_a_missing_input_is_named_at_its_parent() -> None:
    async with a_world() as world:
        _, body, _ = await world.ask("POST", "/v1/predictions", world.order(version=RESTORE))

        assert body["detail"] == "- input: input_image is required\n"


async def test_a_whole_number_written_as_a_fraction_passes() -> None:
    async with a_world() as world:
        assert (await world.buy(seed=5.0))["status"] == "starting"


@pytest.mark.parametrize(
    "version", ["0" * 64, "nobody/nothing", "stability-ai/sdxl", f"a/b:{SDXL}"]
)
async def test_an_unknown_version_is_refused_as_recorded(version: str) -> None:
    async with a_world() as world:
        status, body, _ = await world.ask("POST", "/v1/predictions", world.order(version=version))

        assert status == 422
        assert body["title"] == "Invalid version or not permitted"


@pytest.mark.parametrize("version", [SDXL, f"stability-ai/sdxl:{SDXL}", RESTORE])
async def test_a_version_is_taken_in_three_forms(version: str) -> None:
    async with a_world() as world:
        created = await world.buy(version=version, input_image=world.buyer.photo_url)

        assert created["model"] in {"stability-ai/sdxl", RESTORE}


async def test_what_is_not_json_is_refused_as_such() -> None:
    async with a_world() as world:
        async with world.http.post(
            f"{world.emulator.url}/v1/predictions", data=b'{"version": '
        ) as response:
            body = await response.json(content_type=None)

        assert response.status == 400
        assert body["detail"].startswith("Failed to parse request body as JSON")


async def test_an_oversized_body_looks_like_a_broken_one() -> None:
    async with a_world(body_limit_bytes=10_000) as world:
        status, body, _ = await world.ask(
            "POST", "/v1/predictions", world.order(image="data:image/png;base64," + "A" * 20_000)
        )

        assert status == 400
        assert body["detail"] == "Failed to parse request body as JSON: EOF"


async def test_a_webhook_that_is_no_address_is_refused() -> None:
    async with a_world() as world:
        order = world.order() | {"webhook": "not an address", "webhook_events_filter": ["end"]}
        status, body, _ = await world.ask("POST", "/v1/predictions", order)

        assert status == 422
        assert [one["field"] for one in body["invalid_fields"]] == [
            "webhook",
            "webhook_events_filter.0",
        ]


@pytest.mark.parametrize("path", ["/v1/predictions/nothing", "/v1/nothing", "/v1/models/a/b"])
async def test_what_is_not_there_is_a_404_with_a_body(path: str) -> None:
    async with a_world() as world:
        status, body, _ = await world.ask("GET", path)

        assert status == 404
        assert body == {"detail": "The requested resource could not be found.", "status": 404}


async def test_what_is_not_known_of_the_provider_is_a_setting() -> None:
    async with a_world(
        echo_webhook=False,
        cancel_finished_status=409,
        refuse_unknown_inputs=True,
        webhook_https_only=True,
    ) as world:
        plain = world.order() | {"webhook": "https://127.0.0.1:9/hook"}
        _, created, _ = await world.ask("POST", "/v1/predictions", plain)
        await world.ended(created["id"])
        canceled, _, _ = await world.ask("POST", f"/v1/predictions/{created['id']}/cancel")
        unknown, body, _ = await world.ask(
            "POST", "/v1/predictions", plain | {"input": {"colour": "red"}}
        )
        insecure, _, _ = await world.ask("POST", "/v1/predictions", world.order())

        assert "webhook" not in created
        assert canceled == 409
        assert (unknown, insecure) == (422, 422)
        assert "Additional property colour is not allowed" in body["detail"]


async def test_a_start_may_be_told_as_processing() -> None:
    async with a_world(start_webhook_status="processing") as world:
        await world.bought(events=("start", "completed"))
        heard = await world.heard("the last word")

        assert [one.status for one in heard] == ["processing", "succeeded"]
