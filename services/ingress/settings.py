"""What the ingress is told from outside."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from shared.settings import BrokerSettings
from shared.signatures import signing_secrets


class Settings(BrokerSettings):
    """Without a secret the ingress starts, says so, and answers 503 to every webhook."""

    replicate_webhook_secret: Annotated[SecretStr, AfterValidator(signing_secrets)] = SecretStr("")

    ingress_host: str = "0.0.0.0"  # noqa: S104 - Replicate comes from outside
    ingress_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    # Health and metrics beside the webhooks; turn it off where strangers reach this port.
    ingress_tells_health: bool = True

    # After SIGTERM: so long webhooks are still taken while /readyz says no. As long as the balancer
    # in front takes to see that; 0 where it takes us out first, as Kubernetes does with preStop.
    ingress_linger_seconds: Annotated[float, Field(ge=0, le=60)] = 0.0

    # Real bodies carry logs, data URLs and echoed inputs. What is turned away for its size comes
    # back only through the reconciler.
    webhook_max_bytes: Annotated[int, Field(ge=1024, le=128 * 1024 * 1024)] = 10 * 1024 * 1024
    webhook_body_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    webhook_confirm_seconds: Annotated[float, Field(gt=0, le=30)] = 2.0
    webhooks_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 512
    webhook_connections: Annotated[int, Field(ge=1, le=100_000)] = 900  # below 1,024 open files

    # Off by default: behind a proxy every sender has the proxy's address, and a stranger could
    # shut Replicate out by using it up. Turn it on where senders are seen by their own address.
    webhooks_per_second_per_address: Annotated[float, Field(ge=0)] = 0.0
