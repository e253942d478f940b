"""What can be set, by argument, flag or `EMULATOR_…`. The defaults are the real provider's."""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from deploy.local.emulator.webhooks import new_secret


def _webhook_secrets(value: SecretStr) -> SecretStr:
    for secret in value.get_secret_value().split(","):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith("whsec_") or not 16 <= len(key) <= 64:
            raise ValueError("a webhook secret is whsec_ and the base64 of 16 to 64 bytes")
    return value


class Settings(BaseModel):
    """Times named `…_s` are provider seconds, which the clock's speed shortens; where they are
    seconds of the wall, the line says so."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8400  # 0: a free one
    files_host: str | None = None  # none: the same
    files_port: Annotated[int, Field(ge=0, le=65535)] = (
        8401  # outputs live on an origin of their own
    )
    files_url: str | None = None  # how receivers name that origin, where it is not host and port
    tokens: tuple[SecretStr, ...] = ()  # none named: whatever begins with r8_
    # Several, separated by commas: every delivery is signed with each, as while rotating.
    webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secrets)] = Field(
        default_factory=lambda: SecretStr(new_secret())
    )
    ledger_path: Path | None = None
    # Of the log, in memory; the file has all of it. None: all, for as long as the emulator runs.
    ledger_keeps: Annotated[int, Field(gt=0)] | None = None
    files_dir: Path | None = None  # none: a temporary directory that goes with the emulator
    seed: int = 0  # decides which predictions the faults with a rate below 1 meet
    speed: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    faults: tuple[dict[str, Any], ...] = ()  # rules that stand from the start

    cold_start_s: Annotated[float, Field(ge=0)] = 0.3
    run_s: Annotated[float, Field(ge=0)] | None = None  # none: each model's own range
    run_limit_s: Annotated[float, Field(gt=0)] = 1800.0
    retention_s: Annotated[float, Field(gt=0)] = 3600.0
    uploads_retention_s: Annotated[float, Field(gt=0)] = 86_400.0

    creates_per_minute: Annotated[int, Field(gt=0)] = 600  # of the wall
    reads_per_minute: Annotated[int, Field(gt=0)] = 3000  # of the wall
    create_burst: Annotated[int, Field(gt=0)] | None = None  # none: a minute's worth
    low_credit: bool = False  # 6 a minute, burst 1
    retry_after_header: bool = False  # beside the body's retry_after; the real one is not known

    webhook_concurrency: Annotated[int, Field(gt=0)] = 32
    webhook_timeout_s: Annotated[float, Field(gt=0)] = 10.0  # of the wall
    webhook_retry_after_s: tuple[float, ...] = (1, 3, 7, 15, 31, 60)  # since the first attempt
    webhook_throttle_s: Annotated[float, Field(ge=0)] = 0.5  # output and logs, each
    webhook_retry_redirects: bool = False
    webhook_for_aborted: bool = True
    webhook_https_only: bool = False
    start_webhook_status: str = "starting"  # Cog's own sender says "processing"
    echo_webhook: bool = True  # whether answers name the webhook that was asked for
    cancel_finished_status: int = 200
    refuse_unknown_inputs: bool = False

    input_limit_bytes: int = 64 * 2**20
    input_timeout_s: Annotated[float, Field(gt=0)] = 20.0  # of the wall
    body_limit_bytes: int = 20 * 2**20
    longest_side: Annotated[int, Field(ge=64, le=2048)] = 1024  # smaller pictures cost less
    workers: Annotated[int, Field(ge=1)] = 2  # pictures made at the same time
    deployments: dict[str, str] = Field(default_factory=lambda: {"acme/sdxl": "stability-ai/sdxl"})
