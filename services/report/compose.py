"""What of a job its report shows, and in which order: pure, from the rows that stand."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.report.view import Brief, Failure, Original, Picture, ReportView, Result, Sound
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.display import place
from shared.domain.failure import failure_code
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, SlotState
from shared.events import Artifact
from shared.recipes.recipe import Recipe
from shared.recipes.standing import notes_of
from shared.settings import Locale

# A page is for eyes: it lists so many, and says how many more there are.
ENTRIES_SHOWN = 200

# Up to so many results: the longer side of each picture, in pixels. With the worst of pictures a
# page stays below 30 MB; with usual ones it has one to three. The rest is named, not shown.
EDGES = ((12, 1200), (40, 800), (120, 480))
ASIDE_EDGE = 640  # what stands beside a result: the stencil, and what the model drew

SOUNDS_PLAYED = 8  # each brings up to 2 MB of text; the rest is named

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

    @property
    def stencil(self) -> Artifact | None:
        return next((file for file in self.artifacts if file.kind == "prepared"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The page's own copies of files, by their keys; what is not in them is said to be missing."""

    pictures: Mapping[str, Picture] = field(default_factory=dict)
    sounds: Mapping[str, Sound] = field(default_factory=dict)


def sections_of(recipe: Recipe | None) -> tuple[str, ...]:
    return recipe.report_sections if recipe else SECTIONS_OF_UNKNOWN


def results_of(material: Material) -> list[Artifact]:
    """The files that the job made, slot by slot, in each the best first where they were judged.

    Only of the attempt that won its slot; what was derived from a file stands for it, and where
    nothing could be derived the output is none.
    """
    skipped = {(slot.ordinal, skip["index"]) for slot in material.slots for skip in slot.skipped}
    made = [file for file in _made(material) if (file.ordinal, file.index) not in skipped]
    derived = {(file.ordinal, file.index) for file in made if file.kind == "derived"}
    shown = (
        file for file in made if file.kind == "derived" or (file.ordinal, file.index) not in derived
    )
    return sorted(shown, key=place)


def sources_of(material: Material) -> dict[tuple[int | None, int], Artifact]:
    """By slot and output: what the model made, for those who see what was derived from it."""
    return {
        (file.ordinal, file.index): file for file in _made(material) if file.kind == "generated"
    }


def to_show(material: Material, sections: Sequence[str]) -> dict[str, int]:
    """The keys of the pictures that the page shows, each with the longest side it gets there."""
    results = results_of(material)
    edge = next((edge for most, edge in EDGES if len(results) <= most), EDGES[-1][1])
    shown: dict[str, int] = {}
    if material.original and {"original", "before_after"} & set(sections):
        shown |= _if_picture(material.original, EDGES[0][1])
    if material.stencil and "concepts" in sections:
        shown |= _if_picture(material.stencil, ASIDE_EDGE)
    sources = sources_of(material) if "concepts" in sections else {}
    for file in results[: EDGES[-1][0]]:
        shown |= _if_picture(file, edge)
        source = sources.get((file.ordinal, file.index))
        if source and file.kind == "derived":
            shown |= _if_picture(source, min(edge, ASIDE_EDGE))
    return shown


def to_play(material: Material, sections: Sequence[str]) -> tuple[str, ...]:
    """The keys of the sounds that the page plays."""
    if "sounds" not in sections:
        return ()
    sounds = (file for file in results_of(material) if file.content_type.startswith("audio/"))
    return tuple(file.key for file in sounds)[:SOUNDS_PLAYED]


def compose(
    material: Material, copies: Copies, *, recipe: Recipe | None, people: People
) -> ReportView:
    """The page's content."""
    job = material.job
    locale = language(job.locale, otherwise=people.locale)
    zone = known_zone(job.timezone)
    results = _results(material, copies)
    failures = list(_failures(material))
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
        sections=sections_of(recipe),
        original=_original(material, copies),
        brief=_brief(material, copies),
        notes=_notes(recipe, job, locale),
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


# Where an entry stands: its slot, results before what is missing, and its turn among those.
Turn = tuple[int, int, int]


def _made(material: Material) -> list[Artifact]:
    winners = {slot.ordinal: slot.winner for slot in material.slots}
    return [
        file
        for file in material.artifacts
        if file.kind in FINISHED
        and file.ordinal is not None
        and winners.get(file.ordinal) in (None, file.attempt)
    ]


