"""Which pages of others may call the API from a browser: pure."""

from collections.abc import Collection, Mapping

from shared.settings import ANY_ORIGIN

EXPOSED = "Location, Retry-After, Idempotent-Replayed"
ASKED_WITH = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, traceparent"
REMEMBER_S = 600


def allows(origin: str | None, allowed: Collection[str]) -> bool:
    """Whether a page of ``origin`` may read answers."""
    return origin is not None and (ANY_ORIGIN in allowed or origin.lower() in allowed)


def of_answer(origin: str | None, allowed: Collection[str]) -> Mapping[str, str]:
    """What goes with every answer. Cookies are never asked for, so no credentials are allowed."""
    if not allowed:
        return {}
    if not allows(origin, allowed):
        return {"Vary": "Origin"}
    shown = ANY_ORIGIN if ANY_ORIGIN in allowed else str(origin)
    return {
        "Access-Control-Allow-Origin": shown,
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }


def of_preflight(
    origin: str | None, allowed: Collection[str], methods: Collection[str]
) -> Mapping[str, str]:
    """What a browser is told that asks before it calls."""
    if not allows(origin, allowed):
        return of_answer(origin, allowed)
    return {
        **of_answer(origin, allowed),
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": ASKED_WITH,
        "Access-Control-Max-Age": str(REMEMBER_S),
    }
