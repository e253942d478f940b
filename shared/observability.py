"""Logs as facts: one event name, key-value pairs, secrets taken out in one place."""

import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.domain.trace import trace_id

_SECRET_KEY = re.compile(
    r"authorization|password|secret|signature|token|cookie|dsn|api_key", re.IGNORECASE
)
_HARMLESS_KEY = re.compile(r"_configured$|^tokens$|tokens_left$")
# User info in a URL, a signed link's signature, our slot token, Replicate's own tokens and ours.
_SECRET_TEXT = (
    (re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]+@"), "***@"),
    (re.compile(r"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+"), r"\1***"),
    (re.compile(r"([?&]slot=[0-9a-f-]{36}\.\d+\.\d+\.)[A-Za-z0-9_-]+"), r"\1***"),
    (re.compile(r"\b(?:r8_|whsec_|dk_)[A-Za-z0-9+/=_-]{8,}"), "***"),
    (re.compile(r"([?&]ticket=)[^&\s\"']+"), r"\1***"),
)
# The same token where the slot stands alone, as in our own header.
_SLOT_REF = re.compile(r"\b([0-9a-f-]{36}\.\d+\.\d+\.)[A-Za-z0-9_-]{16,}")
# Without one of these none of the above can match; almost every text has none.
_HINT = re.compile(r"@|X-Amz-|slot=|ticket=|r8_|whsec_|dk_")


# The trace context of the step that this task is at (``shared.tracing`` sets it).
UNDER_WAY: ContextVar[str | None] = ContextVar("darkroom_traceparent", default=None)


def redacted(text: str) -> str:
    """``text`` without what must not be read in a log or a page."""
    if not _HINT.search(text):
        return text
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def redacted_header(name: str, value: str) -> str:
    """The value of a header without what must not be read; nothing of one that is a secret."""
    return "***" if _names_a_secret(name) else _SLOT_REF.sub(r"\1***", redacted(value))


@lru_cache(maxsize=1024)
def _names_a_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _HARMLESS_KEY.search(key)


def _clean(key: str, value: Any) -> Any:
    if _names_a_secret(key):
        return "***"
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {k: _clean(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", v) for v in value]
    return value


# What a reader of a log does not see, or takes for the end of a line, or a terminal for an order.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def seen(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """What somebody sent stays in its line, letter by letter; a trace keeps its lines."""
    return {
        _escaped(key): value if key == "exception" else _visible(value)
        for key, value in event.items()
    }


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, Mapping):
        return {_escaped(str(k)): _visible(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_visible(v) for v in value]
    return value


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(lambda one: one.group().encode("unicode_escape").decode(), text)


def redact(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """The one redaction point: by key first, then by what a text contains."""
    return {key: _clean(key, value) for key, value in event.items()}


def name_trace(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Every line says which trace it belongs to, where there is one."""
    under_way = UNDER_WAY.get()
    if under_way is not None and "trace_id" not in event:
        event["trace_id"] = trace_id(under_way)
    return event


def configure_logging(
    service: str, *, level: str, style: Literal["auto", "json", "console"] = "auto"
) -> None:
    """Send our events and every library's through one chain to standard error.

    JSON unless standard error is a terminal. Tracebacks carry no local variables, which would
    carry payloads.
    """
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    ending: list[Processor] = (
        [
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            redact,
            seen,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
        if as_json
        else [
            structlog.processors.ExceptionRenderer(),
            redact,
            seen,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    )
    structlog.configure(
        # Ours go straight out, the libraries' through the handler below: the same words, and a
        # quarter of the time of a detour through the standard library.
        processors=[*chain, *ending],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # They tell of every reconnect attempt on their own; ours says it once, with a name.
    for loud in ("aiormq", "aio_pika", "botocore", "aiobotocore", "httpx", "asyncio"):
        logging.getLogger(loud).setLevel(max(logging.WARNING, root.level))
    structlog.contextvars.bind_contextvars(service=service)
