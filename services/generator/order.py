"""What an order asks for, and whether it can be planned: pure, before anything is fetched."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.domain import identity, keys
from shared.domain.unread import unread_of
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.events import ORDER_FIELDS, KeySource, UploadReceived, UrlSource, read
from shared.orders import LARGEST_ORDER, check_words, is_plain, why_not_kept
from shared.recipes import validated
from shared.recipes.recipe import Configured, Order, SourceRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Which job is ordered, and what else can be read of an order that may be wrong elsewhere.

    ``flaw`` is what nobody could keep of it: such an order is refused whatever else it says.
    ``unread`` are the names of its fields that nobody reads."""

    job_id: UUID
    recipe: str
    flaw: str | None = None
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
        flaw=why_not_kept(body),
        recipe=recipe[:100]
        if isinstance(recipe, str) and recipe and is_plain(recipe)
        else "unknown",
        external_ref=ref if isinstance(ref, str) and len(ref) <= 200 and is_plain(ref) else None,
        metadata=metadata if isinstance(metadata, dict) and not why_not_kept(metadata) else {},
        unread=unread_of(body, ORDER_FIELDS),
    )


def check(
    envelope: Envelope,
    ordered: Ordered,
    *,
    recipes: Mapping[str, Configured],
    folders: tuple[str, ...],
) -> Request:
    """Read the order as a whole. Raises Permanent with the sentence that its job fails with."""
    if ordered.flaw is not None:
        raise Permanent(ordered.flaw)
    fact, job_id = read(UploadReceived, envelope), ordered.job_id
    recipe = recipes.get(fact.recipe)
    if recipe is None:
        raise Permanent(f"there is no recipe {fact.recipe!r}; there is {', '.join(recipes)}")
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
            raise Permanent(f"{recipe.name} needs an original: source is missing")
        return
    if recipe.recipe.source is SourceRule.NONE:
        raise Permanent(f"{recipe.name} takes no original")
    if isinstance(fact.source, KeySource) and not keys.allowed_source(
        fact.source.key, job_id, folders
    ):
        raise Permanent(f"the original must lie under {keys.originals(job_id)} or an agreed folder")
