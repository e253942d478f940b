"""What the generator reads from the environment."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from shared import recipes
from shared.domain.cap import why_caps_cannot_hold
from shared.errors import Misconfigured
from shared.recipes.prices import micros_of
from shared.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    Listed,
    ReplicateSettings,
    SourceSettings,
    WebhookUrlSettings,
    ZoneSettings,
    is_loopback,
    listed,
)

HIGHEST_CAP_MICROS = 1_000_000_000_000


def read_caps(written: tuple[str, ...]) -> dict[str, int]:
    """Millionths of a dollar a day, by recipe. Raises ValueError with a sentence."""
    caps: dict[str, int] = {}
    for one in written:
        recipe, equals, dollars = (part.strip() for part in one.partition("="))
        if not equals or not recipe:
            raise ValueError(f"{one!r} is no cap; write it like variations=5.00")
        if recipe in caps:
            raise ValueError(f"{recipe} has two caps")
        caps[recipe] = micros_of(dollars, most=HIGHEST_CAP_MICROS)
    return caps


def _caps(written: tuple[str, ...]) -> tuple[str, ...]:
    read_caps(written)
    return written


class Settings(
    BrokerSettings,
    DatabaseSettings,
    BucketSettings,
    ReplicateSettings,
    SourceSettings,
    WebhookUrlSettings,
    ZoneSettings,
):
    orders_at_once: Annotated[int, Field(ge=1, le=100)] = 4
    preparations_at_once: Annotated[int, Field(ge=1, le=16)] = 2

    creates_at_once: Annotated[int, Field(ge=1, le=200)] = 16
    # A purchase belongs to its buyer for so long; then it counts as in doubt.
    create_lease_seconds: Annotated[float, Field(gt=1, le=600)] = 60.0
    # The call itself ends earlier, so that its answer is written before the lease is over.
    create_within_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    # Of a prediction that says nothing, before Replicate is asked; unset: as long as the recipe's
    # runs usually take.
    ask_after_seconds: Annotated[float, Field(ge=1, le=3000)] | None = None
    # Longer than the slowest queue: the model fetches its input when it starts, not when asked.
    input_link_seconds: Annotated[float, Field(ge=3600, le=604_800)] = 6 * 3600.0
    # Dollars that recipes may cost a day of this zone, such as variations=5,studio-concepts=2.50.
    cost_caps: Annotated[Listed, AfterValidator(_caps)] = ()

    @model_validator(mode="after")
    def _call_ends_before_its_lease(self) -> "Settings":
        if self.create_within_seconds * 1.5 > self.create_lease_seconds:
            raise ValueError("CREATE_LEASE_SECONDS must be at least 1.5 × CREATE_WITHIN_SECONDS")
        return self

    @classmethod
    def mistakes_beside(cls, environment: Mapping[str, str]) -> list[str]:
        """Those in the variables that recipes read, and caps that could not hold."""
        try:
            known = recipes.configured(environment)
            caps = read_caps(listed(environment.get("COST_CAPS", "")))
        except Misconfigured as error:
            return str(error).splitlines()
        except ValueError:
            return []  # told as a mistake of the field
        estimates = {name: recipe.estimate_micros for name, recipe in known.items()}
        return [f"COST_CAPS: {why}" for why in why_caps_cannot_hold(caps, estimates)]

    @property
    def source_copies_at_once(self) -> int:
        """Originals that are fetched from others at the same time: with half of the orders, so
        that slow hosts never hold up all of them."""
        return max(1, self.orders_at_once // 2)

    @property
    def webhook_url(self) -> str | None:
        return webhook_url(self.public_base_url, self.replicate_base_url)


def webhook_url(public_base_url: str, replicate_base_url: str) -> str | None:
    """Where to ask for webhooks; None where nobody could reach us, and the reconciler asks instead.

    The real provider cannot call a loopback address. A stand-in that is reached in plain http is on
    this machine or in this network, and can.
    """
    provider_is_near = is_loopback(replicate_base_url) or (
        urlsplit(replicate_base_url).scheme == "http"
    )
    if is_loopback(public_base_url) and not provider_is_near:
        return None
    return f"{public_base_url}/webhooks/replicate"
