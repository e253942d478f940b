"""What models cost, as far as anybody has said. Replicate's answers never tell, so this is a hint
and no bill; a model that is not in the table has a price that is not known, which is not nothing.

An installation states its own in ``MODEL_PRICES``: ``owner/name=0.04/output`` and
``owner/name=0.000975/second``, with commas between; what stands twice for one model adds up.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from shared.domain.cost import Price

PRICES_SETTING = "MODEL_PRICES"

PRICES: Mapping[str, Price] = {
    # The list price of the hardware that it runs on.
    "stability-ai/sdxl": Price(micro_dollars_per_second=975),
}

_MODEL = re.compile(r"[\w.-]+/[\w.-]+|[0-9a-f]{64}")
DEAREST_MICROS = 1_000_000_000  # a thousand dollars for one second or file is a slip of the pen


def price_of(model: str, stated: Mapping[str, Price] | None = None) -> Price | None:
    """The price of a model, whichever version of it is run; None: not known. ``stated`` wins."""
    name = model.partition(":")[0]
    return (stated or {}).get(name) or PRICES.get(name)


def read_prices(text: str) -> dict[str, Price]:
    """The prices that an installation states. Raises ValueError with a sentence."""
    stated: dict[str, Price] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        model, equals, price = part.partition("=")
        amount, _, unit = price.partition("/")
        if not equals or not _MODEL.fullmatch(model.strip()) or unit not in ("second", "output"):
            raise ValueError(
                "a price is written owner/name=0.04/output or owner/name=0.000975/second"
            )
        micros = micros_of(amount)
        before = stated.get(model.strip(), Price())
        stated[model.strip()] = Price(
            micro_dollars_per_second=before.micro_dollars_per_second
            + (micros if unit == "second" else 0),
            micro_dollars_per_output=before.micro_dollars_per_output
            + (micros if unit == "output" else 0),
        )
    return stated


def micros_of(dollars: str, *, most: int = DEAREST_MICROS) -> int:
    """Millionths of a dollar. Raises ValueError with a sentence."""
    try:
        amount = Decimal(dollars.strip())
    except InvalidOperation:
        amount = Decimal("NaN")
    micros = amount * 1_000_000
    if not amount.is_finite() or amount < 0 or micros != micros.to_integral_value():
        raise ValueError("an amount is in dollars, with six decimals at the most, such as 0.04")
    if micros > most:
        raise ValueError(f"more than {most // 1_000_000:,} dollars are not meant")
    return int(micros)
