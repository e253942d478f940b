"""What models cost as far as anybody has said, and what an order is expected to cost by that."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from shared.domain.cost import Bill, Price, bill
from shared.errors import Misconfigured
from shared.recipes import RECIPES, configured
from shared.recipes.estimate import estimate
from shared.recipes.prices import PRICES, micros_of, price_of, read_prices
from shared.recipes.recipe import Recipe

SDXL = "stability-ai/sdxl"


@dataclass(frozen=True, kw_only=True)
class APurchase:
    outcome: str = "accepted"
    cost_micros: int | None = None
    estimate_micros: int | None = None


def test_a_price_is_that_of_the_model_whichever_version_runs() -> None:
    assert price_of(SDXL) == price_of(f"{SDXL}:39ed52f2") == PRICES[SDXL]
    assert price_of("somebody/unheard-of") is None


def test_what_an_installation_states_comes_first() -> None:
    known = configured(
        {"MODEL_PRICES": f"{SDXL}=0.002/second, flux-kontext-apps/restore-image=0.04/output"}
    )

    assert known["variations"].price == Price(micro_dollars_per_second=2000)
    assert known["restoration"].price == Price(micro_dollars_per_output=40_000)
    assert known["sound-effect"].price is None


def test_what_stands_twice_for_one_model_adds_up() -> None:
    stated = read_prices("a/b=0.001/second,a/b=0.02/output")

    assert stated == {"a/b": Price(micro_dollars_per_second=1000, micro_dollars_per_output=20_000)}


@pytest.mark.parametrize(
    "text",
    [
        *("a/b", "a/b=", "a/b=1", "a/b=1/minute", "=1/output", "b=1/output", "a/b=x/output"),
        *("a/b=-1/output", "a/b=nan/output", "a/b=inf/output", "a/b=0.0000001/second"),
        *("a/b=1e400/output", "a/b=2000/output"),
    ],
)
def test_a_price_that_cannot_be_read_is_told_by_its_variable(text: str) -> None:
    with pytest.raises(Misconfigured, match="MODEL_PRICES: "):
        configured({"MODEL_PRICES": text})


def test_an_amount_is_exact() -> None:
    assert micros_of(" 0.29 ") == 290_000
    assert micros_of("0") == 0


def test_a_run_costs_its_seconds_and_its_files() -> None:
    price = Price(micro_dollars_per_second=10, micro_dollars_per_output=7)

    assert price.of_run(timedelta(seconds=3), outputs=2) == 44
    assert price.of_run(timedelta(seconds=-3), outputs=0) == 0


def test_a_purchase_is_expected_to_run_as_usual_and_to_make_all_that_it_may() -> None:
    stated = configured({"MODEL_PRICES": f"{SDXL}=0.01/output"})

    assert configured({})["variations"].estimate_micros == 30 * 975
    assert stated["studio-concepts"].estimate_micros == 40_000


def test_where_the_price_is_not_known_a_purchase_counts_as_its_recipe_says() -> None:
    known = configured({"VARIATIONS_MODEL": "somebody/unheard-of"})

    assert known["variations"].price is None
    assert known["variations"].estimate_micros == 30_000
    assert known["restoration"].estimate_micros is None


def test_an_order_is_estimated_by_its_purchases_and_at_most_by_its_attempts() -> None:
    told = estimate(configured({})["variations"], {"count": 4})

    assert (told.purchases, told.micros, told.most_micros) == (4, 117_000, 351_000)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_can_be_estimated_and_says_where_nobody_knows(recipe: Recipe) -> None:
    known = configured({})[recipe.name]

    told = estimate(known, dict(known.recipe.example))

    assert told.purchases >= 1
    assert (told.micros is None) is (known.estimate_micros is None)


def test_what_was_refused_or_never_sent_is_on_no_bill() -> None:
    turned_away = [
        APurchase(outcome=outcome, cost_micros=1)
        for outcome in ("refused", "not_bought", "not_listed")
    ]

    assert bill(turned_away) == Bill()


def test_a_bill_tells_what_is_paid_expected_and_unknown_apart() -> None:
    told = bill(
        [
            APurchase(cost_micros=700, estimate_micros=900),
            APurchase(estimate_micros=900),
            APurchase(outcome="in_doubt", estimate_micros=900),
            APurchase(outcome="intended"),
        ]
    )

    assert told == Bill(paid=1, paid_micros=700, open=3, open_micros=1800, unknown=1)
    assert told.micros == 2500
    assert bill([APurchase()]).micros is None
