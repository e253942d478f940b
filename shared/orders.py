"""What an order asks for and must keep to: pure, for who takes orders, who plans them and who sends
them. All three say what is wrong in the same words."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.domain import identity, keys
from shared.domain.unread import unread_of
from shared.envelope import Envelope
from shared.errors import Flawed, Permanent
from shared.events import ORDER_FIELDS, KeySource, UploadReceived, UrlSource, read
from shared.recipes import validated
from shared.recipes.recipe import Configured, Order, SourceRule
from shared.settings import Locale

# Orders name files, they do not carry them.
LARGEST_ORDER = 256 * 1024
DEEPEST = 50  # objects and lists within each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Which job is ordered, and what else can be read of an order that may be wrong elsewhere.

    ``flaw`` is what nobody could keep of it, by its path: such an order is refused whatever else
    it says.
    ``unread`` are the names of its fields that nobody reads."""

    job_id: UUID
    recipe: str
    flaw: tuple[str, str] | None = None
    external_ref: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An order that can be planned once its original is found to be good: ``order.source_key``, or
    the copy that is made of what lies at ``source_url``."""

    fact: UploadReceived
    recipe: Configured
    order: Order
    source_url: str | None = None


def identify(envelope: Envelope) -> Ordered:
    """Find out which job an order is about, however wrong the rest of it is.

    Without a ``job_id`` the job is named by the event's own id. Raises Permanent where no job can
    be named: then only an operator can be told.
    """
    if len(envelope.body) > LARGEST_ORDER:
        raise Permanent(f"an order may have {LARGEST_ORDER // 1024} KiB at most")
    try:
        body = json.loads(envelope.body)
    except (ValueError, RecursionError) as error:
        raise Permanent("the order is not JSON") from error
    if not isinstance(body, dict):
        raise Permanent("the order is not a JSON object")
    named = body.get("job_id")
    try:
        job_id = (
            identity.job_id_of_order(envelope.source, envelope.id)
            if named is None
            else UUID(str(named))
        )
    except ValueError as error:
        raise Permanent("the order's job_id is no uuid") from error
    recipe, ref, metadata = (body.get(key) for key in ("recipe", "external_ref", "metadata"))
    return Ordered(
        job_id=job_id,
        flaw=not_kept(body),
        recipe=recipe[:100]
        if isinstance(recipe, str) and recipe and is_plain(recipe)
        else "unknown",
        external_ref=ref if isinstance(ref, str) and len(ref) <= 200 and is_plain(ref) else None,
        metadata=metadata if isinstance(metadata, dict) and not_kept(metadata) is None else {},
        unread=unread_of(body, ORDER_FIELDS),
    )


def check(
    envelope: Envelope,
    ordered: Ordered,
    *,
    recipes: Mapping[str, Configured],
    folders: tuple[str, ...],
) -> Request:
    """Read the order as a whole. Raises Flawed with the sentence that its job fails with.

    ``folders`` are those beside the job's own in which originals may lie."""
    if ordered.flaw is not None:
        path, what = ordered.flaw
        raise Flawed(f"{path or 'the order'} {what}", [(path or "body", what)])
    fact, job_id = read(UploadReceived, envelope), ordered.job_id
    recipe = recipes.get(fact.recipe)
    if recipe is None:
        raise _wrong("recipe", f"there is no recipe {fact.recipe!r}; there is {', '.join(recipes)}")
    params = validated(recipe.recipe, fact.params)
    check_words(fact)
    _check_source(fact, job_id, recipe, folders)
    source = fact.source
    return Request(
        fact=fact,
        recipe=recipe,
        order=Order(
            job_id=job_id,
            source_key=source.key if isinstance(source, KeySource) else None,
            params=params,
        ),
        source_url=source.url if isinstance(source, UrlSource) else None,
    )


def _check_source(
    fact: UploadReceived, job_id: UUID, recipe: Configured, folders: tuple[str, ...]
) -> None:
    if fact.source is None:
        if recipe.recipe.source is SourceRule.REQUIRED:
            raise _wrong("source", f"{recipe.name} needs an original: source is missing")
        return
    if recipe.recipe.source is SourceRule.NONE:
        raise _wrong("source", f"{recipe.name} takes no original")
    if isinstance(fact.source, KeySource) and not keys.allowed_source(
        fact.source.key, job_id, folders
    ):
        raise _wrong(
            "source.key",
            f"the original must lie under {keys.originals(job_id)} or an agreed folder",
        )


def _wrong(path: str, sentence: str) -> Flawed:
    return Flawed(sentence, [(path, sentence)])


def check_words(fact: UploadReceived) -> None:
    """Raises Flawed where no report could be written in that language or zone."""
    if fact.timezone is not None and not _is_zone(fact.timezone):
        raise _wrong(
            "timezone", f"there is no time zone {fact.timezone!r}; write it like Asia/Seoul"
        )
    if fact.locale is not None and fact.locale not in get_args(Locale):
        raise _wrong("locale", f"there is no language {fact.locale!r}; there is en and ko")


def why_not_kept(value: Any) -> str | None:
    """Why a piece of JSON cannot be kept as it is, in one sentence; None where it can."""
    found = not_kept(value)
    return None if found is None else f"{found[0] or 'the order'} {found[1]}"


def not_kept(value: Any, at: str = "", depth: int = 0) -> tuple[str, str] | None:
    """What of a piece of JSON cannot be kept in Postgres as it is, and why; None where all can.

    JSON may say what jsonb refuses: a NUL, half of a surrogate pair, and (as Python reads it) a
    number that is none.
    """
    if depth > DEEPEST:
        return at, f"is nested deeper than {DEEPEST} levels"
    if isinstance(value, str):
        return None if is_plain(value) else (at, f"has {_NO_CHARACTER}")
    if isinstance(value, float):
        return None if math.isfinite(value) else (at, "is no number that can be kept")
    pieces: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        if not all(map(is_plain, value)):
            return at, f"has a name with {_NO_CHARACTER}"
        pieces = [(f"{at}.{name}" if at else name, piece) for name, piece in value.items()]
    elif isinstance(value, list):
        pieces = [(f"{at}.{index}", piece) for index, piece in enumerate(value)]
    found = (not_kept(piece, where[:200], depth + 1) for where, piece in pieces)
    return next((one for one in found if one is not None), None)


_NO_CHARACTER = "a character that is none (NUL or a surrogate)"


def is_plain(text: str) -> bool:
    """Whether it consists of characters, as UTF-8 and Postgres know them."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
