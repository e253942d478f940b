"""A mood becomes music, as long as its text takes to be read aloud."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from shared.domain.identity import derived_seed
from shared.recipes.lengths import to_milliseconds
from shared.recipes.recipe import (
    Makes,
    Order,
    Recipe,
    SlotInput,
    SourceRule,
    Words,
    model_setting,
)

# A fine-tuned MusicGen.
MODEL = (
    "ardianfe/music-gen-fn-200e:96af46316252ddea4c6614e31861876183b59dce84bad765f38424e87919dd85"
)

SEEDS = 2**31
WORDS_A_MINUTE = 150
SHORTEST, LONGEST = 5, 60  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundMusicParams:
    """The mood in words. ``duration`` in seconds, or ``text``: what will be read to the music."""

    prompt: Annotated[str, Field(min_length=1, max_length=2000)]
    duration: (
        Annotated[
            float,
            Field(ge=1, le=LONGEST, allow_inf_nan=False, strict=True),
            AfterValidator(to_milliseconds),
        ]
        | None
    ) = None
    text: Annotated[str, Field(max_length=100_000)] = ""
    seed: Annotated[int, Field(ge=0, lt=SEEDS, strict=True)] | None = None


def wanted_seconds(params: Mapping[str, Any]) -> float:
    """As given; else the time that the text (or, without one, the prompt) takes to be read."""
    if params["duration"] is not None:
        return float(params["duration"])
    words = len((params["text"].strip() or params["prompt"]).split())
    return min(max(words / WORDS_A_MINUTE * 60, SHORTEST), LONGEST)


def bought_seconds(params: Mapping[str, Any]) -> int:
    """Whole seconds, as the model takes them; a half is rounded up."""
    return math.floor(wanted_seconds(params) + 0.5)


def inputs(order: Order, _config: Mapping[str, str]) -> tuple[SlotInput, ...]:
    params = order.params
    seed = params["seed"]
    if seed is None:
        seed = derived_seed(order.job_id, 1, below=SEEDS)
    return (
        SlotInput(
            seed=seed,
            input={
                "prompt": params["prompt"],
                "duration": bought_seconds(params),
                "output_format": "mp3",
                "seed": seed,
            },
        ),
    )


def notes(params: Mapping[str, Any]) -> tuple[Words, ...]:
    wanted, bought = wanted_seconds(params), bought_seconds(params)
    if params["duration"] is None:
        return (
            {
                "en": f"The length follows from the text: {bought} s at 150 words a minute.",
                "ko": f"길이는 글의 분량에 맞추었습니다. 분당 150단어 기준 {bought}초입니다.",
            },
        )
    if wanted == bought:
        return ()
    return (
        {
            "en": f"The model takes whole seconds: {wanted:g} s are rounded to {bought} s.",
            "ko": f"모델은 초 단위로만 만들 수 있어 {wanted:g}초를 {bought}초로 반올림했습니다.",
        },
    )


BACKGROUND_MUSIC = Recipe(
    name="background-music",
    title={"en": "Background music", "ko": "배경 음악"},
    settings={"BACKGROUND_MUSIC_MODEL": model_setting(MODEL)},
    model=lambda config: config["BACKGROUND_MUSIC_MODEL"],
    source=SourceRule.NONE,
    makes=Makes.SOUNDS,
    params=BackgroundMusicParams,
    inputs=inputs,
    notes=notes,
    # Its logs tell how far it is.
    webhook_events=("start", "logs", "completed"),
    # A minute of music took 90 s.
    typical_run=timedelta(seconds=120),
    cold_start=timedelta(minutes=5),
    report_sections=("sounds", "outcome"),
    example={"prompt": "a calm piano at dusk, a slow waltz", "duration": 12},
)
