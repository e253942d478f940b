"""What a recipe may say. A recipe is data and pure functions; every service reads the same one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.domain.failure import provider_fault_passes
from shared.domain.job import ALL, Completion
from shared.domain.slot import FailureCode


class SourceRule(StrEnum):
    """Whether an order brings a file."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job as its recipe sees it: validated, with the original (if any) in our bucket."""

    job_id: UUID
    source_key: str | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotInput:
    """One purchase to make.

    ``input`` goes to the model as it stands, but that ``{"object": key}`` becomes a link at the
    moment of the create. ``seed`` is what the input says as seed, if it says one: it also names
    the slot where nothing else does.
    """

    input: Mapping[str, Any]
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishStep:
    """A step of ``shared.media`` by its name, with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, as far as we know; Replicate's answers never say it."""

    micro_dollars_per_second: int = 0
    micro_dollars_per_output: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A pipeline.

    ``params`` is a frozen dataclass that pydantic validates; ``inputs`` makes one input per slot.
    ``settings`` names the environment variables that this recipe reads, with their defaults; their
    values reach ``model`` and ``inputs`` as ``config``. ``source_types`` are content types by
    magic bytes. ``attempts`` bounds the purchases that one slot may cost; ``worth_another`` says
    which failures are worth one. ``typical_run`` is the silence after which Replicate is asked,
    ``timeout`` the time after which a slot that heard nothing is given up.
    """

    name: str
    title: Mapping[str, str]
    settings: Mapping[str, str]
    model: Callable[[Mapping[str, str]], str]
    source: SourceRule
    source_types: frozenset[str]
    params: type[Any]
    inputs: Callable[[Order, Mapping[str, str]], tuple[SlotInput, ...]]
    completion: Completion = ALL
    webhook_events: tuple[str, ...] = ("start", "completed")
    finish: tuple[FinishStep, ...] = ()
    attempts: int = 3
    worth_another: Callable[[FailureCode, str | None], bool] = provider_fault_passes
    pays_again_when_expired: bool = False
    typical_run: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(minutes=45)
    price: Price | None = None
    report_sections: tuple[str, ...] = ("original", "results", "outcome")


@dataclass(frozen=True, slots=True)
class Configured:
    """A recipe with the values of the environment variables that it names."""

    recipe: Recipe
    config: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def model(self) -> str:
        return self.recipe.model(self.config)

    def inputs(self, order: Order) -> tuple[SlotInput, ...]:
        return self.recipe.inputs(order, self.config)
