"""What the chart gives its pods is what the services read, and nothing of somebody else's."""

from pathlib import Path

import pytest

from deploy.check import chart_files
from deploy.check.chart import NotRendered
from deploy.check.settings import MANAGED, SECRETS, plain
from deploy.local.readers import read_by, read_by_any, settings_of
from deploy.local.system import SERVICES
from services.cli.audit import AuditSettings
from services.cli.checks.settings import DoctorSettings
from services.cli.ledger import LedgerSettings
from services.cli.publish import PublishSettings
from shared.recipes import RECIPES
from shared.settings import CommonSettings, read_settings
from tests.deploy.conftest import Render, Rendered, of_kind
from tests.deploy.leaving import leaves_in_time, slowest_message
from tests.deploy.pods import (
    SECRET_VALUES,
    by_secret,
    by_text,
    container,
    deployments,
    environment,
    template,
    toolbox,
)

# Where a service names no bound of its own, the chart's common one stands.
COMMON_SLOWEST = 20


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.crt").touch()
    return tmp_path


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in read_by_any():
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_what_follows_from_the_settings_is_written_as_they_are_now() -> None:
    assert chart_files.stale() == []


def test_every_setting_is_a_secret_or_the_charts_or_an_operators_to_choose() -> None:
    chosen = {name for service in SERVICES for name in plain(service)}

    assert SECRETS | MANAGED | chosen == read_by_any()


def test_every_service_has_a_deployment(documents: Rendered) -> None:
    assert set(deployments(documents)) == set(SERVICES)


def test_every_service_starts_with_what_its_pod_is_given(
    documents: Rendered, nothing_set: pytest.MonkeyPatch, mounts: Path
) -> None:
    for service, deployment in deployments(documents).items():
        with nothing_set.context() as environ:
            for name, value in environment(documents, deployment, mounts=mounts).items():
                environ.setenv(name, value)
            read_settings(settings_of(service))
        assert container(deployment)["command"] == ["python", "-m", f"services.{service}"]


def test_no_pod_is_given_a_secret_that_its_service_does_not_read(documents: Rendered) -> None:
    for service, deployment in deployments(documents).items():
        assert set(by_secret(deployment)) <= read_by(service), service


def test_no_pod_is_given_a_variable_that_nobody_reads(documents: Rendered) -> None:
    for deployment in deployments(documents).values():
        assert set(by_text(documents, deployment)) <= read_by_any()


def test_a_pod_is_given_every_part_that_its_service_reads(render: Render) -> None:
    # Nobody is called back unless a Secret is named.
    documents = render("least", "--set", "secrets.callbacks.name=darkroom-callbacks")
    for service, deployment in deployments(documents).items():
        given = set(by_secret(deployment)) | set(by_text(documents, deployment))
        for name in ("AMQP_URL", "DATABASE_URL", "S3_BUCKET", *SECRET_VALUES):
            assert (name in given) is (name in read_by(service)), (service, name)


def test_the_ingress_has_neither_database_nor_bucket_nor_token(documents: Rendered) -> None:
    deployment = deployments(documents)["ingress"]

    assert set(by_secret(deployment)) == {"AMQP_URL", "REPLICATE_WEBHOOK_SECRET"}
    assert not [name for name in by_text(documents, deployment) if name.startswith(("S3_", "AWS_"))]


def test_each_service_logs_in_as_itself_unless_told_otherwise(render: Render) -> None:
    for service, deployment in deployments(render("least")).items():
        secrets = by_secret(deployment)
        assert secrets["AMQP_URL"] == {"name": "darkroom-broker", "key": service}
        assert secrets.get("DATABASE_URL", {}).get("key") in (service, None)
    for deployment in deployments(render("small")).values():
        assert by_secret(deployment)["AMQP_URL"] == {"name": "darkroom-broker", "key": "url"}


def test_nothing_secret_stands_in_plain_text(documents: Rendered) -> None:
    for data in (each.get("data", {}) for each in of_kind(documents, "ConfigMap").values()):
        assert not SECRETS & set(data)
    assert not of_kind(documents, "Secret")


@pytest.mark.parametrize("kind", [AuditSettings, DoctorSettings, LedgerSettings, PublishSettings])
def test_every_command_of_an_operator_works_in_the_toolbox(
    render: Render, nothing_set: pytest.MonkeyPatch, mounts: Path, kind: type[CommonSettings]
) -> None:
    documents = render("full", "--set", "secrets.bucket.name=darkroom-bucket")
    pod = toolbox(documents)
    assert pod is not None
    for name, value in environment(documents, pod, mounts=mounts).items():
        nothing_set.setenv(name, value)

    read_settings(kind)

    assert {each["key"].split("-")[0] for each in by_secret(pod).values()} == {"operator", "api"}


