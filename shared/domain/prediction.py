"""A prediction as Replicate words it, read leniently: we need little, and the rest may change."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Replicate's own words, in the order in which they can come."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED})

# The fact that each status is. Its name travels as routing key.
FACT_OF_STATUS = {
    Status.STARTING: "prediction.started",
    Status.PROCESSING: "prediction.progressed",
    Status.SUCCEEDED: "prediction.succeeded",
    Status.FAILED: "prediction.failed",
    Status.CANCELED: "prediction.canceled",
    Status.ABORTED: "prediction.aborted",
}


_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NUMBERS_KEPT = 64


_STATUSES = {status.value: status for status in Status}


class Unreadable(ValueError):
    """The body is not a prediction; the sentence says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What one body says. ``status`` is None where Replicate uses a word that we do not know:
    such news is kept and moves nothing."""

    id: str
    status: Status | None
    raw_status: str
    input: Mapping[str, Any]
    output: Any
    error: str | None
    logs: str
    metrics: Mapping[str, Any]
    model: str | None
    version: str | None
    get_url: str | None
    web_url: str | None
    webhook: str | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    data_removed: bool

    @property
    def predict_seconds(self) -> float | None:
        seconds: Any = self.metrics.get("predict_time")
        return float(seconds) if _is_number(seconds) and 0 <= seconds < 1e7 else None

    @property
    def numbers(self) -> dict[str, float]:
        """The metrics that are finite numbers with a plain name: models emit what they like."""
        named = {
            name: value
            for name, value in self.metrics.items()
            if _ID.fullmatch(name) and _is_number(value) and abs(value) < 1e15
        }
        return dict(list(named.items())[:_NUMBERS_KEPT])


def read_prediction(body: bytes | Mapping[str, Any]) -> Prediction:
    """Read a prediction from a webhook's bytes or an answer's JSON.

    Raises Unreadable where there is no id or no status; every other field may be absent or odd
    (timestamps of any precision, ``logs`` null, ``urls`` without ``web``).
    """
    if isinstance(body, bytes):
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unreadable("the body is not JSON") from error
    else:
        document = body
    if not isinstance(document, Mapping):
        raise Unreadable("the body is not a JSON object")
    prediction_id, status = document.get("id"), document.get("status")
    if not isinstance(prediction_id, str) or not _ID.fullmatch(prediction_id):
        raise Unreadable("the body names no prediction id")
    if not isinstance(status, str) or not 0 < len(status) <= 64:
        raise Unreadable("the body names no status")
    urls = _mapping(document.get("urls"))
    return Prediction(
        id=prediction_id,
        status=_STATUSES.get(status),
        raw_status=status,
        input=_mapping(document.get("input")),
        output=document.get("output"),
        error=_error_text(document.get("error")),
        logs=_text(document.get("logs")) or "",
        metrics=_mapping(document.get("metrics")),
        model=_text(document.get("model")),
        version=_text(document.get("version")),
        get_url=_text(urls.get("get")),
        web_url=_text(urls.get("web")),
        webhook=_text(document.get("webhook")),
        created_at=_instant(document.get("created_at")),
        started_at=_instant(document.get("started_at")),
        completed_at=_instant(document.get("completed_at")),
        data_removed=document.get("data_removed") is True,
    )


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return _storable(value) if isinstance(value, str) and value else None


def _storable(text: str) -> str:
    # JSON may hold NULs and half characters, and no database takes them.
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def _error_text(value: object) -> str | None:
    # Documented as a string; a structured error is kept as its JSON rather than dropped.
    if value is None or isinstance(value, str):
        return _text(value)
    return json.dumps(value, ensure_ascii=False)


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    # Years that no prediction has are nonsense, and the first and last cannot change their zone.
    return instant if instant.tzinfo and 2000 <= instant.year < 2200 else None
