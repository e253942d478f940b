"""The sounds: as long as asked for, another for every seed, in files that decode to the end."""

import logging
import sys
from typing import Any

import numpy as np
import pytest
from replicate.client import Client

from deploy.local.emulator import waves
from deploy.local.emulator.making import MadeFile, Order, RunFailed
from deploy.local.emulator.models import MUSIC_GEN, STABLE_AUDIO, Model
from tests.support.emulated import TOKEN, World, a_world
from tests.support.sounds import decoded, from_wav
from tests.support.waiting import eventually

SOUND, MUSIC = STABLE_AUDIO.version, MUSIC_GEN.version
BOTH = pytest.mark.parametrize("model", [STABLE_AUDIO, MUSIC_GEN], ids=["sound", "music"])
SHORT = {STABLE_AUDIO: {"seconds_total": 3}, MUSIC_GEN: {"duration": 3}}


def made(model: Model, *, seed: int = 1, **given: Any) -> MadeFile:
    wanted = model.with_defaults({"prompt": "a bell"} | SHORT[model] | given)
    [file] = model.make(Order(wanted, seed, {}))
    return file


def order(version: str, **given: Any) -> dict[str, Any]:
    return {"version": version, "input": given}


@BOTH
def test_the_same_order_gives_the_same_bytes(model: Model) -> None:
    assert made(model) == made(model)


def test_the_same_order_gives_the_same_mp3() -> None:
    assert made(MUSIC_GEN, output_format="mp3") == made(MUSIC_GEN, output_format="mp3")


@BOTH
@pytest.mark.parametrize("other", [{"seed": 2}, {"prompt": "a drum"}], ids=["seed", "prompt"])
def test_another_order_gives_another_sound(model: Model, other: dict[str, Any]) -> None:
    one, two = from_wav(made(model).data), from_wav(made(model, **other).data)

    assert abs(one.samples - two.samples).mean() > 0.01


@pytest.mark.parametrize("seconds", [1, 2, 8, 30])
def test_an_effect_is_as_long_as_asked_for_to_the_frame(seconds: int) -> None:
    heard = from_wav(made(STABLE_AUDIO, seconds_total=seconds).data)

    assert (heard.rate, heard.samples.shape) == (44_100, (2, seconds * 44_100))
    assert 0.9 < heard.loudest <= 1


@pytest.mark.parametrize("prompt", ["heavy rain", "a bell", "footsteps", "thunder", "birds", "?"])
def test_an_effect_begins_and_ends_in_silence(prompt: str) -> None:
    heard = from_wav(made(STABLE_AUDIO, prompt=prompt, seconds_total=6).data)

    assert 0.1 < heard.quiet_s() < 1
    assert 0.25 < heard.quiet_s(end=True) < 3
    assert 0 < abs(heard.samples[:, :2000]).max() < 0.001, "silence as models make it: not quite"


def test_a_batch_is_one_sound_after_the_other() -> None:
    assert from_wav(made(STABLE_AUDIO, batch_size=2).data).seconds == 6


@pytest.mark.parametrize("form", ["wav", "mp3"])
def test_music_is_as_long_as_asked_for_in_the_format_asked_for(form: str) -> None:
    file = made(MUSIC_GEN, duration=7, output_format=form)
    heard = decoded(file.data)

    assert file.name == f"out.{form}"
    assert file.content_type == {"wav": "audio/wav", "mp3": "audio/mpeg"}[form]
    assert heard.seconds == pytest.approx(7, abs=0.001)
    assert heard.loudest > 0.3


def test_music_sounds_from_its_beginning_to_its_end() -> None:
    heard = from_wav(made(MUSIC_GEN, duration=5).data)

    assert heard.rate == 32_000
    assert heard.quiet_s() < 0.1
    assert heard.quiet_s(end=True) < 0.3


@pytest.mark.parametrize("seed", range(4))
def test_words_decide_whether_the_music_has_a_beat(seed: int) -> None:
    def hiss(prompt: str) -> float:
        """The share of what is above 6 kHz, where only percussion plays."""
        heard = from_wav(made(MUSIC_GEN, prompt=prompt, duration=12, seed=seed).data)
        strength = np.abs(np.fft.rfft(heard.samples[0]))
        return float(strength[12 * 6_000 :].sum() / strength.sum())

    assert hiss("happy and upbeat") > 2 * hiss("calm and slow")


