"""The generator's settings, and those of the recipes that it reads beside them."""

import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest

from services.generator.hold import Capped
from services.generator.settings import Settings, read_caps
from services.generator.wiring import caps_of
from shared import recipes
from shared.errors import Misconfigured
from shared.settings import environment, read_settings

COMPLETE = {
    "AMQP_URL": "amqp://user:hunter2@broker/vhost",
    "DATABASE_URL": "postgresql://user:hunter2@db/name",
    "S3_BUCKET": "bucket",
    "REPLICATE_API_TOKEN": "r8_hunter2",
}
WRONG = {
    "AMQP_URL": "http://user:hunter2@broker",
    "SOURCE_MAX_BYTES": "0",
    "REPLICATE_OUTPUT_FORMAT": "tiff",
    "REPLICATE_SAFETY_TOLERANCE": "7",
    "SOUND_EFFECT_MODEL": "hunter2",
}


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_with_what_is_required_it_starts(complete: pytest.MonkeyPatch) -> None:
    settings = read_settings(Settings)

    assert (settings.source_hosts, settings.source_allowed_origin) == ((), None)
    assert settings.source_copies_at_once == 2


def test_a_recipes_wrong_variable_alone_keeps_it_from_starting(
    complete: pytest.MonkeyPatch,
) -> None:
    complete.setenv("REPLICATE_OUTPUT_FORMAT", "tiff")

    with pytest.raises(Misconfigured, match="REPLICATE_OUTPUT_FORMAT must be png or jpg"):
        read_settings(Settings)


def test_caps_are_amounts_a_day_by_recipe(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("COST_CAPS", "variations=5, studio-concepts = 0.25")

    settings = read_settings(Settings)

    assert read_caps(settings.cost_caps) == {"variations": 5_000_000, "studio-concepts": 250_000}


@pytest.mark.parametrize(
    ("caps", "says"),
    [
        ("restoration=5", "COST_CAPS: nobody knows what restoration costs, so a cap cannot hold"),
        ("paintings=5", "COST_CAPS: there is no recipe 'paintings'"),
        ("variations", "COST_CAPS: 'variations' is no cap; write it like variations=5.00"),
        ("variations=much", "COST_CAPS: an amount is in dollars"),
        ("variations=1,variations=2", "COST_CAPS: variations has two caps"),
    ],
)
def test_a_cap_that_could_not_hold_keeps_it_from_starting(
    complete: pytest.MonkeyPatch, caps: str, says: str
) -> None:
    complete.setenv("COST_CAPS", caps)

    with pytest.raises(Misconfigured) as refused:
        read_settings(Settings)

    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


def test_a_cap_holds_where_the_price_is_stated_or_the_recipe_has_an_estimate(
    complete: pytest.MonkeyPatch,
) -> None:
    complete.setenv("COST_CAPS", "restoration=5,variations=1")
    complete.setenv("MODEL_PRICES", "flux-kontext-apps/restore-image=0.04/output")
    complete.setenv("VARIATIONS_MODEL", "somebody/unheard-of")
    complete.setenv("TIMEZONE", "Asia/Seoul")

    caps = caps_of(read_settings(Settings), recipes.configured(environment()))

    assert caps.recipes == {
        "restoration": Capped(cap_micros=5_000_000, estimate_micros=40_000),
        "variations": Capped(cap_micros=1_000_000, estimate_micros=30_000),
    }
    assert caps.zone == ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize("module", ["services.generator", "services"])
def test_it_names_every_mistake_at_once_and_does_not_start(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env=WRONG,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    lines = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert lines[0].endswith("cannot start:")
    for told in (
        "DATABASE_URL is missing",
        "S3_BUCKET is missing",
        "REPLICATE_API_TOKEN is missing",
        "AMQP_URL: must begin with amqp:// or amqps://",
        "SOURCE_MAX_BYTES: must be 1 or more",
        "REPLICATE_OUTPUT_FORMAT must be png or jpg",
        "REPLICATE_SAFETY_TOLERANCE must be 0 (most strict), 1 or 2",
    ):
        assert told in lines
    assert any(line.startswith("SOUND_EFFECT_MODEL must be a model") for line in lines)
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr
