"""The system with Docker, as Compose itself reads its file."""

import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.check.checks import COMPOSE, PASSWORDS, RULES
from deploy.check.settings import SECRETS
from deploy.check.tools import run
from deploy.local.readers import read_by, read_by_any, settings_of
from deploy.local.system import SERVICES
from shared import recipes
from shared.settings import read_settings
from tests.deploy.leaving import leaves_in_time

OURS = {*SERVICES, "migrate", "topology", "emulator", "demo", "core"}
PARTS = {"rabbitmq", "postgres", "s3"}


@cache
def _project(*given: tuple[str, str]) -> Mapping[str, Any]:
    command = Path(sys.executable).parent / "docker-compose"
    words = ["-f", COMPOSE, "--env-file", os.devnull, "--profile", "*"]
    done = run(
        [command, *words, "config", "--format", "json"],
        more=dict.fromkeys((*PASSWORDS, "REPLICATE_API_TOKEN"), "") | dict(given),
    )
    assert done.returncode == 0, done.stderr
    project: dict[str, Any] = json.loads(done.stdout)
    return project


@pytest.fixture
def project() -> Mapping[str, Any]:
    """As a bare clone has it: nothing is set."""
    return _project()


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in read_by_any():
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def environment(project: Mapping[str, Any], service: str) -> dict[str, str]:
    return dict(project["services"][service]["environment"])


def seconds(span: str) -> float:
    """``2m10s`` and the like, as Compose writes it."""
    minutes, _, rest = span.rpartition("m")
    return 60 * float(minutes or 0) + float(rest.removesuffix("s") or 0)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_starts_with_what_it_is_given(
    project: Mapping[str, Any], nothing_set: pytest.MonkeyPatch, service: str
) -> None:
    for name, value in environment(project, service).items():
        nothing_set.setenv(name, value)

    settings = read_settings(settings_of(service))

    leaves_in_time(settings, grace_s=seconds(project["services"][service]["stop_grace_period"]))


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_is_given_what_is_not_its_business(
    project: Mapping[str, Any], service: str
) -> None:
    assert set(environment(project, service)) <= read_by(service) | recipes.VARIABLES


@pytest.mark.parametrize("service", SERVICES)
def test_any_setting_can_be_given_to_every_service(service: str) -> None:
    declared = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"][service]

    assert declared["env_file"] == [{"path": "settings.env", "required": False}]


def test_every_part_runs_with_as_few_rights_as_it_can(project: Mapping[str, Any]) -> None:
    for name in OURS:
        service = project["services"][name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_broker_database_and_bucket_are_reached_by_the_services_alone(
    project: Mapping[str, Any],
) -> None:
    assert project["networks"]["parts"]["internal"]
    for name in PARTS:
        assert set(project["services"][name]["networks"]) == {"parts"}
        assert not project["services"][name].get("ports")


def test_what_is_published_is_published_to_this_machine_only(project: Mapping[str, Any]) -> None:
    for service in project["services"].values():
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}


def test_services_wait_for_the_two_steps_that_prepare(project: Mapping[str, Any]) -> None:
    for service in SERVICES:
        waits = project["services"][service]["depends_on"]
        assert waits["migrate"]["condition"] == "service_completed_successfully"
        assert waits["topology"]["condition"] == "service_completed_successfully"
    for step in ("migrate", "topology"):
        assert project["services"][step]["restart"] == "no"


def test_nothing_but_up_leads_to_the_demonstration(project: Mapping[str, Any]) -> None:
    by_default = {name for name, each in project["services"].items() if not each.get("profiles")}
    demo = project["services"]["demo"]

    assert by_default == PARTS | OURS - {"core"}
    assert demo["command"] == ["darkroom", "demo", "--running"]
    assert set(demo["depends_on"]) == {*SERVICES, "emulator"}


def test_the_core_is_the_system_without_what_stands_in_for_the_world(
    project: Mapping[str, Any],
) -> None:
    waiting, needed = ["core"], set()
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting += list(project["services"][name].get("depends_on", {}))

    assert needed == {"core", "migrate", "topology", *PARTS, *SERVICES}


@pytest.mark.parametrize("missing", PASSWORDS)
def test_a_real_account_is_never_joined_with_the_demonstrations_passwords(missing: str) -> None:
    command = Path(sys.executable).parent / "docker-compose"
    given = dict.fromkeys(PASSWORDS, "chosen") | {missing: ""}

    done = run(
        [command, "-f", COMPOSE, "--env-file", os.devnull, "config", "-q"],
        more=given | {"REPLICATE_API_TOKEN": "r8_of_an_account"},
    )

    assert done.returncode != 0
    assert missing in done.stderr


def test_a_chosen_password_is_the_one_that_both_sides_use() -> None:
    project = _project(*((name, f"chosen-{name}") for name in PASSWORDS))
    services = project["services"]

    assert "chosen-RABBITMQ_PASSWORD" in environment(project, "storage")["AMQP_URL"]
    assert (
        services["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_PASS"] == "chosen-RABBITMQ_PASSWORD"
    )
    assert "chosen-POSTGRES_PASSWORD" in environment(project, "storage")["DATABASE_URL"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == "chosen-POSTGRES_PASSWORD"
    for name in ("storage", "s3"):
        told = environment(project, name)["AWS_SECRET_ACCESS_KEY"]
        assert told == "chosen-AWS_SECRET_ACCESS_KEY"


def test_prometheus_finds_every_service_where_the_file_puts_it(project: Mapping[str, Any]) -> None:
    read = yaml.safe_load((RULES.parent / "prometheus.yaml").read_text(encoding="utf-8"))
    (ours,) = [each for each in read["scrape_configs"] if each["job_name"] == "darkroom"]
    targets = [target for group in ours["static_configs"] for target in group["targets"]]
    mounted = {
        each["source"].rpartition("/")[2] for each in project["services"]["prometheus"]["volumes"]
    }

    assert {target.partition(":")[0] for target in targets} == set(SERVICES)
    assert {"prometheus.yaml", *read["rule_files"]} <= mounted


def test_secrets_of_the_file_are_known_as_secrets(project: Mapping[str, Any]) -> None:
    for service in SERVICES:
        worded = {
            name
            for name, value in environment(project, service).items()
            if "demonstration" in value or value.startswith(("whsec_", "r8_"))
        }
        assert worded <= SECRETS