@BOTH
@pytest.mark.parametrize("seconds", [0, -3])
def test_no_length_fails_the_run(model: Model, seconds: int) -> None:
    with pytest.raises(RunFailed, match="above 0"):
        made(model, **dict.fromkeys(SHORT[model], seconds))


@BOTH
def test_a_length_beyond_all_bounds_is_out_of_memory(model: Model) -> None:
    with pytest.raises(RunFailed, match="E1001"):
        made(model, **dict.fromkeys(SHORT[model], 10**9))


def test_without_an_ffmpeg_the_run_fails_in_its_own_words_and_we_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", "")

    with caplog.at_level(logging.WARNING), pytest.raises(RunFailed) as failed:
        made(MUSIC_GEN, output_format="mp3")

    assert str(failed.value) == "[Errno 2] No such file or directory: 'ffmpeg'"
    assert "imageio-ffmpeg" in caplog.text
    assert made(MUSIC_GEN).name == "out.wav"


def test_what_ffmpeg_does_not_take_fails_the_run() -> None:
    with pytest.raises(RunFailed, match="ffmpeg returned non-zero exit status"):
        waves.encoded(b"no sound", "mp3")


@pytest.mark.parametrize(
    ("version", "given", "name", "kind"),
    [
        (SOUND, {"prompt": "rain", "seconds_total": 2, "seed": 5}, "output.wav", "audio/wav"),
        (MUSIC, {"duration": 2, "seed": 5}, "out.wav", "audio/wav"),
        (MUSIC, {"duration": 2, "output_format": "mp3"}, "out.mp3", "audio/mpeg"),
    ],
    ids=["sound", "music", "mp3"],
)
async def test_the_official_client_buys_follows_and_reads_a_sound(
    version: str, given: dict[str, Any], name: str, kind: str
) -> None:
    async with a_world() as world:
        client = Client(api_token=TOKEN, base_url=world.emulator.url)
        created = await client.predictions.async_create(version=version, input=given)
        ended = await eventually(
            "the sound is made",
            lambda: client.predictions.async_get(created.id),
            holds=lambda seen: seen.status == "succeeded",
        )
        described = await client.models.async_get(ended.model)
        await client._async_client.aclose()
        status, answered, data = await world.fetch(str(ended.output))

        assert isinstance(ended.output, str)
        assert ended.output.endswith(f"/{name}")
        assert (status, answered) == (200, kind)
        assert decoded(data).seconds == pytest.approx(2, abs=0.001)
        assert (created.version, ended.version) == (version, version)
        assert ended.progress is not None
        assert ended.progress.percentage == 1
        assert described.latest_version is not None
        assert described.latest_version.id == version


@pytest.mark.parametrize("model", [STABLE_AUDIO, MUSIC_GEN], ids=["sound", "music"])
async def test_a_community_model_is_bought_by_its_version_alone(model: Model) -> None:
    async with a_world() as world:
        given = {"input": {"prompt": "a bell"}}
        by_path, _, _ = await world.ask("POST", f"/v1/models/{model.ref}/predictions", given)
        by_name, _, _ = await world.ask("POST", "/v1/predictions", order(model.ref, prompt="a"))
        by_both, _, _ = await world.ask(
            "POST", "/v1/predictions", order(f"{model.ref}:{model.version}", prompt="a")
        )

        assert (by_path, by_name, by_both) == (404, 422, 201)


FRACTION = "Invalid type. Expected: integer, given: number"


@pytest.mark.parametrize(
    ("version", "given", "complaint"),
    [
        (SOUND, {"prompt": "x", "seconds_total": 5.5}, f"- input.seconds_total: {FRACTION}\n"),
        (MUSIC, {"duration": 7.25}, f"- input.duration: {FRACTION}\n"),
        (SOUND, {"seconds_total": 5}, "- input: prompt is required\n"),
        (
            MUSIC,
            {"output_format": "ogg"},
            '- input.output_format: input.output_format must be one of the following: "wav", "mp3"\n',
        ),
        (
            MUSIC,
            {"normalization_strategy": "max"},
            (
                "- input.normalization_strategy: input.normalization_strategy must be one of the "
                'following: "loudness", "clip", "peak", "rms"\n'
            ),
        ),
        (
            MUSIC,
            {"continuation_start": -1, "input_audio": "song"},
            (
                "- input.input_audio: Does not match format 'uri'\n"
                "- input.continuation_start: Must be greater than or equal to 0\n"
            ),
        ),
        (
            SOUND,
            {"prompt": 5, "seconds_total": "8"},
            (
                "- input.prompt: Invalid type. Expected: string, given: integer\n"
                "- input.seconds_total: Invalid type. Expected: integer, given: string\n"
            ),
        ),
    ],
)
async def test_a_wrong_input_is_refused_in_the_validators_words(
    version: str, given: dict[str, Any], complaint: str
) -> None:
    async with a_world() as world:
        status, body, _ = await world.ask("POST", "/v1/predictions", order(version, **given))

        assert (status, body["title"]) == (422, "Input validation failed")
        assert body["detail"] == complaint
        assert [one["field"] for one in body["invalid_fields"]] == [
            line[2:].partition(":")[0] for line in complaint.splitlines()
        ]
        assert world.emulator.ledger.entries("purchase") == []


