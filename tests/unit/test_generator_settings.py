"""The generator's settings, and those of the recipes that it reads beside them."""

import subprocess
import sys

import pytest

from services.generator.settings import Settings
from shared.errors import Misconfigured
from shared.settings import read_settings

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
