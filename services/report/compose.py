"""What of a job its report shows, and in which order: pure, from the rows that stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.report.view import Failure, Original, Picture, ReportView, Result
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.slot import SlotState
from shared.events import Artifact
from shared.recipes.recipe import Recipe
from shared.settings import Locale

# A page is for eyes: it lists so many, and says how many more there are.
ENTRIES_SHOWN = 200

# Up to so many results: the longer side of each picture, in pixels. With the worst of pictures a
# page stays below 30 MB; with usual ones it has one to three. The rest is named, not shown.
EDGES = ((12, 1200), (40, 800), (120, 480))

FINISHED = ("generated", "derived")
SECTIONS_OF_UNKNOWN = ("original", "results", "outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The installation's own zone and language, for jobs that name none."""

    zone: str
    locale: Locale


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The rows of one job. ``artifacts`` by ordinal, attempt, index, as ``shared.db`` reads them."""

    job: Job
    finished_at: datetime
    slots: Sequence[Slot]
    predictions: Sequence[PredictionRow]
    artifacts: Sequence[Artifact]

    @property
    def original(self) -> Artifact | None:
        return next((file for file in self.artifacts if file.kind == "original"), None)


def results_of(material: Material) -> list[Artifact]:
    """The files that the job made, in display order.

    Only of the attempt that won its slot; what was derived from a file stands for it.
    """
    winners = {slot.ordinal: slot.winner for slot in material.slots}
    made = [
        file
        for file in material.artifacts
        if file.kind in FINISHED
        and file.ordinal is not None
        and winners.get(file.ordinal) in (None, file.attempt)
    ]
    derived = {(file.ordinal, file.index) for file in made if file.kind == "derived"}
    return sorted(
        (
            file
            for file in made
            if file.kind == "derived" or (file.ordinal, file.index) not in derived
        ),
        key=lambda file: (file.ordinal or 0, file.index, file.variant or ""),
    )


def to_show(material: Material) -> dict[str, int]:
    """The keys of the pictures that the page shows, each with the longest side it gets there."""
    results = results_of(material)
    edge = next((edge for most, edge in EDGES if len(results) <= most), EDGES[-1][1])
    shown = {
        file.key: edge for file in results[: EDGES[-1][0]] if file.content_type.startswith("image/")
    }
    original = material.original
    if original is not None and original.content_type.startswith("image/"):
        shown[original.key] = EDGES[0][1]
    return shown


def compose(
    material: Material,
    pictures: Mapping[str, Picture],
    *,
    recipe: Recipe | None,
    people: People,
) -> ReportView:
    """The page's content. ``pictures`` by key; what is not in it is said to be missing."""
    job = material.job
    locale = language(job.locale, otherwise=people.locale)
    zone = known_zone(job.timezone)
    original = material.original
    results = _results(material, pictures)
    failures = _failures(material.slots)
    entries = [entry for _, entry in sorted([*results, *failures], key=lambda placed: placed[0])]
    return ReportView(
        job_id=job.id,
        external_ref=job.external_ref,
        recipe_title=_title(recipe, locale) or job.recipe,
        locale=locale,
        zone=zone or ZoneInfo(people.zone),
        unknown_zone=job.timezone if job.timezone and zone is None else None,
        # The order's time is another clock's: where that one is ahead of ours, ours counts.
        ordered_at=min(job.ordered_at, job.created_at),
        finished_at=material.finished_at,
        sections=recipe.report_sections if recipe else SECTIONS_OF_UNKNOWN,
        original=Original(picture=pictures.get(original.key)) if original else None,
        entries=tuple(entries[:ENTRIES_SHOWN]),
        left_out=max(0, len(entries) - ENTRIES_SHOWN),
        files=len(results),
        failures=len(failures),
    )


def known_zone(name: str | None) -> ZoneInfo | None:
    """The zone of that name, if there is one."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None  # no such zone, no such name, or a folder of the zone files


def language(asked: str | None, *, otherwise: Locale) -> Locale:
    """``ko-KR`` and ``ko_KR.UTF-8`` are Korean too."""
    tag = (asked or "").replace("_", "-").partition("-")[0].lower()
    return next((known for known in get_args(Locale) if known == tag), otherwise)


Place = tuple[int, int, int]


def _results(
    material: Material, pictures: Mapping[str, Picture]
) -> list[tuple[Place, Result | Failure]]:
    seeds = {slot.ordinal: slot.seed for slot in material.slots}
    bought = {(row.ordinal, row.attempt): row.prediction_id for row in material.predictions}
    files = results_of(material)
    several = len({file.ordinal for file in files}) < len(files)
    placed: list[tuple[Place, Result | Failure]] = []
    for nth, file in enumerate(files):
        ordinal = file.ordinal or 0
        result = Result(
            place=f"{ordinal}.{file.index + 1}" if several else str(ordinal),
            content_type=file.content_type,
            bytes=file.bytes,
            width=file.width,
            height=file.height,
            seconds=file.seconds,
            seed=seeds.get(ordinal) if file.seed is None else file.seed,
            prediction_id=file.prediction_id or bought.get((ordinal, file.attempt or 0)),
            picture=pictures.get(file.key),
        )
        placed.append(((ordinal, file.index, nth), result))
    return placed


def _failures(slots: Sequence[Slot]) -> list[tuple[Place, Result | Failure]]:
    return [
        ((slot.ordinal, 0, 0), Failure(place=str(slot.ordinal), code=slot.failure_code))
        for slot in slots
        if slot.state is not SlotState.STORED
    ]


def _title(recipe: Recipe | None, locale: Locale) -> str | None:
    return (recipe.title.get(locale) or recipe.title.get("en")) if recipe else None
