"""Settings from environment variables, in groups that services compose. Read once, at the start."""

import os
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared import tls
from shared.errors import Misconfigured
from shared.validation import faults

Locale = Literal["en", "ko"]

ANY_ORIGIN = "*"


def is_loopback(url: str) -> bool:
    """Whether ``url`` points at this very machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _amqp(url: SecretStr) -> SecretStr:
    if urlsplit(url.get_secret_value()).scheme not in ("amqp", "amqps"):
        raise ValueError("must begin with amqp:// or amqps://")
    return url


def _postgres(url: SecretStr) -> SecretStr:
    if urlsplit(url.get_secret_value()).scheme not in ("postgres", "postgresql"):
        raise ValueError("must begin with postgresql://")
    return url


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username or parts.password:
        raise ValueError("must not carry a user or a password")
    return url.rstrip("/")


def _public(url: str) -> str:
    if urlsplit(_http(url)).scheme != "https" and not is_loopback(url):
        raise ValueError("must be https, or a loopback address on a laptop")
    return url.rstrip("/")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; write it like Asia/Seoul or UTC") from error
    return name


def listed(text: str) -> tuple[str, ...]:
    """The parts of a setting that lists them with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _listed(text: object) -> object:
    return listed(text) if isinstance(text, str) else text


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        parts = urlsplit(origin)
        if origin == ANY_ORIGIN:
            continue
        if f"{parts.scheme}://{parts.netloc}" != origin or not parts.hostname or "@" in origin:
            raise ValueError(
                "must be origins such as https://app.example.com, with nothing behind them"
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(origin)):
            raise ValueError("must be https, or http on a loopback address")
    return tuple(origin.lower() for origin in origins)


def _readable(path: str) -> str:
    if not os.access(path, os.R_OK):
        raise ValueError("names no file that can be read")
    return path


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
HttpUrl = Annotated[str, AfterValidator(_http)]
CaFile = Annotated[str, AfterValidator(_readable)]
Zone = Annotated[str, AfterValidator(_zone)]


