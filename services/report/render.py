"""The page itself: from a view to one HTML text that needs no other file and runs nothing."""

import hashlib
from base64 import b64encode
from datetime import timedelta
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.report import drawing, local_time
from services.report.texts import TEXTS, Texts
from services.report.view import Failure, Picture, ReportView, Result, Sound

TEMPLATES = Path(__file__).parent / "templates"


def known_sections() -> frozenset[str]:
    """The names that a recipe may put into ``report_sections``."""
    return frozenset(path.stem for path in (TEMPLATES / "sections").glob("*.html"))


def render(view: ReportView) -> str:
    """The report as HTML. The same view gives the same text."""
    locale, texts = view.locale, TEXTS[view.locale]

    def counted(noun: str, n: int) -> str:
        sentence: str = getattr(texts, f"{noun}_one" if n == 1 else f"{noun}_many")
        return sentence.format(n=n)

    style = _style()
    return _page().render(
        view=view,
        locale=locale,
        t=texts,
        beside=view.original is not None and {"original", "outcome"} <= set(view.sections),
        shows=any(_shows(entry) for entry in view.entries),
        plays=any(_plays(entry) for entry in view.entries),
        missing=_missing(view, texts),
        counted=counted,
        instant=lambda at: local_time.instant(at, view.zone, locale),
        machine_readable=lambda at: local_time.machine_readable(at, view.zone),
        taken=local_time.span(view.finished_at - view.ordered_at, locale),
        spoken=lambda seconds: local_time.span(timedelta(seconds=seconds), locale),
        zone=local_time.zone_name(view.zone, view.finished_at),
        size=local_time.size,
        format_of=_format,
        out_of_100=lambda score: round(100 * min(max(score, 0.0), 1.0)),
        percent=_percent,
        metres=lambda length: f"{length:g}",
        waveform=drawing.waveform,
        wave_height=drawing.WAVE_HEIGHT,
        loud=lambda lufs: f"{lufs:.1f} LUFS".replace("-", "−"),
        bands=drawing.bands,
        data_url=_data_url,
        is_result=lambda entry: isinstance(entry, Result),
        style=style,
        style_hash=_hash(style),
    )


def _shows(entry: Result | Failure) -> bool:
    return isinstance(entry, Result) and entry.picture is not None


def _plays(entry: Result | Failure) -> bool:
    return isinstance(entry, Result) and entry.sound is not None and entry.sound.data is not None


def _data_url(copy: Picture | Sound) -> str:
    return f"data:{copy.content_type};base64,{b64encode(copy.data or b'').decode()}"


def _missing(view: ReportView, texts: Texts) -> list[tuple[str, str]]:
    """The places of what is missing, and why: one line for each reason, in order of the places."""
    places: dict[str, list[str]] = {}
    for entry in view.entries:
        if isinstance(entry, Failure):
            places.setdefault(texts.failures[entry.code], []).append(entry.place)
    return [
        (texts.number.format(places=", ".join(numbers)), why) for why, numbers in places.items()
    ]


def _format(content_type: str) -> str:
    """``PNG``, ``MP3``: the name that people know a format by."""
    name = content_type.rpartition("/")[2].upper()
    return _KNOWN_AS.get(name, name)


_KNOWN_AS = {"MPEG": "MP3", "X-WAV": "WAV", "VND.WAVE": "WAV"}


def _percent(part: float) -> str:
    return f"{part:.0%}" if part >= 0.01 else "< 1%"


def _hash(style: str) -> str:
    """What the page's policy allows as its one style sheet."""
    return "sha256-" + b64encode(hashlib.sha256(style.encode()).digest()).decode()


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


@cache
def _page() -> Template:
    # Everything is escaped, whatever a template is called. An unknown name is an error at once.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    return environment.get_template("report.html")
