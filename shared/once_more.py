"""The order of a job, to be placed once more: pure, for who takes orders and for who sends them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.db.jobs import Job
from shared.db.journal import Entry
from shared.domain import keys
from shared.errors import Permanent


class NotKept(Permanent):
    """What the job was ordered for, or made from, is not here any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceMore:
    """``body`` is the order of the new job. ``original`` is to be copied to ``to`` before it is
    placed; None: there is none, or it lies where any job may name it."""

    body: dict[str, Any]
    original: str | None = None
    to: str | None = None


def once_more(job: Job, first: Entry | None, again: UUID) -> OnceMore:
    """The order of an ended job for the job ``again``: as it was planned; as it was given
    (``first``), where it was never planned. A seed that nobody chose is chosen anew, for what is
    bought. Raises NotKept."""
    if job.erased_at is not None:
        raise NotKept("what this job was made from was erased")
    given = said(first)
    body = {name: value for name, value in given.items() if name != "job_id"}
    if job.n:
        body |= {
            "recipe": job.recipe,
            "params": body.get("params", job.params),
            "metadata": job.metadata,
            "external_ref": job.external_ref,
            "timezone": job.timezone,
            "locale": job.locale,
            "callback_url": job.callback_url,
            "source": {"key": job.source_key} if job.source_key else None,
        }
        if job.deadline is not None:
            seconds = (job.deadline - job.created_at).total_seconds()
            body["deadline_seconds"] = max(1, round(seconds))
    elif first is None or first.body is None:
        raise NotKept("what this job was ordered for is not kept any more")
    body |= {"job_id": str(again), "retry_of": str(job.id)}
    body = {name: value for name, value in body.items() if value is not None}
    original = _key_of(body)
    if original is None or not original.startswith(keys.originals(job.id)):
        return OnceMore(body=body)
    to = keys.originals(again) + original.rpartition("/")[2]
    return OnceMore(body=body | {"source": {"key": to}}, original=original, to=to)


def said(order: Entry | None) -> dict[str, Any]:
    """What an order says; nothing where there is none, or its body is past its retention."""
    try:
        body = json.loads((order.body if order else None) or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _key_of(body: Mapping[str, Any]) -> str | None:
    source = body.get("source")
    key = source.get("key") if isinstance(source, Mapping) else None
    return key if isinstance(key, str) else None