class CommonSettings(BaseSettings):
    """What every process has."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file=None,
        env_ignore_empty=True,  # a variable that is passed on empty was not set
        str_strip_whitespace=True,
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    health_host: str = "0.0.0.0"  # noqa: S104 - probes come from outside the pod
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    drain_seconds: Annotated[float, Field(gt=0, le=3600)] = 25.0
    # Where spans are sent (OTLP over HTTP); unset: none is recorded.
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    # The part of the traces that is kept, of those that begin here; others keep what they decided.
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] = 1.0
    # Refuse every way to broker, database and bucket that is not encrypted and checked.
    tls_required: bool = False
    # What the image was built from, as its metrics tell it.
    revision: Annotated[str, Field(max_length=64)] = "unknown"

    @classmethod
    def mistakes_beside(cls, _environment: Mapping[str, str]) -> list[str]:
        """What is wrong with variables that are no fields here, a line each."""
        return []


class BrokerSettings(CommonSettings):
    """The broker. ``amqp_ca_file``: the authorities that it is believed by, instead of the
    system's; it comes first, since it goes into the address."""

    amqp_ca_file: CaFile | None = None
    amqp_url: Annotated[SecretStr, AfterValidator(_amqp)]

    @field_validator("amqp_url")
    @classmethod
    def _trusting(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        return SecretStr(
            tls.broker_url(
                url.get_secret_value(),
                ca_file=info.data.get("amqp_ca_file"),
                required=info.data.get("tls_required", False),
            )
        )


class DatabaseSettings(CommonSettings):
    """The database; ``database_ca_file`` as ``amqp_ca_file``."""

    database_ca_file: CaFile | None = None
    database_url: Annotated[SecretStr, AfterValidator(_postgres)]
    database_pool_size: Annotated[int, Field(ge=2, le=100)] = 8

    @field_validator("database_url")
    @classmethod
    def _trusting_database(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        return SecretStr(
            tls.database_url(
                url.get_secret_value(),
                ca_file=info.data.get("database_ca_file"),
                required=info.data.get("tls_required", False),
            )
        )


class BucketSettings(CommonSettings):
    """The bucket. Without an endpoint it is Amazon's, and credentials may come from the machine."""

    s3_bucket: Annotated[str, Field(min_length=3, max_length=63)]
    s3_endpoint_url: HttpUrl | None = None
    s3_public_endpoint_url: HttpUrl | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_default_region: str = "us-east-1"
    # Read by Amazon's library itself; named here so that a wrong path is told at the start.
    aws_ca_bundle: CaFile | None = None

    @field_validator("s3_endpoint_url", "s3_public_endpoint_url")
    @classmethod
    def _encrypted(cls, url: str | None, info: ValidationInfo) -> str | None:
        required = info.data.get("tls_required", False)
        return None if url is None else tls.endpoint_url(url, required=required)


class ReplicateSettings(CommonSettings):
    replicate_api_token: SecretStr
    replicate_base_url: HttpUrl = "https://api.replicate.com"
    replicate_creates_per_minute: Annotated[int, Field(ge=1)] = 600
    replicate_reads_per_minute: Annotated[int, Field(ge=1)] = 3000


class FilesLiveSettings(CommonSettings):
    """How long Replicate keeps the files of a prediction after its end."""

    replicate_files_live_seconds: Annotated[float, Field(gt=0, le=2_592_000)] = 3600.0

    @property
    def files_live(self) -> timedelta:
        return timedelta(seconds=self.replicate_files_live_seconds)


class WebhookUrlSettings(CommonSettings):
    """Where Replicate finds our ingress."""

    public_base_url: Annotated[str, AfterValidator(_public)] = "http://127.0.0.1:8080"


class DownloadSettings(CommonSettings):
    """Whom outputs may be fetched from. ``download_allowed_origin`` opens exactly one more origin,
    for the emulator on a laptop; it stays empty in production."""

    download_hosts: Listed = ("replicate.delivery",)
    download_allowed_origin: HttpUrl | None = None
    download_max_bytes: Annotated[int, Field(ge=1)] = 200 * 1024 * 1024
    download_within_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0


class OriginalSettings(CommonSettings):
    """What originals may be. ``source_prefixes`` are folders of the bucket, beside a job's own, that
    orders may name them in."""

    source_prefixes: Listed = ()
    source_max_bytes: Annotated[int, Field(ge=1, le=500_000_000)] = 50_000_000

    @property
    def source_folders(self) -> tuple[str, ...]:
        return tuple(p if p.endswith("/") else f"{p}/" for p in self.source_prefixes)


class CrossOriginSettings(CommonSettings):
    """Origins whose pages may call the API from a browser; ``*`` is every one. The same pages put
    originals into the bucket and read results there."""

    api_cors_origins: Annotated[Listed, AfterValidator(_origins)] = ()


class SourceSettings(OriginalSettings):
    """Whom originals that orders name by address may be fetched from: nobody, unless hosts are
    named. ``source_allowed_origin`` opens exactly one more origin, on a laptop and in tests."""

    source_hosts: Listed = ()
    source_allowed_origin: HttpUrl | None = None
    source_within_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0


class ZoneSettings(CommonSettings):
    """The zone whose days and clocks this installation lives by."""

    timezone: Zone = "UTC"


class PeopleSettings(ZoneSettings):
    locale: Locale = "en"


S = TypeVar("S", bound=CommonSettings)


def read_settings(kind: type[S]) -> S:
    """Read ``kind`` from the environment.

    Raises Misconfigured with every mistake at once, each by the name of its variable and never
    with its value.
    """
    settings, mistakes = None, []
    try:
        settings = kind()
    except ValidationError as error:
        mistakes = [
            f"{field.upper()} {what}" if what == "is missing" else f"{field.upper()}: {what}"
            for field, what in faults(error, whole="settings")
        ]
    mistakes += kind.mistakes_beside(environment())
    if settings is None or mistakes:
        raise Misconfigured("\n".join(mistakes))
    return settings


def environment() -> dict[str, str]:
    """Every variable, for the recipes, which name those that they read."""
    return dict(os.environ)  # noqa: TID251


def summary(settings: CommonSettings) -> dict[str, object]:
    """Every setting for the log at start; a secret only as whether it is there."""
    shown: dict[str, object] = {}
    for name, value in settings:
        if isinstance(value, SecretStr) or name.endswith(("_secret", "_secrets", "_token")):
            shown[f"{name}_configured"] = bool(value)
        elif value is not None:
            shown[name] = value
    return shown
