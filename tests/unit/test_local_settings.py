"""What can be set for the system on this machine, what cannot, and what is told of it."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local import chosen, readers
from deploy.local.stack import Stack
from deploy.local.system import EMULATOR, EMULATORS, SERVICES, System, changed, load
from services.cli import demo, local
from services.cli.app import app
from services.cli.exit_codes import ExitCode

# Of what the system gives its processes, what anybody may choose otherwise.
OPEN = {"LOG_FORMAT", "SOURCE_ALLOWED_ORIGIN"}
SECRET = "whsec_" + "c2VjcmV0" * 4


def of_nothing(root: Path) -> System:
    """A system without a process, which keeps what it is told like any other."""
    return System(root, {}, emulator=None, services=())


def said_of(*words: str) -> list[str]:
    with pytest.raises(chosen.Refused) as refused:
        chosen.agreed(words, kept={})
    return str(refused.value).splitlines()


# ---- names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("CORS_ORIGINS", "API_CORS_ORIGINS"),
        ("COST_CAP", "COST_CAPS"),
        ("cost_caps", "COST_CAPS"),
        ("VARIATION_MODEL", "VARIATIONS_MODEL"),
        ("EMULATOR_RUN", "EMULATOR_RUN_S"),
    ],
)
def test_an_unknown_name_is_refused_with_the_one_it_resembles(typed: str, meant: str) -> None:
    assert said_of(f"{typed}=5") == [f"there is no setting {typed}; the nearest is {meant}"]


def test_a_name_that_resembles_none_is_refused_with_where_they_stand() -> None:
    [line] = said_of("XYZZY_Q=5")

    assert line.startswith("there is no setting XYZZY_Q; README.md lists those of the services")


@pytest.mark.parametrize("name", sorted(chosen.DECIDED))
def test_what_the_system_decides_itself_is_refused_with_the_reason(name: str) -> None:
    assert said_of(f"{name}=5") == [f"{name} is not for --set: {chosen.DECIDED[name]}"]


def test_what_the_system_gives_its_processes_is_refused_unless_it_is_open(tmp_path: Path) -> None:
    system = System(tmp_path, {}, emulator={})
    given = set(system.layout.environment()) | set(system.layout.emulators())

    assert given - set(chosen.DECIDED) == OPEN


def test_nothing_is_refused_that_no_process_reads() -> None:
    known = readers.read_by_any() | readers.read_by_the_emulator()

    assert set(chosen.DECIDED) - known == set()


def test_what_is_kept_can_be_taken_back_also_where_nobody_reads_it_any_more() -> None:
    kept = {"OF_OLD": "4"}

    assert chosen.agreed(["OF_OLD="], kept=kept) == {"OF_OLD": ""}
    with pytest.raises(chosen.Refused):
        chosen.agreed(["OF_OLD=5"], kept=kept)


def test_a_value_may_hold_what_separates_it_from_its_name() -> None:
    setting = chosen.agreed(["COST_CAPS=variations=5,studio-concepts=2"], kept={})

    assert setting == {"COST_CAPS": "variations=5,studio-concepts=2"}


def test_every_mistake_is_told_at_once_and_a_secret_typed_wrongly_not_at_all() -> None:
    lines = said_of(
        *(f"CALLBACK_SECRET {SECRET}", "LOCALE=ko", "LOCALE=en", "AMQP_URI=x", "=5"),
        *("AGGREGATOR_BATCH=0", "TIMEZONE=Mars", "EMULATOR_RUN_S=long"),
    )

    assert lines == [
        "--set takes NAME=VALUE, or NAME= for the default",
        "LOCALE is set twice; one --set holds all of its value",
        "there is no setting AMQP_URI; the nearest is AMQP_URL",
        "--set takes NAME=VALUE, or NAME= for the default",
        "TIMEZONE: 'Mars' is no time zone; write it like Asia/Seoul or UTC",
        "AGGREGATOR_BATCH: must be 1 or more",
        "EMULATOR_RUN_S: must be a number",
    ]


# ---- values


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("COST_CAPS", "five", "COST_CAPS: 'five' is no cap; write it like variations=5.00"),
        ("COST_CAPS", "paintings=5", "COST_CAPS: "),
        ("TIMEZONE", "Mars", "TIMEZONE: 'Mars' is no time zone; write it like Asia/Seoul or UTC"),
        ("VARIATIONS_MODEL", "mine", "VARIATIONS_MODEL must be a model: "),
        ("API_CORS_ORIGINS", "http://app.example.com", "API_CORS_ORIGINS: must be https, or "),
        ("AGGREGATOR_BATCH", "0", "AGGREGATOR_BATCH: must be 1 or more"),
        ("REPORT_CONCURRENCY", "many", "REPORT_CONCURRENCY: must be a whole number"),
        ("STORAGE_ATTEMPTS", "0", "STORAGE_ATTEMPTS: must be 1 or more"),
        ("READS_SHARE", "2", "READS_SHARE: must be 1 or less"),
        ("WEBHOOKS_IN_FLIGHT", "0", "WEBHOOKS_IN_FLIGHT: must be 1 or more"),
        ("CREATE_WITHIN_SECONDS", "100", "SETTINGS: CREATE_LEASE_SECONDS must be at least 1.5 "),
        ("EMULATOR_RUN_S", "long", "EMULATOR_RUN_S: must be a number"),
        ("EMULATOR_FAULTS", "nsfw", "EMULATOR_FAULTS: is not JSON"),
        ("EMULATOR_FAULTS", '[{"fault": "rain"}]', "EMULATOR_FAULTS: no fault is called 'rain'"),
    ],
)
def test_a_value_that_a_process_refuses_is_told_in_its_words(
    name: str, value: str, why: str
) -> None:
    [line] = said_of(f"{name}={value}")

    assert line.startswith(why)


def test_a_secret_that_is_refused_is_not_repeated() -> None:
    [line] = said_of("CALLBACK_SECRET=hush-hush")

    assert "hush-hush" not in line


def test_values_are_held_against_each_other_not_against_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIMEZONE", "Mars")
    monkeypatch.setenv("EMULATOR_RUN_S", "long")
    monkeypatch.setenv("COST_CAPS", "five")
    ours = dict(os.environ)  # noqa: TID251

    chosen.agreed(
        ["CREATE_WITHIN_SECONDS=100", "EMULATOR_COLD_START_S=0.5"],
        kept={"LOCALE": "ko", "CREATE_LEASE_SECONDS": "150"},
    )

    assert dict(os.environ) == ours  # noqa: TID251


def test_the_callers_variables_are_back_after_a_refusal() -> None:
    ours = dict(os.environ)  # noqa: TID251

    said_of("TIMEZONE=Mars", "EMULATOR_RUN_S=long")

    assert dict(os.environ) == ours  # noqa: TID251


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_a_value_with_a_quote_goes_through_make_as_it_is() -> None:
    words = ["CALLBACK_URLS=shop=https://x.example/it's;a", "TIMEZONE=Asia/Seoul"]

    done = subprocess.run(
        ["make", "-n", "up", f"SET={' '.join(words)}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    [line] = [line for line in done.stdout.splitlines() if "darkroom up" in line]
    assert shlex.split(line)[1:] == ["up", "--set", words[0], "--set", words[1]]


# ---- what is kept, and what each process is given


def test_a_change_keeps_the_rest_and_an_empty_value_takes_back() -> None:
    kept = {"LOCALE": "ko", "TIMEZONE": "Asia/Seoul", "REVISION": ""}

    now = changed(kept, {"TIMEZONE": "", "COST_CAPS": "variations=5", "LOG_LEVEL": ""})

    assert now == {"LOCALE": "ko", "REVISION": "", "COST_CAPS": "variations=5"}


def test_what_was_set_is_kept_with_addresses_and_secrets_as_they_were(tmp_path: Path) -> None:
    of_nothing(tmp_path).up()
    first = load(tmp_path)
    of_nothing(tmp_path).up(setting={"LOCALE": "ko", "TIMEZONE": "Asia/Seoul"})
    of_nothing(tmp_path).up()
    of_nothing(tmp_path).up(setting={"LOCALE": ""})
    of_nothing(tmp_path).down()

    last = load(tmp_path)
    assert first is not None
    assert last is not None
    assert last.options == {"TIMEZONE": "Asia/Seoul"}
    assert (last.ports, last.webhook_secret, last.api_token) == (
        first.ports,
        first.webhook_secret,
        first.api_token,
    )


def test_what_was_set_outlives_other_parts(tmp_path: Path) -> None:
    of_nothing(tmp_path).up(setting={"LOCALE": "ko"})
    elsewhere = System(tmp_path, {"S3_BUCKET": "theirs"}, emulator=None, services=())
    elsewhere.up()

    assert elsewhere.layout.options == {"LOCALE": "ko"}
    assert elsewhere.layout.parts == {"S3_BUCKET": "theirs"}


def test_who_waited_for_a_change_does_not_undo_it(tmp_path: Path) -> None:
    late = of_nothing(tmp_path)
    of_nothing(tmp_path).up(setting={"LOCALE": "ko"})

    late.up()

    assert late.layout.options == {"LOCALE": "ko"}


def test_options_of_a_system_made_for_them_are_as_they_are_given(tmp_path: Path) -> None:
    of_nothing(tmp_path).up(setting={"LOCALE": "ko"})
    made = System(tmp_path, {}, options={"LOG_LEVEL": "DEBUG"}, emulator=None, services=())

    made.up()

    assert made.layout.options == {"LOG_LEVEL": "DEBUG"}


def test_only_the_owner_reads_what_is_kept(tmp_path: Path) -> None:
    of_nothing(tmp_path).up(setting={"CALLBACK_SECRET": SECRET})

    assert (tmp_path / "system.json").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["system.json", "system.lock"]


def test_the_emulators_settings_go_to_it_over_the_demos_speeds_and_to_nobody_else(
    tmp_path: Path,
) -> None:
    system = System(
        tmp_path,
        {},
        options={"EMULATOR_RUN_S": "60", "LOCALE": "ko"},
        emulator={"EMULATOR_RUN_S": "3", "EMULATOR_COLD_START_S": "1"},
    )

    its = system._environment(EMULATOR)
    assert (its["EMULATOR_RUN_S"], its["EMULATOR_COLD_START_S"]) == ("60", "1")
    assert "LOCALE" not in its
    for service in SERVICES:
        given = system._environment(service)
        assert given["LOCALE"] == "ko"
        assert not [name for name in given if name.startswith(EMULATORS)]


# ---- what is told


def test_a_secret_and_what_nobody_reads_any_more_are_shown_only_as_there() -> None:
    told = chosen.shown(
        {"CALLBACK_SECRET": SECRET, "CALLBACK_URLS": "x", "GONE": "y", "LOCALE": "ko"}
    )

    assert told == {
        "CALLBACK_SECRET": "(given)",
        "CALLBACK_URLS": "(given)",
        "GONE": "(given)",
        "LOCALE": "ko",
    }


def test_status_shows_what_is_set_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    of_nothing(tmp_path).up(
        setting={"CALLBACK_SECRET": SECRET, "TIMEZONE": "Asia/Seoul", "EMULATOR_RUN_S": "60"}
    )

    lines = CliRunner().invoke(app, ["status"]).output.splitlines()
    told = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)

    assert lines[-3:] == [
        "set         CALLBACK_SECRET=(given)",
        "set         EMULATOR_RUN_S=60",
        "set         TIMEZONE=Asia/Seoul",
    ]
    assert told["settings"] == {
        "CALLBACK_SECRET": "(given)",
        "EMULATOR_RUN_S": "60",
        "TIMEZONE": "Asia/Seoul",
    }
    assert SECRET not in json.dumps([lines, told])


@pytest.mark.parametrize("words", [("up",), ("demo",), ("demo", "--external")], ids=" ".join)
@pytest.mark.parametrize("one", ["TIMEZON=UTC", "TIMEZONE=Mars", "API_PORT=80", "TIMEZONE"])
def test_what_cannot_be_set_is_told_before_anything_is_touched(
    words: tuple[str, ...], one: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))

    said = CliRunner().invoke(app, [*words, "--set", one])

    assert said.exit_code == ExitCode.USAGE, said.output
    assert "Nothing was started or stopped." in said.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("up",), ("demo", "--external")], ids=" ".join)
def test_what_somebody_set_meanwhile_and_does_not_go_with_ours_is_told(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AMQP_URL", "DATABASE_URL", "S3_BUCKET"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))

    def meanwhile(*_parts: object, **_more: object) -> None:
        of_nothing(tmp_path).up(setting={"CREATE_LEASE_SECONDS": "50"})

    # The parts are nobody's here; while they come up, another command sets something.
    monkeypatch.setattr(Stack, "up", lambda *_: None)
    monkeypatch.setattr(Stack, "environment", lambda _: {})
    for command in (local, demo):
        monkeypatch.setattr(command, "prepare", meanwhile)
        monkeypatch.setattr(command, "system_of", lambda root, *_, **__: of_nothing(root))

    said = CliRunner().invoke(app, [*words, "--set", "CREATE_WITHIN_SECONDS=39"])

    assert said.exit_code == ExitCode.USAGE, said.output
    assert "CREATE_LEASE_SECONDS must be at least 1.5 " in said.output
    assert "Somebody else set something meanwhile" in said.output
    kept = load(tmp_path)
    assert kept is not None
    assert kept.options == {"CREATE_LEASE_SECONDS": "50"}


def test_what_is_kept_and_refused_by_now_is_told_with_how_to_take_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    of_nothing(tmp_path).up(setting={"TIMEZONE": "Mars"})

    said = CliRunner().invoke(app, ["up"])

    assert said.exit_code == ExitCode.USAGE
    assert "TIMEZONE: 'Mars' is no time zone" in said.output
    assert "`--set NAME=` takes a setting back" in said.output


def test_a_system_that_is_only_ordered_at_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))

    said = CliRunner().invoke(app, ["demo", "--running", "--set", "LOCALE=ko"])

    assert said.exit_code == ExitCode.USAGE
    assert "--running starts nothing" in said.output
