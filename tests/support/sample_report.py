"""Reports to look at, without anything running: ``python -m tests.support.sample_report out.html``.

Writes the English one there and the Korean one beside it (``out.ko.html``). ``--count`` says how
many results, ``--failed`` how many of them could not be made, ``--no-original`` leaves it out.
"""

import argparse
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image

from services.report.pictures import for_page
from services.report.render import render
from services.report.view import Failure, Original, Picture, ReportView, Result
from shared.domain.slot import FailureCode
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
        for wave in range(1, 6):
            tall, turn = chance.uniform(0.2, 1) * 0.05 / wave, chance.uniform(0, 6.283)
            ridge = ridge + tall * np.sin(6.283 * wave * chance.uniform(0.6, 1.4) * x + turn)
        near = (layer + 1) / 6
        colour = (1 - near) * canvas.mean((0, 1)) + near * np.array([0.05, 0.08, 0.12])
        canvas = np.where((y > ridge)[..., None], colour, canvas)
    grain = chance.normal(0, 0.012, (height, width, 1))
    levels = (np.clip(canvas + grain, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=92)
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


def a_view(locale: Locale = "en") -> ReportView:
    """A completed job of three results, without pictures."""
    return ReportView(
        job_id=UUID("8f7a2c41-93d0-4c6e-a1b5-2f60d4e7c913"),
        external_ref="order-2026-1187",
        recipe_title=VARIATIONS.title[locale],
        locale=locale,
        zone=ZoneInfo("Asia/Seoul"),
        unknown_zone=None,
        ordered_at=ORDERED,
        finished_at=ORDERED + timedelta(seconds=83.6),
        sections=VARIATIONS.report_sections,
        original=Original(picture=None),
        entries=tuple(a_result(place) for place in (1, 2, 3)),
        left_out=0,
        files=3,
        failures=0,
    )


def with_pictures(view: ReportView, *, count: int, failed: int, original: bool) -> ReportView:
    codes = list(FailureCode)
    entries: list[Result | Failure] = []
    for place in range(1, count + 1):
        if place > count - failed:
            entries.append(Failure(place=str(place), code=codes[place % len(codes)]))
        else:
            entries.append(a_result(place, picture=for_page(a_landscape(place), edge=1200)))
    photo = for_page(a_landscape(99, width=1200, height=1600), edge=1200) if original else None
    return replace(
        view,
        original=Original(picture=photo),
        entries=tuple(entries),
        files=count - failed,
        failures=failed,
    )


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("out", type=Path)
    told.add_argument("--count", type=int, default=3)
    told.add_argument("--failed", type=int, default=0)
    told.add_argument("--no-original", action="store_true")
    asked = told.parse_args()
    for locale in get_args(Locale):
        view = with_pictures(
            a_view(locale),
            count=asked.count,
            failed=asked.failed,
            original=not asked.no_original,
        )
        suffix = ".html" if locale == "en" else f".{locale}.html"
        asked.out.with_suffix(suffix).write_text(render(view), encoding="utf-8")


if __name__ == "__main__":
    main()
