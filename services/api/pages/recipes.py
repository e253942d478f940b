"""What can be ordered, and the form that orders it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import structlog

from services.api.operations import schema_of
from services.api.orders import Orders, job_of
from services.api.originals import Originals, Unfit
from services.api.pages.parameters import (
    ROOT,
    Field,
    field_of,
    fields_of,
    typed_from,
    values_of,
)
from services.api.pages.visit import Elsewhere, Page, Visit
from services.api.pages.words import WORDS
from services.api.pages.words.faults import in_korean
from services.api.problems import CONFLICT, FLAWED, UNKNOWN_PATH, Fault, Refused
from services.api.received import File, Receiver
from shared.domain import keys
from shared.domain.token import Scope
from shared.errors import DatabaseUnavailable, Flawed, Permanent, Transient
from shared.recipes import validated
from shared.recipes.estimate import Estimate, estimate
from shared.recipes.recipe import Configured, SourceRule

log = structlog.get_logger()

PHOTO = "photo"
# Fields of the form that are no parameters; those of the order have the paths that faults have.
KEY, KEPT, WHAT = "key", "kept", "what"
SOURCE, EXTERNAL_REF, CALLBACK_URL = "source", "external_ref", "callback_url"
ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Wrong:
    """``what`` is wrong, in ``tongue``."""

    what: str
    tongue: str


@dataclass(slots=True, kw_only=True)
class Form:
    """An order as somebody is writing it. ``key`` makes one job of it however often it is sent;
    ``kept`` is the place of a file that came with an earlier try; ``wrong`` by the names of fields,
    and under "" what is about no field."""

    key: str
    typed: dict[str, str]
    kept: str = ""
    wrong: dict[str, list[Wrong]] = field(default_factory=dict)
    ordered: UUID | None = None

    def add(self, name: str, what: str, tongue: str) -> None:
        self.wrong.setdefault(name, []).append(Wrong(what, tongue))


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is told of a recipe before anybody orders it; ``estimate`` is of the order that it shows
    as an example, None where that cannot be said."""

    recipe: Configured
    estimate: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipes:
    """``within_s`` bounds what is done with a form once it is here."""

    recipes: Mapping[str, Configured]
    orders: Orders
    receiver: Receiver
    originals: Originals
    within_s: float

    async def show_all(self, _visit: Visit) -> Page | Elsewhere:
        return Page("recipes.html", {"cards": tuple(map(_card, self.recipes.values())), **_FACTS})

    async def show(self, visit: Visit) -> Page | Elsewhere:
        recipe = self._recipe(visit)
        fields = fields_of(schema_of(recipe.recipe.params))
        form = Form(key=str(uuid4()), typed=typed_from(fields, _shown_first(fields, recipe)))
        return self._page(visit, recipe, fields, form)

    async def order(self, visit: Visit) -> Page | Elsewhere:
        recipe = self._recipe(visit)
        fields = fields_of(schema_of(recipe.recipe.params))
        async with self.receiver.form(visit.request, file_name=PHOTO) as sent:
            form = Form(
                key=_key(sent.fields.get(KEY, "")),
                typed={n: v for n, v in sent.fields.items() if n not in (KEY, KEPT, WHAT)},
                kept=sent.fields.get(KEPT, ""),
            )
            if sent.fields.get(WHAT) == ESTIMATE:
                return self._page(visit, recipe, fields, form)
            try:
                async with asyncio.timeout(self.within_s):
                    return await self._placed(visit, recipe, fields, form, sent.file)
            except (DatabaseUnavailable, Transient, TimeoutError) as error:
                # What was typed is not lost: the page that says so has it.
                log.warning("pages.order_not_taken", recipe=recipe.name, reason=str(error))
                form.add("", visit.say("recipes.not_now"), visit.tongue)
                return self._page(visit, recipe, fields, form, status=503)

    async def _placed(
        self,
        visit: Visit,
        recipe: Configured,
        fields: Sequence[Field],
        form: Form,
        file: File | None,
    ) -> Page | Elsewhere:
        who = visit.asker.name
        job_id = job_of(who, form.key, None)
        if recipe.recipe.source is not SourceRule.NONE:
            await self._keep(visit, recipe, form, job_id, file)
        body = _body(recipe, fields, form)
        if recipe.recipe.source is SourceRule.REQUIRED and "source" not in body and not form.wrong:
            form.add(PHOTO, visit.say("photo.missing"), visit.tongue)
        try:
            if not form.wrong:
                placed = await self.orders.place(who, form.key, body)
                return Elsewhere(f"/jobs/{placed.ordered.id}", said="said.ordered")
            self.orders.check(job_id, body)
        except Refused as refused:
            if refused.kind is CONFLICT:
                # The key has made a job, and then the form was changed: what is here is another one.
                form.key, form.kept, form.ordered = str(uuid4()), "", job_id
                return self._page(visit, recipe, fields, form, status=refused.kind.status)
            if refused.kind is not FLAWED:
                raise
            self._tell(visit, fields, form, refused.faults)
        # What is wrong with the whole order is found first; all of it is told at once.
        self._tell(visit, fields, form, _faults_of(recipe, body[ROOT]))
        return self._page(visit, recipe, fields, form, status=FLAWED.status)

    def _tell(
        self, visit: Visit, fields: Sequence[Field], form: Form, faults: Sequence[Fault]
    ) -> None:
        """Put what is wrong with the order where it was typed."""
        known = [*(one.name for one in fields), SOURCE, EXTERNAL_REF, CALLBACK_URL]
        for fault in faults:
            name = field_of(fault.path, known) or ""
            if name == SOURCE and PHOTO in form.wrong:
                continue  # said there already, and better
            what, tongue = _in_tongue(fault.what, visit.tongue)
            entry = fault.path.removeprefix(f"{name}.")
            if name and entry.isdecimal():
                what = f"{int(entry) + 1}: {what}"
            if Wrong(what, tongue) not in form.wrong.get(name, ()):
                form.add(name, what, tongue)

    async def _keep(
        self, visit: Visit, recipe: Configured, form: Form, job_id: UUID, file: File | None
    ) -> None:
        """Put the file that was sent where its job finds it; from then on the form names its place."""
        if file is None:
            # A place that a form names is one of this very order, or nobody's.
            if not form.kept.startswith(keys.originals(job_id)):
                form.kept = ""
            return
        form.kept = ""
        accepted = recipe.recipe.source_types
        try:
            form.kept = await self.originals.keep(job_id, file, accepted)
        except Unfit as unfit:
            said = visit.say(
                f"photo.{unfit.why}",
                most=self.receiver.max_bytes // 1_000_000,
                kind=file.content_type or visit.say("photo.unknown_kind"),
                taken=_kinds(accepted),
            )
            form.add(PHOTO, said, visit.tongue)

    def _recipe(self, visit: Visit) -> Configured:
        recipe = self.recipes.get(visit.request.match_info["name"])
        if recipe is None:
            raise Refused(UNKNOWN_PATH, "there is no such recipe")
        return recipe

    def _page(
        self,
        visit: Visit,
        recipe: Configured,
        fields: Sequence[Field],
        form: Form,
        *,
        status: int = 200,
    ) -> Page:
        what = recipe.recipe
        return Page(
            "recipe.html",
            {
                **_FACTS,
                "card": _card(recipe),
                "may_order": visit.may(Scope.WRITE),
                "fields": fields,
                "form": form,
                "labels": {one.name: _label(visit, one) for one in fields},
                "hints": {one.name: tuple(_hints(visit, one)) for one in fields},
                "examples": {one.name: _example(one, what.example) for one in fields},
                "estimate": _estimate(recipe, fields, form.typed),
                "takes_file": what.source is not SourceRule.NONE,
                "needs_file": what.source is SourceRule.REQUIRED,
                "accept": ",".join(sorted(what.source_types)),
                "kinds": _kinds(what.source_types),
                "most_bytes": self.receiver.max_bytes,
                "beside": any(
                    form.typed.get(name) or name in form.wrong
                    for name in (SOURCE, EXTERNAL_REF, CALLBACK_URL)
                ),
            },
            status,
        )


