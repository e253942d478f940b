"""Reports to look at, without anything running: ``python -m tests.support.sample_report folder``.

Writes one page for each recipe and language (``restoration.ko.html``), and one of each recipe that
lacks something. ``--count`` and ``--failed`` are for the variations: how many results, and how many
of them could not be made.
"""

import argparse
import io
import wave
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image

from services.report.pictures import for_page
from services.report.render import render
from services.report.sounds import for_page as for_page_of_sounds
from services.report.view import Brief, Failure, Original, Picture, ReportView, Result, Sound
from shared.domain.slot import FailureCode
from shared.media.audio import loudness, small_copy
from shared.media.palette import finish
from shared.media.stencil import prepare
from shared.media.waveform import peaks
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe
from shared.recipes.variations import VARIATIONS
from shared.settings import Locale

ORDERED = datetime(2026, 11, 21, 5, 40, 12, tzinfo=UTC)


def a_landscape(seed: int, *, width: int = 1024, height: int = 1024) -> bytes:
    """A picture of hills in a haze, as JPEG: another seed, another light and other hills."""
    chance = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    hue = chance.uniform(0, 1)
    sky = np.stack(
        [0.55 + 0.45 * np.cos(6.283 * (hue + shift + 0.22 * y)) for shift in (0.0, 0.3, 0.6)], -1
    )
    canvas = 0.35 + 0.65 * sky
    sun_x, sun_y, radius = chance.uniform(0.2, 0.8), chance.uniform(0.15, 0.35), 0.06
    glow = np.exp(-((x - sun_x) ** 2 * (width / height) ** 2 + (y - sun_y) ** 2) / radius**2)
    canvas += glow[..., None] * np.array([0.5, 0.42, 0.3])
    for layer in range(6):
        ridge = np.full_like(x, 0.42 + 0.1 * layer)
        for swell in range(1, 6):
            tall, turn = chance.uniform(0.2, 1) * 0.05 / swell, chance.uniform(0, 6.283)
            ridge = ridge + tall * np.sin(6.283 * swell * chance.uniform(0.6, 1.4) * x + turn)
        near = (layer + 1) / 6
        colour = (1 - near) * canvas.mean((0, 1)) + near * np.array([0.05, 0.08, 0.12])
        canvas = np.where((y > ridge)[..., None], colour, canvas)
    grain = chance.normal(0, 0.012, (height, width, 1))
    levels = (np.clip(canvas + grain, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=92)
    return file.getvalue()


def a_damaged_photo(seed: int) -> bytes:
    """The landscape as an old print: faded to brown, spotted, torn, and smaller."""
    photo = Image.open(io.BytesIO(a_landscape(seed, width=960, height=720))).convert("L")
    grey = np.asarray(photo, dtype=float) / 255
    chance = np.random.default_rng(seed)
    height, width = grey.shape
    print_ = 0.3 + 0.5 * grey + chance.normal(0, 0.03, grey.shape)
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(60):
        spot_x, spot_y, radius = chance.uniform(0, width), chance.uniform(0, height), 4
        print_[(x - spot_x) ** 2 + (y - spot_y) ** 2 < chance.uniform(1, radius) ** 2] = 0.9
    for _ in range(5):
        slope, start = chance.uniform(-0.3, 0.3), chance.uniform(0, height)
        print_[np.abs(y - start - slope * x + 4 * np.sin(x / 23)) < 1.3] = 0.95
    tinted = print_[..., None] * np.array([1.0, 0.86, 0.66])
    return _written(tinted, "JPEG", quality=85)


def a_concept(seed: int, colours: Sequence[str], *, width: int = 1280, height: int = 832) -> bytes:
    """What a model might draw in the colours, as PNG: another seed, another picture."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / height
    which = np.zeros((height, width), dtype=int)
    for _ in range(26):
        at_x, at_y, size = chance.uniform(0, 1.54), chance.uniform(0, 1), chance.uniform(0.05, 0.26)
        angle, stretch = chance.uniform(0, 3.14), chance.uniform(0.5, 1.8)
        along = (x - at_x) * np.cos(angle) + (y - at_y) * np.sin(angle)
        across = (y - at_y) * np.cos(angle) - (x - at_x) * np.sin(angle)
        blob = along**2 / stretch + across**2 * stretch
        which[blob < size**2] = chance.integers(0, len(colours))
    table = _table(colours)
    shade = 0.82 + 0.18 * np.sin(9 * x + seed)[..., None] * np.cos(7 * y)[..., None]
    grain = chance.normal(0, 9, (height, width, 1))
    drawn = np.clip(table[which] * shade + grain + 12, 0, 255)
    return _written(drawn / 255, "PNG")


def a_tone(seed: int, seconds: float, *, rate: int = 22_050) -> bytes:
    """A few struck notes that fade, as WAV: another seed, other notes."""
    chance = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    heard = np.zeros_like(time)
    for start in np.cumsum(chance.uniform(0.15, 0.6, 200)) - 0.1:
        since = np.maximum(time - start, 0)
        pitch, loud = 220 * 2 ** (chance.integers(0, 24) / 12), chance.uniform(0.15, 0.5)
        heard += (time > start) * loud * np.exp(-since * 4) * np.sin(6.283 * pitch * since)
    samples = (np.clip(heard * 0.7, -1, 1) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def played(data: bytes) -> Sound:
    """The page's copy of a sound."""
    return for_page_of_sounds(data, small_copy=small_copy, peaks=peaks, loudness=loudness)


def _table(colours: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], dtype=float)