def test_the_doctor_in_the_toolbox_knows_whose_pages_may_call_the_api(render: Render) -> None:
    documents = render("full")
    pod = toolbox(documents)
    assert pod is not None

    assert by_text(documents, pod)["API_CORS_ORIGINS"] == "https://app.example.com"


def test_what_one_service_is_told_goes_over_what_all_are_told(render: Render) -> None:
    everybodys = "config.API_CORS_ORIGINS=https://every.example.com"
    documents = render("full", "--set", everybodys)
    services, pod = deployments(documents), toolbox(documents)
    assert pod is not None

    told = {
        name: by_text(documents, each)["API_CORS_ORIGINS"]
        for name, each in (services | {"toolbox": pod}).items()
    }

    own = {told.pop("api"), told.pop("toolbox")}
    assert own == {"https://app.example.com"}
    assert set(told.values()) == {"https://every.example.com"}


def test_nobody_has_a_place_to_type_in_unless_it_is_asked_for(render: Render) -> None:
    assert toolbox(render("least")) is None


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_refused_among_the_plain_settings(render: Render, name: str) -> None:
    with pytest.raises(NotRendered, match=name):
        render("least", "--set-string", f"config.{name}={SECRET_VALUES.get(name, 'word')}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("services.report.config.AGGREGATOR_BATCH=3", "AGGREGATOR_BATCH"),
        ("config.LOG_LEVEL=LOUD", "LOG_LEVEL"),
        ("config.DATABASE_POOL_SIZE=1", "DATABASE_POOL_SIZE"),
        ("publicBaseUrl=http://darkroom.example.com", "publicBaseUrl"),
        ("publicBaseUrl=https://darkroom.example.com/hooks", "publicBaseUrl"),
        ("secrets.broker.name=amqps://user:word@broker/darkroom", "secrets/broker/name"),
        ("keda.enabeld=true", "enabeld"),
        ("operators.rabbitmq.replicas=2", "operators/rabbitmq/replicas"),
        ("keda.services.generator.minReplicas=0", "keda/services/generator/minReplicas"),
        ("bucket.endpoint=https://user:word@s3.example.com", "bucket/endpoint"),
    ],
)
def test_a_slip_of_the_pen_is_told_before_anything_is_installed(
    render: Render, words: str, told: str
) -> None:
    with pytest.raises(NotRendered, match=told):
        render("least", "--set", words)


def test_large_numbers_reach_the_service_as_they_were_written(render: Render) -> None:
    documents = render("full")
    told = by_text(documents, deployments(documents)["ingress"])

    assert (told["WEBHOOK_MAX_BYTES"], told["WEBHOOK_BODY_SECONDS"]) == ("33554432", "7.5")


def test_what_a_recipe_reads_can_be_chosen_for_every_service() -> None:
    names = {name for recipe in RECIPES for name in recipe.settings}

    for service in SERVICES:
        assert names <= set(plain(service))


def test_nobody_is_killed_over_work_that_it_may_still_finish(
    documents: Rendered, nothing_set: pytest.MonkeyPatch, mounts: Path
) -> None:
    for service, deployment in deployments(documents).items():
        with nothing_set.context() as environ:
            for name, value in environment(documents, deployment, mounts=mounts).items():
                environ.setenv(name, value)
            settings = read_settings(settings_of(service))
        pause = container(deployment).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        leaves_in_time(
            settings,
            grace_s=template(deployment)["spec"]["terminationGracePeriodSeconds"],
            pause_s=pause.get("seconds", 0),
        )


def test_one_value_moves_all_of_leaving(render: Render) -> None:
    documents = render("least", "--set", "services.storage.slowestMessageSeconds=300")
    storage = deployments(documents)["storage"]
    told = by_text(documents, storage)

    assert told["DOWNLOAD_WITHIN_SECONDS"] == "300"
    assert told["DRAIN_SECONDS"] == "305"
    assert template(storage)["spec"]["terminationGracePeriodSeconds"] == 310


def test_the_common_bound_holds_where_a_service_names_none(render: Render) -> None:
    documents = render("least")
    told = by_text(documents, deployments(documents)["aggregator"])

    assert float(told["DRAIN_SECONDS"]) > COMMON_SLOWEST
    assert slowest_message(settings_of("ingress").model_construct()) < COMMON_SLOWEST


def test_replicas_at_their_most_fit_into_the_database(render: Render) -> None:
    with pytest.raises(
        NotRendered, match=r"could open \d+ connections to the database, which allows 100"
    ):
        render("full", "--set", "database.connections=100")
