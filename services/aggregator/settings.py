"""What the aggregator reads from the environment."""

from typing import Annotated

from pydantic import Field

from shared.settings import BrokerSettings, DatabaseSettings


class Settings(BrokerSettings, DatabaseSettings):
    # Closings counted in one transaction. A job of 10,000 slots is locked 50 times, not 10,000.
    aggregator_batch: Annotated[int, Field(ge=1, le=1000)] = 200
