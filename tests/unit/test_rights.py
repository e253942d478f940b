"""Who may do what: the tables hold what the code needs, and nothing beside."""

import re
from pathlib import Path

import pytest

from deploy.local.logins import BUYERS
from shared.domain.refusal import WEBHOOK_REFUSED
from shared.errors import Misconfigured
from shared.events import TYPES
from shared.messaging import topology
from shared.messaging.topology import FOR_OTHERS, FROM_OTHERS, QUEUES, SERVICES
from shared.rights import broker, bucket, database
from shared.rights.accounts import KEDA, OPERATOR, PARTIES, PUBLISHER, SUBSCRIBER
from shared.rights.passwords import for_postgres, for_rabbitmq, read_passwords
from tests.support.sql_reach import PROJECT, Asked, asked_by
from tests.support.sql_reach import tables as known_tables

SERVICE_NAMES = [service.name for service in SERVICES]
SOURCE_OF = {OPERATOR: "cli"}


def source_of(service: str) -> str:
    files = (PROJECT / "services" / service).glob("*.py")
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def granted(party: str) -> dict[str, Asked]:
    """The rights of a role, in the form in which the source is read."""
    return {
        table: Asked(
            verbs={"SELECT"}
            | ({"INSERT"} if rights.inserts else set())
            | ({"DELETE"} if rights.deletes else set()),
            updates=set(rights.updates),
        )
        for table, rights in database.RIGHTS.get(party, {}).items()
    }


@pytest.mark.parametrize("party", [*SERVICE_NAMES, OPERATOR])
def test_a_role_may_do_in_the_database_what_its_code_asks_and_no_more(party: str) -> None:
    asked = asked_by(SOURCE_OF.get(party, party), known_tables())

    assert granted(party) == asked


@pytest.mark.parametrize(
    ("part", "with_account"),
    [
        ("database", set(database.RIGHTS)),
        ("bucket", set(bucket.RIGHTS)),
        ("replicate", set(BUYERS)),
    ],
)
def test_a_service_has_an_account_for_what_it_opens_and_for_nothing_else(
    part: str, with_account: set[str]
) -> None:
    opened = {name for name in SERVICE_NAMES if f"connections.{part}(" in source_of(name)}

    assert opened == with_account & set(SERVICE_NAMES)


def test_the_ingress_has_no_role() -> None:
    assert "ingress" not in database.RIGHTS


def test_the_aggregator_writes_of_a_slot_only_that_it_was_counted() -> None:
    assert database.RIGHTS["aggregator"]["slot"].updates == ("counted_at",)


def test_nobody_changes_what_the_journal_says_and_only_who_keeps_the_times_takes_it_away() -> None:
    for party, tables in database.RIGHTS.items():
        rights = tables["journal"]
        assert not {"event_id", "type", "source", "recorded_at"} & set(rights.updates)
        assert rights.deletes is (party == "reconciler")
        assert bool({"body", "headers"} & set(rights.updates)) is (
            party in ("reconciler", OPERATOR)
        )


def test_every_fact_is_stated_by_somebody() -> None:
    stated = {fact for service in SERVICES for fact in service.states}

    assert stated | set(FROM_OTHERS) == set(TYPES)


def test_every_queue_has_one_service_that_listens() -> None:
    listened = [queue.name for service in SERVICES for queue in service.listens]

    assert sorted(listened) == sorted(queue.name for queue in QUEUES)


def may(expression: str, name: str) -> bool:
    return re.search(expression, name) is not None


@pytest.mark.parametrize("service", SERVICES, ids=SERVICE_NAMES)
def test_a_service_reads_its_own_queues_and_declares_nothing(service: topology.Service) -> None:
    rights = broker.RIGHTS[service.name]

    readable = {queue.name for queue in QUEUES if may(rights.read, queue.name)}
    assert readable == {queue.name for queue in service.listens}
    declarable = {queue.name for queue in QUEUES if may(rights.configure, queue.name)}
    assert declarable == set()
    assert may(rights.configure, "amq.gen-x") is bool(service.watches)


def test_only_the_reconciler_puts_messages_straight_into_queues() -> None:
    can = {party for party, known in broker.RIGHTS.items() if may(known.write, "amq.default")}

    assert can == {"reconciler", "topology"}


