"""The check of what is deployed: it tells every fault, and never calls well what it did not look at."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.check import __main__ as command
from deploy.check import checks, image
from deploy.check.checks import ALL, Bad, Check, NotRun
from deploy.check.tools import ROOT, ToolMissing
from tests.deploy.conftest import Render


def raising(error: Exception) -> Check:
    def run() -> str:
        raise error

    return Check("planted", "what a tool says", run)


@pytest.mark.parametrize(
    ("error", "code", "mark"),
    [
        (Bad("line 3: no"), 1, "BAD"),
        (ToolMissing("no such program"), 1, "BAD"),
        (NotRun("there is no such file"), 0, "not run"),
    ],
)
def test_the_exit_code_says_whether_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    mark: str,
) -> None:
    monkeypatch.setattr(command, "ALL", (raising(error),))

    assert command.main([]) == code
    told = capsys.readouterr().out
    assert told.startswith(mark)
    assert str(error) in told


def test_one_fault_does_not_hide_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well = Check("well", "another", lambda: "seen")
    monkeypatch.setattr(command, "ALL", (raising(Bad("first")), well))

    assert command.main([]) == 1
    assert "first" in (told := capsys.readouterr().out)
    assert "seen" in told


def test_a_check_that_does_not_exist_is_told_and_nothing_is_run() -> None:
    assert command.main(["lnit"]) == 2


def test_no_two_checks_have_one_name() -> None:
    assert len({check.name for check in ALL}) == len(ALL)


def test_custom_resources_without_their_schemas_count_as_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRDS", str(tmp_path / "nowhere"))

    with pytest.raises(NotRun, match="CRDS"):
        checks.custom_resources()


@pytest.mark.usefixtures("helm")
def test_a_folder_without_a_schema_of_ours_counts_as_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRDS", str(tmp_path))

    with pytest.raises(NotRun, match="ScaledObject"):
        checks.custom_resources()


def test_schemas_that_lie_beside_the_checkout_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, render: Render
) -> None:
    (tmp_path / "keda.sh").mkdir()
    (tmp_path / "keda.sh" / "scaledobject_v1alpha1.json").write_text("{}", encoding="utf-8")
    monkeypatch.delenv("CRDS", raising=False)
    monkeypatch.setattr(checks, "BESIDE", (tmp_path / "nowhere", tmp_path))

    told = checks.custom_resources()

    assert told.startswith("ScaledObject; no schema of ")
    assert {"HTTPRoute", "TriggerAuthentication"} <= set(told.replace(",", "").split())


def test_the_image_is_given_the_programs_and_nothing_of_the_workshop() -> None:
    given = {str(path) for path in image.copied()}

    assert {"pyproject.toml", "services/__main__.py", "deploy/local/emulator/__main__.py"} <= given
    assert any(path.endswith(".sql") for path in given)
    assert any(path.endswith(".html") for path in given)
    for place in ("tests/", "docs/", "deploy/check/", "deploy/helm/", ".git/", ".darkroom/"):
        assert not [path for path in given if path.startswith(place)]


def test_the_image_proves_itself_by_running_what_it_brings() -> None:
    assert image.proof()[:2] == ["python", "-c"]


@pytest.mark.parametrize("check", [checks.asyncapi, checks.openapi, checks.schemas])
def test_documents_that_are_gone_are_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, check: Callable[[], str]
) -> None:
    monkeypatch.setattr(checks, "ROOT", tmp_path)

    with pytest.raises(Bad, match=r"there (is|are) no"):
        check()


def test_a_field_that_a_custom_resource_does_not_have_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, render: Render
) -> None:
    strict = {"properties": {"spec": {"properties": {}, "additionalProperties": False}}}
    schema = tmp_path / "keda.sh" / "scaledobject_v1alpha1.json"
    schema.parent.mkdir()
    schema.write_text(json.dumps(strict), encoding="utf-8")
    monkeypatch.setenv("CRDS", str(tmp_path))

    with pytest.raises(Bad, match=r"full\.yaml, ScaledObject/rel-darkroom-\w+: \$\.spec"):
        checks.custom_resources()


def test_what_is_found_is_found_in_the_checkout_and_not_in_what_was_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place in ("docs/contracts/asyncapi.json", ".tools/asyncapi/asyncapi.json"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
    monkeypatch.setattr(checks, "ROOT", tmp_path)

    assert list(checks.documents_of("asyncapi")) == [tmp_path / "docs/contracts/asyncapi.json"]


def test_every_file_that_is_checked_is_in_the_checkout() -> None:
    for path in (checks.COMPOSE, checks.RULES, checks.IGNORED, ROOT / "deploy" / "Dockerfile"):
        assert path.exists(), path
