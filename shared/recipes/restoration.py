"""One damaged photo becomes one restored photo."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from shared.domain.identity import derived_seed
from shared.recipes.recipe import Order, Recipe, Setting, SlotInput, SourceRule, model_setting

SEEDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorationParams:
    """``seed`` makes a restoration that can be asked for again; without one it follows from the
    job."""

    seed: Annotated[int, Field(ge=0, lt=SEEDS, strict=True)] | None = None


def inputs(order: Order, config: Mapping[str, str]) -> tuple[SlotInput, ...]:
    given = order.params["seed"]
    seed = derived_seed(order.job_id, 1, below=SEEDS) if given is None else given
    return (
        SlotInput(
            seed=seed,
            input={
                "input_image": {"object": order.source_key},
                "seed": seed,
                "output_format": config["REPLICATE_OUTPUT_FORMAT"],
                "safety_tolerance": int(config["REPLICATE_SAFETY_TOLERANCE"]),
            },
        ),
    )


RESTORATION = Recipe(
    name="restoration",
    title={"en": "Your photo, restored", "ko": "사진 복원"},
    settings={
        "REPLICATE_MODEL": model_setting("flux-kontext-apps/restore-image"),
        "REPLICATE_OUTPUT_FORMAT": Setting(default="png", pattern="png|jpg", means="png or jpg"),
        "REPLICATE_SAFETY_TOLERANCE": Setting(
            default="0", pattern="[0-2]", means="0 (most strict), 1 or 2"
        ),
    },
    model=lambda config: config["REPLICATE_MODEL"],
    source=SourceRule.REQUIRED,
    source_types=frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"}),
    params=RestorationParams,
    inputs=inputs,
    webhook_events=("start", "output", "logs", "completed"),
    typical_run=timedelta(seconds=30),
    # An official model is always warm.
    cold_start=timedelta(seconds=30),
    report_sections=("before_after", "outcome"),
)
