"""A brief for a rubber surface becomes a stencil, and the stencil concepts in granule colours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.domain import keys
from shared.domain.identity import derived_seed
from shared.domain.job import JobState
from shared.recipes.recipe import (
    FinishStep,
    Order,
    Preparation,
    Recipe,
    SlotInput,
    SourceRule,
    model_setting,
)
from shared.recipes.variations import MODEL, SEEDS

LONGEST_SHAPE = 6  # the longer side of a surface, in lengths of the shorter: what SDXL can draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What shall be covered, in metres."""

    width: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, strict=True)]
    height: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, strict=True)]


def _drawable(surface: Surface) -> Surface:
    longer, shorter = max(surface.width, surface.height), min(surface.width, surface.height)
    if longer > LONGEST_SHAPE * shorter:
        raise ValueError(f"one side may be {LONGEST_SHAPE} times as long as the other, no more")
    return surface


def _different(colours: tuple[str, ...]) -> tuple[str, ...]:
    lowered = tuple(colour.lower() for colour in colours)
    if len(set(lowered)) < len(lowered):
        raise ValueError("the same colour is named twice")
    return lowered


_COLOUR = r"#[0-9A-Fa-f]{6}"


def _a_colour(text: str) -> str:
    if re.fullmatch(_COLOUR, text) is None:
        raise ValueError("must be a colour such as #c05a2b")
    return text


Colour = Annotated[
    str, AfterValidator(_a_colour), Field(json_schema_extra={"pattern": f"^{_COLOUR}$"})
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioConceptsParams:
    """The brief: what it shall show, the surface, and the granule colours (``#rrggbb``) that are
    to be had. ``strength`` 0 keeps the stencil, 1 forgets it. ``dither`` mixes granules where a
    colour lies between two; without it every area gets the nearest one."""

    prompt: Annotated[str, Field(min_length=1, max_length=2000)]
    surface: Annotated[Surface, AfterValidator(_drawable)]
    colours: Annotated[
        tuple[Colour, ...], Field(min_length=2, max_length=32), AfterValidator(_different)
    ]
    concepts: Annotated[int, Field(ge=1, le=4, strict=True)] = 4
    strength: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.75
    dither: Annotated[bool, Field(strict=True)] = False
    seed: Annotated[int, Field(ge=0, lt=SEEDS, strict=True)] | None = None


def inputs(order: Order, _config: Mapping[str, str]) -> tuple[SlotInput, ...]:
    params = order.params
    seed = params["seed"]
    if seed is None:
        seed = derived_seed(order.job_id, 1, below=SEEDS)
    stencil = Preparation(
        key=keys.prepared(order.job_id, 1, "stencil", "image/png"),
        step="stencil",
        variant="stencil",
        options={
            "width": params["surface"]["width"],
            "height": params["surface"]["height"],
            "colours": list(params["colours"]),
            "seed": seed,
        },
    )
    return (
        SlotInput(
            seed=seed,
            prepare=(stencil,),
            input={
                "image": {"object": stencil.key},
                "prompt": params["prompt"],
                "prompt_strength": params["strength"],
                "num_outputs": params["concepts"],
                "seed": seed,
            },
            finish=(
                FinishStep(
                    step="palette",
                    variant="quantised",
                    options={"colours": list(params["colours"]), "dither": params["dither"]},
                ),
            ),
        ),
    )


STUDIO_CONCEPTS = Recipe(
    name="studio-concepts",
    title={"en": "Concepts for your surface", "ko": "바닥 디자인 시안"},
    settings={"STUDIO_CONCEPTS_MODEL": model_setting(MODEL)},
    model=lambda config: config["STUDIO_CONCEPTS_MODEL"],
    source=SourceRule.NONE,
    params=StudioConceptsParams,
    inputs=inputs,
    typical_run=timedelta(seconds=60),
    most_outputs=4,
    # Four pictures by a model of this size, for a cap where another one is set.
    estimate_micros=60_000,
    says={
        JobState.QUEUED: {
            "en": "The stencil is made. Waiting for a GPU.",
            "ko": "스텐실이 준비되었습니다. GPU를 기다리고 있습니다.",
        }
    },
    report_sections=("concepts", "outcome"),
    example={
        "prompt": "a playground: a river that winds between soft hills",
        "surface": {"width": 12, "height": 8},
        "colours": ["#1f6f8b", "#99c24d", "#f2e9d8", "#d1603d", "#3b3a36"],
    },
)