def _written(levels: Any, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray((np.clip(levels, 0, 1) * 255).round().astype(np.uint8)).save(
        file, form, **options
    )
    return file.getvalue()


def a_result(place: int = 1, *, picture: Picture | None = None) -> Result:
    return Result(
        place=str(place),
        content_type="image/png",
        bytes=1_482_113 + 31_007 * place,
        width=1024,
        height=1024,
        seconds=None,
        seed=1_734_220_411 + place,
        prediction_id=f"q{place}t3vkwp8xrme0cm{place}b9adz4s{place}m0",
        picture=picture,
    )


def a_sound_result(place: int = 1, *, sound: Sound | None = None, seconds: float = 7.5) -> Result:
    return replace(
        a_result(place),
        content_type="audio/wav",
        bytes=int(seconds * 176_400),
        width=None,
        height=None,
        seconds=seconds,
        sound=sound,
    )


def a_view(locale: Locale = "en", recipe: Recipe = VARIATIONS) -> ReportView:
    """A completed job of three results, without pictures."""
    return ReportView(
        job_id=UUID("8f7a2c41-93d0-4c6e-a1b5-2f60d4e7c913"),
        external_ref="order-2026-1187",
        recipe_title=recipe.title[locale],
        locale=locale,
        zone=ZoneInfo("Asia/Seoul"),
        unknown_zone=None,
        ordered_at=ORDERED,
        finished_at=ORDERED + timedelta(seconds=83.6),
        sections=recipe.report_sections,
        original=Original(picture=None),
        brief=Brief(),
        notes=(),
        entries=tuple(a_result(place) for place in (1, 2, 3)),
        left_out=0,
        files=3,
        failures=0,
    )


def variations(view: ReportView, *, count: int, failed: int) -> ReportView:
    codes = list(FailureCode)
    entries: list[Result | Failure] = []
    for place in range(1, count + 1):
        if place > count - failed:
            entries.append(Failure(place=str(place), code=codes[place % len(codes)]))
        else:
            entries.append(a_result(place, picture=for_page(a_landscape(place), edge=1200)))
    photo = for_page(a_landscape(99, width=1200, height=1600), edge=1200)
    return _with(view, entries, original=Original(picture=photo))


def restoration(view: ReportView, *, lacking: bool) -> ReportView:
    restored = for_page(a_landscape(5, width=1248, height=936), edge=1200)
    photo = None if lacking else for_page(a_damaged_photo(5), edge=1200)
    result = replace(a_result(1, picture=restored), width=1248, height=936)
    return _with(view, [result], original=Original(picture=photo))


COLOURS = ("#1f3a5f", "#2f7d6b", "#e9b44c", "#c8553d", "#f1ede4", "#7a8b99")
PROMPT = {
    "en": "A playground like an archipelago: islands with soft shores, a path of stepping stones "
    "from the gate to the slide, calm colours near the benches.",
    "ko": "다도해 같은 놀이터: 부드러운 해안선의 섬들, 입구에서 미끄럼틀까지 이어지는 징검다리 길, "
    "벤치 주변은 차분한 색으로.",
}
SURFACE = {"width": 20, "height": 13}


def studio_concepts(view: ReportView, *, lacking: bool) -> ReportView:
    drawn = [a_concept(seed, COLOURS) for seed in range(1, 3 if lacking else 5)]
    made = [(finish(file, {"colours": COLOURS, "dither": False}), file) for file in drawn]
    made.sort(key=lambda pair: pair[0].score or 0, reverse=True)
    entries: list[Result | Failure] = [
        replace(
            a_result(place, picture=for_page(quantised.data, edge=1200)),
            bytes=len(quantised.data),
            width=quantised.width,
            height=quantised.height,
            seed=1_734_220_411,
            score=quantised.score,
            source=Original(picture=for_page(file, edge=640)),
        )
        for place, (quantised, file) in enumerate(made, start=1)
    ]
    if lacking:
        entries.append(Failure(place="3", code=FailureCode.NSFW))
        entries.append(Failure(place="4", code=FailureCode.UNUSABLE_OUTPUT))
    stencil = prepare({**SURFACE, "colours": COLOURS, "seed": 1_734_220_411})
    brief = Brief(
        prompt=PROMPT[view.locale],
        surface=(20, 13),
        colours=COLOURS,
        stencil=Original(picture=for_page(stencil.data, edge=640)),
    )
    return replace(_with(view, entries, original=None), brief=brief)


SOUND_PROMPT = {
    "en": "Slow steps on gravel, then a heavy wooden gate that creaks and falls shut",
    "ko": "자갈길을 천천히 걷는 발소리, 이어서 삐걱거리며 닫히는 무거운 나무 대문",
}


def sounds(view: ReportView, *, lacking: bool, recipe: Recipe, seconds: float) -> ReportView:
    entries: list[Result | Failure] = [
        a_sound_result(1, sound=played(a_tone(1, seconds)), seconds=seconds)
    ]
    if lacking:
        entries.append(a_sound_result(2, seconds=seconds))
        entries.append(Failure(place="3", code=FailureCode.PROVIDER))
    params = {"seconds": seconds, "duration": seconds}
    notes = tuple(words[view.locale] for words in recipe.notes(params))
    brief = Brief(prompt=SOUND_PROMPT[view.locale])
    return replace(_with(view, entries, original=None), brief=brief, notes=notes)


def _with(
    view: ReportView, entries: Sequence[Result | Failure], *, original: Original | None
) -> ReportView:
    made = sum(isinstance(entry, Result) for entry in entries)
    return replace(
        view,
        original=original,
        entries=tuple(entries),
        files=made,
        failures=len(entries) - made,
    )


def page_of(recipe: Recipe, locale: Locale, *, lacking: bool) -> ReportView:
    """The report of a job of that recipe, complete or ``lacking`` something."""
    view = a_view(locale, recipe)
    match recipe.name:
        case "variations":
            return variations(view, count=5 if lacking else 3, failed=2 if lacking else 0)
        case "restoration":
            return restoration(view, lacking=lacking)
        case "studio-concepts":
            return studio_concepts(view, lacking=lacking)
        case "background-music":
            return sounds(view, lacking=lacking, recipe=recipe, seconds=33.4)
        case _:
            return sounds(view, lacking=lacking, recipe=recipe, seconds=7.5)


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("folder", type=Path)
    told.add_argument("--count", type=int)
    told.add_argument("--failed", type=int, default=0)
    asked = told.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, view: ReportView) -> None:
        (asked.folder / f"{name}.{view.locale}.html").write_text(render(view), encoding="utf-8")

    for locale in get_args(Locale):
        if asked.count:
            view = variations(a_view(locale), count=asked.count, failed=asked.failed)
            write(f"variations-{asked.count}", view)
            continue
        for recipe in RECIPES:
            write(recipe.name, page_of(recipe, locale, lacking=False))
            write(f"{recipe.name}-lacking", page_of(recipe, locale, lacking=True))


if __name__ == "__main__":
    main()