def _body(recipe: Configured, fields: Sequence[Field], form: Form) -> dict[str, Any]:
    """The order that the form means."""
    source = form.typed.get(SOURCE, "").strip()
    body: dict[str, Any] = {"recipe": recipe.name, ROOT: values_of(fields, form.typed)}
    if recipe.recipe.source is not SourceRule.NONE:
        if form.kept:
            body["source"] = {"key": form.kept}
        elif source:
            body["source"] = {"url" if "://" in source else "key": source}
    for name in (EXTERNAL_REF, CALLBACK_URL):
        if said := form.typed.get(name, "").strip():
            body[name] = said
    return body


def _faults_of(recipe: Configured, params: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the parameters alone."""
    try:
        validated(recipe.recipe, params)
    except Flawed as error:
        return [Fault(path=path, what=what) for path, what in error.faults]
    return []


def _card(recipe: Configured) -> Card:
    return Card(recipe=recipe, estimate=_estimate(recipe, (), {}))


def _estimate(
    recipe: Configured, fields: Sequence[Field], typed: Mapping[str, str]
) -> Estimate | None:
    """Of what is typed, with the example's words where something is still missing; None: it is not
    an order yet."""
    said = {name: value for name, value in values_of(fields, typed).items() if value != ""}
    try:
        return estimate(recipe, {**recipe.recipe.example, **said})
    except Permanent:
        return None


def _shown_first(fields: Sequence[Field], recipe: Configured) -> dict[str, Any]:
    """What a form begins with beside the defaults: of the example whatever is needed and is no text,
    which nobody would want to find out first."""
    needed = {one.path[0] for one in fields if one.required and not one.is_text}
    return {name: value for name, value in recipe.recipe.example.items() if name in needed}


def _example(one: Field, example: Mapping[str, Any]) -> str:
    return str(example.get(one.path[0], "")) if one.is_text else ""


def _label(visit: Visit, one: Field) -> str:
    """What people call it; a parameter that nobody has named yet is called by its own name."""
    key = f"param.{'.'.join(one.path)}"
    return visit.say(key) if key in WORDS else ": ".join(one.path).replace("_", " ")


def _hints(visit: Visit, one: Field) -> list[str]:
    """What may be typed, in a few words."""
    key = f"param.{'.'.join(one.path)}.hint"
    told = [visit.say(key)] if key in WORDS else []
    least, most = one.least, one.most
    if one.is_number:
        if least is not None and most is not None:
            told.append(visit.say("hint.between", least=f"{least:g}", most=f"{most:g}"))
        elif one.over is not None and most is not None:
            told.append(visit.say("hint.above", over=f"{one.over:g}", most=f"{most:g}"))
        elif least is not None and one.under is not None and key not in WORDS:
            told.append(visit.say("hint.under", least=f"{least:g}", under=f"{one.under:g}"))
    if one.kind == "lines":
        told.append(visit.say("hint.lines"))
        if least is not None and most is not None:
            told.append(visit.say("hint.entries", least=f"{least:g}", most=f"{most:g}"))
    if one.kind == "json":
        told.append(visit.say("hint.json"))
    return told


def _kinds(types: frozenset[str]) -> str:
    return ", ".join(sorted(one.partition("/")[2].upper() for one in types))


# What the facts of a recipe are told with.
_FACTS = {"knows": WORDS.__contains__, "kinds_of": _kinds}


def _key(given: str) -> str:
    """The form's own, where it is one that we gave out."""
    try:
        return str(UUID(given))
    except ValueError:
        return str(uuid4())


def _in_tongue(what: str, tongue: str) -> tuple[str, str]:
    korean = in_korean(what) if tongue == "ko" else None
    return (what, "en") if korean is None else (korean, "ko")
