"""One photo becomes several variations of itself, each with a seed of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from shared.domain.identity import derived_seed
from shared.domain.job import ALL, Completion, at_least
from shared.recipes.recipe import Order, Recipe, SlotInput, SourceRule, model_setting

# SDXL image to image. One output a slot, so that each picture has a seed that can be named.
MODEL = "stability-ai/sdxl:39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"

# SDXL draws its own default seed from 16 bits; a signed 32-bit seed is taken by every version.
SEEDS = 2**31

PROMPT = "the same picture in another mood and light, detailed, natural colours"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationsParams:
    """``count`` pictures of the same photo; ``strength`` 0 keeps it, 1 forgets it.

    ``at_least`` is how many of them must come for the job to count as completed; without it, all.
    """

    count: Annotated[int, Field(ge=1, le=10, strict=True)] = 3
    prompt: Annotated[str, Field(min_length=1, max_length=2000)] = PROMPT
    strength: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.6
    seed: Annotated[int, Field(ge=0, lt=SEEDS - 10, strict=True)] | None = None
    at_least: Annotated[int, Field(ge=1, le=10, strict=True)] | None = None

    def __post_init__(self) -> None:
        if self.at_least is not None and self.at_least > self.count:
            raise ValueError(f"at_least is {self.at_least}, and only {self.count} are ordered")


def inputs(order: Order, _config: Mapping[str, str]) -> tuple[SlotInput, ...]:
    params = order.params
    seeds = [
        derived_seed(order.job_id, ordinal, below=SEEDS)
        if params["seed"] is None
        else params["seed"] + ordinal - 1
        for ordinal in range(1, params["count"] + 1)
    ]
    return tuple(
        SlotInput(
            seed=seed,
            input={
                "image": {"object": order.source_key},
                "prompt": params["prompt"],
                "prompt_strength": params["strength"],
                "num_outputs": 1,
                "seed": seed,
            },
        )
        for seed in seeds
    )


def completion(params: Mapping[str, Any]) -> Completion:
    # Orders from before this parameter have no word on it.
    k = params.get("at_least")
    return ALL if k is None else at_least(k)


VARIATIONS = Recipe(
    name="variations",
    title={"en": "Variations of your photo", "ko": "사진 변주"},
    settings={"VARIATIONS_MODEL": model_setting(MODEL)},
    model=lambda config: config["VARIATIONS_MODEL"],
    source=SourceRule.REQUIRED,
    source_types=frozenset({"image/jpeg", "image/png", "image/webp"}),
    params=VariationsParams,
    inputs=inputs,
    completion=completion,
    typical_run=timedelta(seconds=30),
    # A picture by a model of this size, for a cap where another one is set.
    estimate_micros=30_000,
)
