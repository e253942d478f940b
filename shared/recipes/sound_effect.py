"""A few words become a short sound, trimmed to the length that was wanted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from shared.domain.identity import derived_seed
from shared.recipes.lengths import to_milliseconds
from shared.recipes.recipe import (
    FinishStep,
    Makes,
    Order,
    Recipe,
    SlotInput,
    SourceRule,
    Words,
    model_setting,
)

MODEL = (
    "stackadoc/stable-audio-open-1.0:"
    "9aff84a639f96d0f7e6081cdea002d15133d0043727f849c40abdd166b7c75a8"
)

SEEDS = 2**31
LONGEST = 47  # seconds that the model was trained to make


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundEffectParams:
    """What shall be heard, for how many ``seconds`` (a fraction is fine), and what shall not."""

    prompt: Annotated[str, Field(min_length=1, max_length=2000)]
    seconds: Annotated[
        float,
        Field(ge=0.5, le=LONGEST, allow_inf_nan=False, strict=True),
        AfterValidator(to_milliseconds),
    ] = 8
    negative_prompt: Annotated[str, Field(max_length=2000)] = ""
    seed: Annotated[int, Field(ge=0, lt=SEEDS, strict=True)] | None = None


def bought_seconds(params: Mapping[str, Any]) -> int:
    """Whole seconds, as the model takes them: rounded up, so that the wanted length is in them."""
    return math.ceil(float(params["seconds"]))


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
                "negative_prompt": params["negative_prompt"],
                "seconds_total": bought_seconds(params),
                "seed": seed,
            },
            finish=(
                FinishStep(
                    step="trim", variant="trimmed", options={"seconds": float(params["seconds"])}
                ),
            ),
        ),
    )


def notes(params: Mapping[str, Any]) -> tuple[Words, ...]:
    wanted, bought = params["seconds"], bought_seconds(params)
    if wanted == bought:
        return ()
    return (
        {
            "en": f"The model takes whole seconds: {bought} s are made, freed of silence at both "
            f"ends and cut to {wanted:g} s.",
            "ko": f"모델은 초 단위로만 만들 수 있어 {bought}초를 만든 뒤 앞뒤의 무음을 빼고 "
            f"{wanted:g}초로 자릅니다.",
        },
    )


SOUND_EFFECT = Recipe(
    name="sound-effect",
    title={"en": "Sound effect", "ko": "효과음"},
    settings={"SOUND_EFFECT_MODEL": model_setting(MODEL)},
    model=lambda config: config["SOUND_EFFECT_MODEL"],
    source=SourceRule.NONE,
    makes=Makes.SOUNDS,
    params=SoundEffectParams,
    inputs=inputs,
    notes=notes,
    # Its logs tell how far it is.
    webhook_events=("start", "logs", "completed"),
    # It ran for 9 s, and was cold for minutes before.
    typical_run=timedelta(seconds=60),
    # Seen once: 256 s in all, of which the run took 9.
    cold_start=timedelta(minutes=5),
    report_sections=("sounds", "outcome"),
    example={"prompt": "steps on gravel, then a wooden door", "seconds": 3.5},
)
