"""What the report service reads from the environment."""

from typing import Annotated

from pydantic import Field

from shared.settings import BrokerSettings, BucketSettings, DatabaseSettings, PeopleSettings


class Settings(BrokerSettings, DatabaseSettings, BucketSettings, PeopleSettings):
    # Pages made at the same time. Each holds one decoded file in memory, whatever it shows.
    report_concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    # A larger file is named in the page and not shown.
    report_file_max_bytes: Annotated[int, Field(ge=1)] = 50 * 1024 * 1024