@pytest.mark.parametrize(
    ("version", "given"),
    [(SOUND, {"prompt": "x", "seconds_total": 5.0}), (MUSIC, {"duration": 5.0})],
    ids=["sound", "music"],
)
async def test_a_whole_number_written_as_a_fraction_passes(
    version: str, given: dict[str, Any]
) -> None:
    async with a_world() as world:
        ended = await world.bought(version=version, **given)

        assert from_wav((await world.fetch(ended["output"]))[2]).seconds == 5


async def test_the_seed_minus_one_draws_another_each_time() -> None:
    async with a_world() as world:
        for _ in range(2):
            await world.bought(version=SOUND, seconds_total=1, seed=-1)

        one, two = world.emulator.ledger.entries("purchase")
        assert one["seed"] != two["seed"]
        assert -1 not in {one["seed"], two["seed"]}


@BOTH
async def test_a_longer_sound_takes_a_longer_run(model: Model) -> None:
    async with a_world(speed=5000, run_s=None) as world:
        [name] = SHORT[model]
        short = await world.bought(version=model.version, **{name: 5})
        long = await world.bought(version=model.version, **{name: 60})

        assert 2 * short["metrics"]["predict_time"] < long["metrics"]["predict_time"]
        assert set(long["metrics"]) == {"predict_time", "total_time"}


def test_a_minute_of_music_takes_about_as_long_as_it_was_seen_to() -> None:
    shortest, longest = MUSIC_GEN.run_s(Order({"duration": 60}, 1, {}))

    assert shortest < 90.29 < longest


def test_eight_seconds_of_sound_take_about_as_long_as_they_were_seen_to() -> None:
    shortest, longest = STABLE_AUDIO.run_s(Order(STABLE_AUDIO.with_defaults({}), 1, {}))

    assert shortest < 8.63 < longest


async def half_way(world: World, version: str) -> str:
    """What the logs say in the middle of a run of ten minutes."""
    created = await world.buy(version=version, events=())
    await eventually(
        "it runs",
        lambda: world.get(created["id"]),
        holds=lambda seen: seen["status"] == "processing",
    )
    before = (await world.get(created["id"]))["logs"]
    world.emulator.clock.advance(300)
    after = str((await world.get(created["id"]))["logs"])
    assert after.startswith(before)
    return after


@pytest.mark.parametrize(
    ("version", "head"),
    [(SOUND, "Prompt: a lake\n7\n  0%|"), (MUSIC, "Using seed 7\n  0%|")],
    ids=["sound", "music"],
)
async def test_logs_say_how_far_a_sound_is_while_it_is_made(version: str, head: str) -> None:
    async with a_world(speed=1, cold_start_s=0, run_s=600) as world:
        logs = await half_way(world, version)

        last = logs.splitlines()[-1]
        assert logs.startswith(head)
        assert 49 <= int(last.partition("%")[0]) <= 52, last


async def test_progress_comes_with_the_logs_webhooks() -> None:
    async with a_world() as world:
        await world.bought(version=MUSIC, duration=2)
        heard = await world.heard("the last word")

        lengths = [len(one.body["logs"]) for one in heard]
        assert lengths == sorted(lengths)
        assert len(set(lengths)) > 3
        assert heard[-1].body["logs"].splitlines()[-1].startswith("100%|██████████| 100/100 [")


def met(fault: str, model: Model = STABLE_AUDIO, **options: Any) -> dict[str, Any]:
    return {"faults": ({"fault": fault, "when": {"model": model.ref}, **options},)}


async def bought(world: World, model: Model = STABLE_AUDIO, **given: Any) -> tuple[str, str, bytes]:
    """Address, content type and bytes of a sound of two seconds."""
    [name] = SHORT[model]
    ended = await world.bought(version=model.version, **{name: 2}, **given)
    status, kind, data = await world.fetch(ended["output"])
    assert status == 200
    return str(ended["output"]), kind, data


