"""What storage reads from the environment."""

from typing import Annotated

from pydantic import Field

from shared.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    DownloadSettings,
    FilesLiveSettings,
)


class Settings(
    BrokerSettings, DatabaseSettings, BucketSettings, DownloadSettings, FilesLiveSettings
):
    # Predictions in hand at once, and files on their way at once over all of them.
    storage_predictions_at_once: Annotated[int, Field(ge=1, le=100)] = 8
    storage_files_at_once: Annotated[int, Field(ge=1, le=200)] = 8
    # A decoded picture is up to a hundred times its file.
    storage_decodes_at_once: Annotated[int, Field(ge=1, le=16)] = 1
    # Each holds a whole output in memory, and keeps a core busy.
    storage_finishes_at_once: Annotated[int, Field(ge=1, le=16)] = 2
    storage_most_files: Annotated[int, Field(ge=1, le=1000)] = 100
    # About 50 minutes of patience, for files that live an hour: they are paid for.
    storage_attempts: Annotated[int, Field(ge=1, le=100)] = 28
    # A hundred files over a thin line are slow; what takes longer than this never ends.
    storage_message_seconds: Annotated[float, Field(ge=60, le=7200)] = 1500.0
