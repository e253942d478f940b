"""What a recipe may say. A recipe is data and pure functions; every service reads the same one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.domain.cost import Price
from shared.domain.failure import provider_fault_passes
from shared.domain.job import ALL, Completion, JobState
from shared.domain.slot import FailureCode
from shared.recipes.prices import price_of
from shared.words import Words as Words  # noqa: PLC0414 - recipes take it from here


class SourceRule(StrEnum):
    """Whether an order brings a file."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


class Makes(StrEnum):
    """The kind of file that a model makes, as content types begin. Another kind is no result."""

    PICTURES = "image"
    SOUNDS = "audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An environment variable that one recipe reads: its default, and what it may be.

    ``pattern`` must match the whole value; ``means`` says in words what is expected, for whoever
    set it wrong.
    """

    default: str
    pattern: str = r"\S.*"
    means: str = "a text"


def model_setting(default: str) -> Setting:
    """The variable that names a recipe's model, in one of the three forms that Replicate takes."""
    return Setting(
        default=default,
        pattern=r"[\w.-]+/[\w.-]+(:[0-9a-f]{64})?|[0-9a-f]{64}",
        means="a model: owner/name, owner/name:version or a version of 64 hex digits",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job as its recipe sees it: validated, with the original (if any) in our bucket."""

    job_id: UUID
    source_key: str | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """A file of ours to make, and to have in the bucket, before anything is bought for its slot.

    ``step`` is the name of one in ``shared.media.steps.PREPARE``. The same options give the same
    bytes, so that making it twice stores it once.
    """

    key: str
    step: str
    variant: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishStep:
    """What is derived from each output of a slot: a step of ``shared.media.steps.FINISH`` by its
    name, with its options (JSON). ``variant`` names the file that it makes."""

    step: str
    variant: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotInput:
    """One purchase to make.

    ``input`` goes to the model as it stands, but that ``{"object": key}`` becomes a link at the
    moment of the create. ``seed`` is what the input says as seed, if it says one: it also names
    the slot where nothing else does. ``finish`` is written down with the slot, so that an order in
    flight is finished as it was planned, whatever a later version of its recipe says.
    """

    input: Mapping[str, Any]
    seed: int | None = None
    prepare: tuple[Preparation, ...] = ()
    finish: tuple[FinishStep, ...] = ()


def _all_of_them(_params: Mapping[str, Any]) -> Completion:
    return ALL


def _nothing_to_say(_params: Mapping[str, Any]) -> tuple[Words, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A pipeline.

    ``params`` is a frozen dataclass that pydantic validates; ``inputs`` makes one input per slot.
    ``settings`` names the environment variables that this recipe reads; their values reach
    ``model`` and ``inputs`` as ``config``. ``source_types`` are content types by magic bytes.
    ``completion`` is the rule for an order with these params. ``attempts`` bounds the purchases
    that one slot may cost; ``worth_another`` says which failures are worth one. ``typical_run`` is
    the silence after which Replicate is asked, ``timeout`` the time after which a slot that heard
    nothing is given up, ``cold_start`` how long the model may boot before a run begins.
    ``most_outputs`` are the files that one purchase may make; ``estimate_micros`` (millionths of a
    dollar) is what it counts as where nobody has said what its model costs. ``says`` replaces the
    sentence for people in some states of a job; ``notes`` are what people should know about how an
    order with these params is carried out. ``example`` are the params of an order that shows it, as
    the demonstration places it.
    """

    name: str
    title: Words
    settings: Mapping[str, Setting]
    model: Callable[[Mapping[str, str]], str]
    source: SourceRule
    params: type[Any]
    inputs: Callable[[Order, Mapping[str, str]], tuple[SlotInput, ...]]
    source_types: frozenset[str] = frozenset()
    makes: Makes = Makes.PICTURES
    completion: Callable[[Mapping[str, Any]], Completion] = _all_of_them
    webhook_events: tuple[str, ...] = ("start", "completed")
    attempts: int = 3
    worth_another: Callable[[FailureCode, str | None], bool] = provider_fault_passes
    pays_again_when_expired: bool = False
    typical_run: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(minutes=45)
    cold_start: timedelta = timedelta(minutes=3)
    most_outputs: int = 1
    estimate_micros: int | None = None
    says: Mapping[JobState, Words] = field(default_factory=dict)
    notes: Callable[[Mapping[str, Any]], tuple[Words, ...]] = _nothing_to_say
    report_sections: tuple[str, ...] = ("original", "results", "outcome")
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def default_model(self) -> str:
        """The model that it takes where no variable names another one."""
        return self.model({name: setting.default for name, setting in self.settings.items()})


@dataclass(frozen=True, slots=True)
class Configured:
    """A recipe with the values of the environment variables that it names; ``prices`` are those
    that the installation states, by model, over what is known here."""

    recipe: Recipe
    config: Mapping[str, str]
    prices: Mapping[str, Price] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def model(self) -> str:
        return self.recipe.model(self.config)

    @property
    def price(self) -> Price | None:
        """What its model costs; None: nobody has said."""
        return price_of(self.model, self.prices)

    @property
    def estimate_micros(self) -> int | None:
        """Millionths of a dollar that one purchase is expected to cost; None: nothing tells."""
        recipe, price = self.recipe, self.price
        if price is None:
            return recipe.estimate_micros
        return price.of_run(recipe.typical_run, outputs=recipe.most_outputs)

    def inputs(self, order: Order) -> tuple[SlotInput, ...]:
        return self.recipe.inputs(order, self.config)
