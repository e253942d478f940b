"""docs/migrating.md and its pages: nothing of the old systems is forgotten, and every example is
one that Darkroom takes or tells."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.aggregator.ending import reason_of_end
from shared.domain.job import JobState, Tally
from shared.domain.slot import FailureCode
from shared.envelope import Envelope
from shared.events import (
    FACTS,
    SKIPPED,
    TYPES,
    UNFINISHED,
    JobCompleted,
    JobFailed,
    UploadReceived,
    read,
)
from shared.recipes import RECIPES, validated
from tests.support.migrating import PAGES, Example, examples

ROOT = Path(__file__).parents[2]
KNOWN = {recipe.name: recipe for recipe in RECIPES}
KINDS = {fact.type: fact for fact in FACTS}
ORDERS, TOLD = examples("order"), examples("fact")
WHOLE = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
README = (ROOT / "README.md").read_text(encoding="utf-8")

# What each page must answer, in the words that its team will look for.
SYSTEMS = {
    "variations": ("API_BASE_URL", "VARIATIONS_MODEL", "PROCESSING", "display_order", "count + 1"),
    "restoration": (
        "NEXT_PUBLIC_APP_URL",
        *("REPLICATE_MODEL", "REPLICATE_OUTPUT_FORMAT", "REPLICATE_SAFETY_TOLERANCE"),
        *("replicate_status", "last_webhook_received", "ngrok"),
    ),
    "studio-concepts": (
        *("BASE_URL", "STUDIO_CONCEPTS_MODEL", "?token="),
        *("originalUrl", "quantizedUrl", "quality", "index"),
    ),
    "sounds": (
        *("PUBLIC_BASE_URL", "SOUND_EFFECT_MODEL", "BACKGROUND_MUSIC_MODEL"),
        *("/replicate-webhook/{content_type}/{content_id}", "base64"),
    ),
}


def envelope(example: Example) -> Envelope:
    return Envelope(
        id="an-id",
        type=example.name if example.kind == "fact" else UploadReceived.type,
        source="somebody",
        time=datetime(2026, 6, 1, tzinfo=UTC),
        body=json.dumps(example.body).encode(),
    )


@pytest.mark.system("W4")
@pytest.mark.parametrize(("page", "words"), SYSTEMS.items(), ids=SYSTEMS)
def test_w4_a_page_for_each_system_names_what_it_had_and_what_it_is_now(
    page: str, words: tuple[str, ...]
) -> None:
    text = (ROOT / "docs" / "migrating" / f"{page}.md").read_text(encoding="utf-8")

    assert [word for word in words if word not in text] == []
    assert "/webhooks/replicate" in text
    assert "REPLICATE_API_TOKEN" in text
    assert "REPLICATE_API_KEY" in text
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:6] == [
        "Variables",
        "Webhooks",
        "An order",
        "States and results",
        "What is under way",
        "The way back",
    ]


@pytest.mark.system("W4")
def test_w4_the_page_for_all_tells_variables_the_switch_the_way_back_and_what_is_missing() -> None:
    text = PAGES[0].read_text(encoding="utf-8")

    for old in ("API_BASE_URL", "NEXT_PUBLIC_APP_URL", "BASE_URL", "PUBLIC_BASE_URL"):
        assert f"`{old}`" in text
    assert "`REPLICATE_API_KEY`, `REPLICATE_API_TOKEN`" in text
    for heading in ("Variables", "Webhooks", "The switch", "The way back", "What is not there yet"):
        assert f"\n## {heading}\n" in text
    missing = text.split("## What is not there yet")[1]
    for part in ("pages", "alerts"):
        assert part in missing
    for page in SYSTEMS:
        assert f"(migrating/{page}.md)" in text


def test_every_example_says_what_it_is() -> None:
    assert {example.kind for example in examples()} == {"order", "fact"}
    assert {example.page for example in TOLD} >= set(SYSTEMS)


@pytest.mark.system("W4")
def test_w4_every_recipe_that_replaces_a_system_has_an_order_to_copy() -> None:
    assert {example.name for example in ORDERS} == {
        *("variations", "restoration", "studio-concepts", "sound-effect", "background-music")
    }


@pytest.mark.system("W4")
@pytest.mark.parametrize("example", ORDERS, ids=lambda example: example.name)
def test_w4_an_order_is_taken_as_it_stands_and_shows_every_parameter(example: Example) -> None:
    fact = read(UploadReceived, envelope(example))
    recipe = KNOWN[fact.recipe]

    assert fact.recipe == example.name
    assert validated(recipe, fact.params)
    assert set(fact.params) == set(recipe.params.__dataclass_fields__)
    # Nothing of it is passed over: what pydantic does not know, it ignores.
    assert set(example.body) <= set(UploadReceived.__dataclass_fields__)


@pytest.mark.system("W4")
@pytest.mark.parametrize("example", TOLD, ids=lambda example: f"{example.page}-{example.name}")
def test_w4_a_fact_is_one_that_is_told(example: Example) -> None:
    kind = KINDS[example.name]

    fact = read(kind, envelope(example))

    assert set(example.body) <= set(kind.__dataclass_fields__)
    for artifact in getattr(fact, "artifacts", ()):
        assert artifact.key.startswith(f"jobs/{fact.job_id}/{artifact.kind}/")
    for missing in getattr(fact, "missing", ()):
        assert missing.code in {*FailureCode, SKIPPED, UNFINISHED}
    if isinstance(fact, JobCompleted | JobFailed):
        tally = Tally(n=fact.n, stored=fact.stored, failed=fact.failed, canceled=fact.canceled)
        assert fact.reason == reason_of_end(tally, fact.missing, given=None)


def test_variables_facts_and_states_that_the_pages_name_are_there() -> None:
    variables = {
        name
        for line in WHOLE.splitlines()
        if line.startswith("| ") and line.count("|") >= 3
        for name in re.findall(r"`([A-Z][A-Z0-9]+_[A-Z0-9_]+)`", line.split("|")[2])
    }
    facts = set(re.findall(r"`((?:job|report|upload|artifacts|slot)\.[a-z_]+)`", WHOLE))

    assert variables
    assert [name for name in variables if f"`{name}`" not in README] == []
    assert facts <= set(TYPES)
    assert [state for state in JobState if f"`{state}`" not in PAGES[0].read_text()] == []
