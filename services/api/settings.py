"""What the API is told from outside."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from services.api.callback_settings import CallbackSettings
from shared import recipes
from shared.errors import Misconfigured
from shared.settings import (
    BucketSettings,
    CrossOriginSettings,
    FilesLiveSettings,
    HttpUrl,
    OriginalSettings,
    PeopleSettings,
)


class Settings(
    CallbackSettings,
    BucketSettings,
    OriginalSettings,
    CrossOriginSettings,
    PeopleSettings,
    FilesLiveSettings,
):
    """Without a token in the database only this very machine is served: see ``api_open``."""

    api_host: str = "0.0.0.0"  # noqa: S104 - front ends come from outside
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8090
    # Serve everybody who comes, also without a token. Only behind a wall of your own.
    api_open: bool = False

    # Of each token, lasting; twice that at once. 0 is no limit.
    api_requests_per_second: Annotated[float, Field(ge=0, le=100_000)] = 50.0
    api_body_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    # A request, but for streams, has its answer by then.
    api_answer_seconds: Annotated[float, Field(gt=0, le=60)] = 15.0
    api_connections: Annotated[int, Field(ge=1, le=100_000)] = 4000
    # Live streams that are open at the same time; the next one is told to come later.
    api_streams: Annotated[int, Field(ge=0, le=100_000)] = 2000
    # After SIGTERM: so long requests are still taken while /readyz says no. Streams end at once.
    api_linger_seconds: Annotated[float, Field(ge=0, le=60)] = 0.0
    # How long the links to files live that are handed out.
    api_link_seconds: Annotated[float, Field(ge=60, le=900)] = 900.0
    # After that people log in to the pages again.
    api_session_seconds: Annotated[float, Field(ge=300, le=2_592_000)] = 12 * 3600.0

    # A photo that comes with a form: how long it may take, and how many come at the same time. Each
    # lies in the scratch directory meanwhile, SOURCE_MAX_BYTES at the most.
    api_photo_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    api_photos_at_once: Annotated[int, Field(ge=1, le=100)] = 4
    # Where docs/runbook/ can be read; without it pages name its files.
    api_runbook_url: HttpUrl | None = None

    @classmethod
    def mistakes_beside(cls, environment: Mapping[str, str]) -> list[str]:
        """Those in the variables that recipes read."""
        try:
            recipes.configured(environment)
        except Misconfigured as error:
            return str(error).splitlines()
        return []
