"""What the doctor reads: all that a full installation names."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from shared.settings import (
    BrokerSettings,
    BucketSettings,
    CrossOriginSettings,
    DatabaseSettings,
    DownloadSettings,
    ReplicateSettings,
    SourceSettings,
    WebhookUrlSettings,
)
from shared.signatures import signing_secrets


class DoctorSettings(
    BrokerSettings,
    DatabaseSettings,
    BucketSettings,
    ReplicateSettings,
    WebhookUrlSettings,
    DownloadSettings,
    SourceSettings,
    CrossOriginSettings,
):
    """Every part. Without the ingress' own secret the doctor signs with the account's."""

    api_open: bool = False
    replicate_webhook_secret: Annotated[SecretStr, AfterValidator(signing_secrets)] = SecretStr("")
