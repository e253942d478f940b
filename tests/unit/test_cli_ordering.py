"""What somebody types to order a job: taken as it is meant, or refused with what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.reading import read_params, the_recipe
from shared.recipes import RECIPES, validated
from tests.support import photos

BESIDE = "jobs/7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11/original/"
CONCEPTS = the_recipe("studio-concepts")
BRIEF = [
    "prompt=a river",
    'surface={"width": 12, "height": 8}',
    'colours=["#112233", "#ddeeff"]',
]


def ordering(*words: str) -> tuple[int, str]:
    """The exit code and everything said; nothing is published, for there is nowhere to."""
    done = CliRunner().invoke(app, ["publish", "upload", *words], env={"COLUMNS": "200"})
    return done.exit_code, done.output


# ---- parameters


def test_lists_and_objects_are_written_as_json() -> None:
    assert read_params(CONCEPTS, [*BRIEF, "dither=true", "strength=0.5"]) == {
        "prompt": "a river",
        "surface": {"width": 12, "height": 8},
        "colours": ["#112233", "#ddeeff"],
        "dither": True,
        "strength": 0.5,
    }


@pytest.mark.parametrize("text", ["42", "true", "null", "3.5", "a = b", "[sic]", "{x}"])
def test_text_stays_text_whatever_it_looks_like(text: str) -> None:
    assert read_params(the_recipe("sound-effect"), [f"prompt={text}"]) == {"prompt": text}


def test_text_may_be_quoted_as_json_too() -> None:
    assert read_params(the_recipe("sound-effect"), [r'prompt="a\nb"']) == {"prompt": "a\nb"}


@pytest.mark.parametrize(
    ("recipe", "given", "told"),
    [
        ("variations", ["count=99"], "count: must be 10 or less"),
        ("variations", ["count=two"], "count: must be a whole number"),
        ("variations", ["colour=blue"], "no parameter 'colour'; it has count, prompt"),
        ("variations", ["count"], "'count' is not name=value"),
        ("variations", ["=3"], "'=3' is not name=value"),
        ("variations", ["count=1", "count=2"], "count is given twice"),
        ("studio-concepts", BRIEF[:2], "colours: is missing"),
        ("studio-concepts", [*BRIEF[:2], "colours=[#112233]"], "colours is not JSON"),
        ("studio-concepts", [*BRIEF[:2], 'colours=["red", "#112233"]'], "colours.0"),
        ("studio-concepts", [BRIEF[0], 'surface={"width": 1}', BRIEF[2]], "surface.height"),
        (
            "studio-concepts",
            [BRIEF[0], 'surface={"width": 90, "height": 1}', BRIEF[2]],
            "one side may be 6 times as long as the other",
        ),
        ("sound-effect", [], "prompt: is missing"),
        ("sound-effect", ["prompt=x", "seconds=500"], "seconds: must be 47 or less"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_it_may_be(
    recipe: str, given: list[str], told: str, tmp_path: Path
) -> None:
    words = ["--recipe", recipe, *(word for one in given for word in ("--param", one))]
    if recipe == "variations":
        photo = tmp_path / "photo.png"
        photo.write_bytes(photos.a_tiny_photo())
        words += ["--photo", str(photo)]

    code, said = ordering(*words)

    assert code == 2
    assert told in said
    assert f"`darkroom recipes {recipe}`" in said
    assert "Traceback" not in said


# ---- sources


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--recipe", "oil-painting"], "there is no recipe 'oil-painting'; there is variations"),
        (
            ["--recipe", "restoration"],
            "restoration needs an original: give --photo, --source-key or --source-url",
        ),
        (
            ["--recipe", "sound-effect", "--source-key", f"{BESIDE}a.png"],
            "sound-effect takes no original",
        ),
        (
            ["--source-key", f"{BESIDE}a.png", "--source-url", "https://example.com/a.png"],
            "give one of --photo, --source-key and --source-url, not more",
        ),
        (["--source-key", f"{BESIDE}../a.png"], "--source-key: must be folders and a name"),
        (["--source-key", ""], "--source-key: must be folders and a name"),
        (
            ["--source-key", f"{BESIDE}a.png", "--job-id", "99999999-2222-4333-8444-555555555555"],
            "--source-key lies beside 7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11",
        ),
        (
            ["--recipe", "sound-effect", "--source-url", "https://example.com/a.png"],
            "sound-effect takes no original",
        ),
        (["--source-url", "ftp://example.com/a.png"], "must be an https URL"),
        (["--source-url", "https://me:secret@example.com/a.png"], "must be an https URL"),
        (["--source-url", "https://example.com/a.png", "--timezone", "Mars/Base"], "Mars/Base"),
        (["--source-url", "https://example.com/a.png", "--metadata", "[1]"], "not a JSON object"),
        (["--source-url", "https://example.com/a.png", "--metadata", "{"], "not JSON"),
        (
            ["--source-url", "https://example.com/a.png", "--external-ref", "x" * 201],
            "external_ref: may have 200 characters at most",
        ),
        (
            ["--source-url", "https://example.com/a.png", "--deadline-seconds", "9999999"],
            "deadline_seconds",
        ),
        (
            [
                *("--source-url", "https://example.com/a.png"),
                *("--callback-url", "https://me:secret@example.com/told"),
            ],
            "callback_url: must be an https URL without user info",
        ),
    ],
    ids=[
        *("recipe", "no photo", "key for words", "key and url", "dots in a key", "no key"),
        *("key of another job", "photo for words", "ftp", "user info"),
        *("zone", "metadata list", "metadata junk", "long reference", "deadline"),
        "callback",
    ],
)
def test_an_order_that_cannot_be_planned_is_not_published(words: list[str], told: str) -> None:
    code, said = ordering(*words)

    assert code == 2
    assert told in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the photo is empty"),
        (b"GIF89a", "variations takes image/jpeg, image/png, image/webp; this file is image/gif"),
        (photos.a_text_called_jpg(), "this file is none that we know"),
    ],
    ids=["empty", "gif", "text"],
)
def test_a_photo_that_the_recipe_does_not_take_is_refused(
    data: bytes, told: str, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(data)

    code, said = ordering("--photo", str(photo))

    assert code == 2
    assert told in said


def test_a_photo_and_a_url_are_one_too_many(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(photos.a_tiny_photo())

    code, said = ordering("--photo", str(photo), "--source-url", "https://example.com/a.png")

    assert code == 2
    assert "give one of --photo, --source-key and --source-url, not more" in said


# ---- what can be ordered


def listing(*words: str) -> str:
    done = CliRunner().invoke(app, ["recipes", *words], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_is_listed_with_each_of_its_parameters(recipe: Any) -> None:
    told = listing(recipe.name)

    assert recipe.title["en"] in told
    assert recipe.model({name: each.default for name, each in recipe.settings.items()}) in told
    for parameter in recipe.params.__dataclass_fields__:
        assert parameter in told
    assert f"darkroom publish upload --recipe {recipe.name}" in told


def test_what_a_purchase_costs_is_told_and_what_nobody_knows_too() -> None:
    known = CliRunner().invoke(app, ["recipes", "variations"]).output
    unknown = CliRunner().invoke(app, ["recipes", "restoration"]).output

    assert "price   $0.000975 a second; about $0.02925 a purchase" in known
    assert "price   not known" in unknown


def test_an_order_is_estimated_and_not_placed() -> None:
    assert ordering("--recipe", "variations", "--param", "count=4", "--estimate") == (
        0,
        "about $0.1170 for 4 purchases; $0.3510 if each takes every attempt\n",
    )
    assert ordering("--recipe", "restoration", "--estimate") == (
        0,
        "1 purchases at a price that nobody knows\n",
    )
    assert ordering("--param", "count=99", "--estimate")[0] == 2


def test_the_limits_are_told_in_words() -> None:
    told = " ".join(listing().split())

    assert "count whole number, 1 to 10 else 3" in told
    assert "colours list of 2 to 32: text like ^#" in told
    assert "width: number, more than 0, at most 1000" in told
    assert "seed whole number, 0 to 999999" in told
    assert "dither true or false else false" in told
    assert "prompt text, 1 to 2000 characters needed" in told


def test_programs_get_the_parameters_as_json_schema() -> None:
    told = {each["name"]: each for each in json.loads(listing("--json"))}

    assert set(told) == {recipe.name for recipe in RECIPES}
    assert told["sound-effect"]["source"] == "none"
    assert told["variations"]["params"]["properties"]["count"]["maximum"] == 10


def test_titles_come_in_korean_too() -> None:
    assert "배경 음악" in listing("--locale", "ko")


def test_a_recipe_that_there_is_not_is_told_with_those_that_there_are() -> None:
    done = CliRunner().invoke(app, ["recipes", "oil-painting"])

    assert done.exit_code == 2
    assert "there is variations, restoration" in done.output


def test_what_the_demo_orders_can_be_planned() -> None:
    for recipe in RECIPES:
        assert validated(recipe, recipe.example)


# ---- what is said of what nobody can order


def test_an_unknown_recipe_leads_to_the_list_and_a_known_one_to_its_page() -> None:
    _, unknown = ordering("--recipe", "variatons")
    _, known = ordering("--recipe", "variations", "--param", "count=99")

    assert "`darkroom recipes` says" in unknown
    assert "`darkroom recipes variations` says" in known


def test_a_choice_that_is_none_is_told_without_the_checkers_own_words() -> None:
    code, said = ordering("--locale", "xx")

    assert code == 2
    assert "'--locale': 'xx' is not one of 'en', 'ko'." in said