@pytest.mark.parametrize("service", [s for s in SERVICES if not s.returns], ids=lambda s: s.name)
def test_a_service_states_its_own_facts_and_nobody_elses(service: topology.Service) -> None:
    rights = broker.RIGHTS[service.name]

    assert {fact for fact in TYPES if may(rights.routes_to, fact)} == set(service.states)
    assert {fact for fact in TYPES if may(rights.binds_by, fact)} == set(service.watches)
    assert not may(rights.binds_by, "#")


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        (broker.RIGHTS["storage"].routes_to, "artifacts.stored.more"),
        (broker.RIGHTS["storage"].routes_to, "artifactsXstored"),
        (broker.RIGHTS["report"].read, "darkroom.report.jobs2"),
        (broker.RIGHTS[SUBSCRIBER].read, "darkroom.report.jobs"),
        (broker.RIGHTS[SUBSCRIBER].configure, "darkroom.subscriber.x"),
        (broker.RIGHTS[SUBSCRIBER].binds_by, "#"),
        (broker.RIGHTS[SUBSCRIBER].binds_by, "prediction.succeeded"),
        (broker.RIGHTS[PUBLISHER].routes_to, "job.completed"),
        (broker.RIGHTS[KEDA].read, "darkroom.storage.outputs"),
    ],
)
def test_what_is_nearly_a_name_is_not_that_name(expression: str, name: str) -> None:
    assert not may(expression, name)


def test_other_teams_hear_no_words_of_the_provider_and_no_orders() -> None:
    inside = {fact for fact in TYPES if fact.startswith(("prediction.", "upload."))}

    assert not (inside | {WEBHOOK_REFUSED}) & set(FOR_OTHERS)


def test_an_account_without_topic_rights_would_have_all_so_everybody_has_some() -> None:
    made = broker.definitions("v", {})

    assert [p["user"] for p in made["topic_permissions"]] == [  # type: ignore[attr-defined]
        u["name"]
        for u in made["users"]  # type: ignore[attr-defined]
    ]


def test_printed_users_without_a_password_cannot_log_in() -> None:
    users = broker.definitions("v", {"storage": "hash"})["users"]

    assert {u["name"]: u["password_hash"] for u in users}["darkroom_storage"] == "hash"  # type: ignore[attr-defined]
    assert {u["name"]: u["password_hash"] for u in users}["darkroom_report"] == ""  # type: ignore[attr-defined]


def test_every_party_of_a_table_has_an_account() -> None:
    assert set(broker.RIGHTS) == set(PARTIES)
    assert set(database.RIGHTS) | set(bucket.RIGHTS) <= set(PARTIES)


def test_a_policy_names_the_bucket_and_lets_only_the_operator_and_the_reconciler_delete() -> None:
    assert "darkroom-eu/jobs/*/report/*" in str(bucket.policy("report", "darkroom-eu"))
    deleting = {p for p in bucket.RIGHTS if "s3:DeleteObject" in str(bucket.policy(p, "b"))}
    assert deleting == {OPERATOR, "reconciler"}


def test_folders_of_sources_are_read_by_whoever_plans_and_reports() -> None:
    reading = {
        p for p in bucket.RIGHTS if "b/shared/*" in str(bucket.policy(p, "b", sources=["shared/"]))
    }

    assert reading == {"generator", "report", "api", OPERATOR}


def test_a_kept_password_does_not_hold_the_word() -> None:
    word = "a-very-long-password"

    assert word not in for_postgres(word, salt=bytes(16)) + for_rabbitmq(word, salt=bytes(4))
    assert for_postgres(word, salt=bytes(16)) != for_postgres(word + "!", salt=bytes(16))
    assert for_rabbitmq(word, salt=bytes(4)) != for_rabbitmq(word + "!", salt=bytes(4))


class TestPasswords:
    def test_they_lie_in_a_folder_one_file_a_party(self, tmp_path: Path) -> None:
        (tmp_path / "storage").write_text("0123456789abcdef\n")
        (tmp_path / "..data").mkdir()  # as a mounted secret has it

        assert read_passwords(tmp_path, PARTIES) == {"storage": "0123456789abcdef"}

    @pytest.mark.parametrize(
        ("name", "word", "told"),
        [
            ("storage", "short", "at least 16"),
            ("storage", "sixteen lettersé", "ASCII"),
            ("storrage", "0123456789abcdef", "nobody is called so"),
        ],
    )
    def test_what_cannot_be_one_is_told_without_the_word(
        self, tmp_path: Path, name: str, word: str, told: str
    ) -> None:
        (tmp_path / name).write_text(word)

        with pytest.raises(Misconfigured, match=told) as refused:
            read_passwords(tmp_path, PARTIES)

        assert word not in str(refused.value)

    def test_a_missing_folder_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="no passwords can be read"):
            read_passwords(tmp_path / "nowhere", PARTIES)