@pytest.mark.parametrize(
    ("form", "kind", "magic"),
    [
        ("mp3", "audio/mpeg", b"ID3"),
        ("flac", "audio/flac", b"fLaC"),
        ("ogg", "audio/ogg", b"OggS"),
        ("wav", "audio/wav", b"RIFF"),
    ],
)
async def test_a_sound_can_come_in_another_format(form: str, kind: str, magic: bytes) -> None:
    async with a_world(**met("other_format", format=form)) as world:
        url, claimed, data = await bought(world)

        assert url.endswith(f"/output.{form}")
        assert claimed == kind
        assert data.startswith(magic)
        assert decoded(data).seconds == pytest.approx(2, abs=0.05)


async def test_a_format_of_pictures_leaves_sounds_as_they_are() -> None:
    async with a_world(faults=({"fault": "other_format", "format": "jpg"},)) as world:
        assert (await bought(world))[0].endswith("/output.wav")


@pytest.mark.parametrize("form", ["wav", "mp3"])
async def test_a_sound_can_be_silent(form: str) -> None:
    async with a_world(**met("silent", MUSIC_GEN)) as world:
        heard = decoded((await bought(world, MUSIC_GEN, output_format=form))[2])

        assert heard.seconds == pytest.approx(2, abs=0.001)
        assert heard.loudest == 0


@pytest.mark.parametrize("form", ["wav", "mp3"])
async def test_a_sound_can_be_empty(form: str) -> None:
    async with a_world(**met("empty_sound", MUSIC_GEN)) as world:
        data = (await bought(world, MUSIC_GEN, output_format=form))[2]

        assert data.startswith({"wav": b"RIFF", "mp3": b"ID3"}[form])
        assert len(data) < 100
        if form == "wav":
            assert from_wav(data).seconds == 0


@pytest.mark.parametrize(
    ("what", "magic"),
    [
        ("html", b"<!doctype html>"),
        ("text", b"upstream connect error"),
        ("png", b"\x89PNG"),
        ("jpg", b"\xff\xd8\xff"),
        ("wav", b"RIFF"),
    ],
)
async def test_a_file_can_be_another_thing_under_its_own_name(what: str, magic: bytes) -> None:
    async with a_world(**met("wrong_file", what=what)) as world:
        url, kind, data = await bought(world)

        assert (url[-4:], kind) == (".wav", "audio/wav")
        assert data.startswith(magic)


async def test_a_file_can_have_no_bytes() -> None:
    async with a_world(**met("empty_file")) as world:
        assert (await bought(world))[2] == b""


async def test_a_sound_can_be_cut_in_half_and_not_say_so() -> None:
    async with a_world(**met("short_file")) as world:
        data = (await bought(world))[2]

        assert len(data) == (44 + 2 * 44_100 * 4) // 2


async def test_a_sound_can_be_gone_before_anybody_fetched_it() -> None:
    async with a_world(**met("early_expiry", seconds=1)) as world:
        created = await world.buy(version=SOUND, seconds_total=1, events=("output",))
        heard = await world.heard("the output", bool)
        await world.written("data_removed", prediction=created["id"])
        left = await world.get(created["id"])

        assert (left["status"], left["output"], left["data_removed"]) == ("succeeded", None, True)
        assert (await world.fetch(heard[0].body["output"]))[0] == 404


@pytest.mark.parametrize(("shape", "output"), [("null", None), ("empty", [])])
async def test_a_sound_can_succeed_without_an_output(shape: str, output: Any) -> None:
    async with a_world(**met("output", shape=shape)) as world:
        ended = await world.bought(version=SOUND, seconds_total=1)

        assert (ended["status"], ended["output"]) == ("succeeded", output)


@pytest.mark.parametrize(
    ("fault", "status"), [("fail", "failed"), ("cancel", "canceled"), ("abort", "aborted")]
)
async def test_a_fault_meets_the_model_that_it_is_aimed_at_and_no_other(
    fault: str, status: str
) -> None:
    async with a_world(**met(fault, MUSIC_GEN)) as world:
        aimed = await world.bought(version=MUSIC, duration=1)
        other = await world.bought(version=SOUND, seconds_total=1)
        picture = await world.bought()

        assert [one["status"] for one in (aimed, other, picture)] == [
            status,
            "succeeded",
            "succeeded",
        ]
