"""The page itself: from a view to one HTML text that needs no other file and runs nothing."""

import hashlib
from base64 import b64encode
from datetime import timedelta
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.report import local_time
from services.report.texts import TEXTS
from services.report.view import Picture, ReportView, Result

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
        counted=counted,
        instant=lambda at: local_time.instant(at, view.zone, locale),
        machine_readable=lambda at: local_time.machine_readable(at, view.zone),
        taken=local_time.span(view.finished_at - view.ordered_at, locale),
        spoken=lambda seconds: local_time.span(timedelta(seconds=seconds), locale),
        zone=local_time.zone_name(view.zone, view.finished_at),
        size=local_time.size,
        data_url=_data_url,
        is_result=lambda entry: isinstance(entry, Result),
        style=style,
        style_hash=_hash(style),
    )


def _data_url(picture: Picture) -> str:
    return f"data:{picture.content_type};base64,{b64encode(picture.data).decode()}"


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