def _if_picture(file: Artifact, edge: int) -> dict[str, int]:
    return {file.key: edge} if file.content_type.startswith("image/") else {}


def _original(material: Material, copies: Copies) -> Original | None:
    if material.original:
        return Original(picture=copies.pictures.get(material.original.key))
    ordered_with_one = material.job.source_key or material.job.source_url
    return Original(picture=None) if ordered_with_one else None


def _results(material: Material, copies: Copies) -> list[tuple[Turn, Result | Failure]]:
    seeds = {slot.ordinal: slot.seed for slot in material.slots}
    bought = {(row.ordinal, row.attempt): row.prediction_id for row in material.predictions}
    files = results_of(material)
    sources = sources_of(material)
    several = len({file.ordinal for file in files}) < len(files)
    placed: list[tuple[Turn, Result | Failure]] = []
    rank, slot = 0, 0
    for file in files:
        ordinal = file.ordinal or 0
        rank, slot = (rank + 1 if ordinal == slot else 1), ordinal
        source = sources.get((file.ordinal, file.index)) if file.kind == "derived" else None
        result = Result(
            place=_place(material.job.n, ordinal, rank if several else None),
            content_type=file.content_type,
            bytes=file.bytes,
            width=file.width,
            height=file.height,
            seconds=file.seconds,
            seed=seeds.get(ordinal) if file.seed is None else file.seed,
            prediction_id=file.prediction_id or bought.get((ordinal, file.attempt or 0)),
            picture=copies.pictures.get(file.key),
            score=file.score,
            source=Original(picture=copies.pictures.get(source.key)) if source else None,
            sound=copies.sounds.get(file.key),
        )
        placed.append(((ordinal, 0, rank), result))
    return placed


def _place(n: int, ordinal: int, rank: int | None) -> str:
    if rank is None:
        return str(ordinal)
    return str(rank) if n == 1 else f"{ordinal}.{rank}"


def _failures(material: Material) -> Iterator[tuple[Turn, Result | Failure]]:
    files = Counter(file.ordinal for file in results_of(material))
    for slot in material.slots:
        if slot.state is not SlotState.STORED:
            failure = Failure(place=str(slot.ordinal), code=slot.failure_code)
            yield (slot.ordinal, 0, 0), failure
        # Outputs that are missing are counted on from those that are not.
        for rank, skip in enumerate(slot.skipped, start=files[slot.ordinal] + 1):
            place = _place(material.job.n, slot.ordinal, rank)
            yield (slot.ordinal, 1, rank), Failure(place=place, code=_why(skip["why"]))


def _why(words: str) -> FailureCode:
    """An output's own code, as a whole prediction's is told by the words it ended with."""
    held_back = failure_code(Status.FAILED, words) is FailureCode.NSFW
    return FailureCode.NSFW if held_back else FailureCode.UNUSABLE_OUTPUT


def _brief(material: Material, copies: Copies) -> Brief:
    """What the order's parameters say, as far as they are what they are called."""
    params = material.job.params
    prompt, colours = params.get("prompt"), params.get("colours")
    stencil = material.stencil
    return Brief(
        prompt=prompt if isinstance(prompt, str) and prompt.strip() else None,
        surface=_surface(params.get("surface")),
        colours=tuple(
            colour
            for colour in (colours if isinstance(colours, list | tuple) else ())
            if isinstance(colour, str) and re.fullmatch("#[0-9a-fA-F]{6}", colour)
        ),
        stencil=Original(picture=copies.pictures.get(stencil.key)) if stencil else None,
    )


def _surface(told: Any) -> tuple[float, float] | None:
    if not isinstance(told, Mapping):
        return None
    width, height = told.get("width"), told.get("height")
    if isinstance(width, int | float) and isinstance(height, int | float):
        return float(width), float(height)
    return None


def _notes(recipe: Recipe | None, job: Job, locale: Locale) -> tuple[str, ...]:
    return tuple(words.get(locale) or words["en"] for words in notes_of(recipe, job))


def _title(recipe: Recipe | None, locale: Locale) -> str | None:
    return (recipe.title.get(locale) or recipe.title.get("en")) if recipe else None
