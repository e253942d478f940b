"""The table says of each fault how often it was, and of each finding in what weather it was lost."""

from deploy.local.prove.plugs import DONE, SKIPPED, Pulled
from deploy.local.prove.schedule import Pull
from deploy.local.prove.table import Lived, Row, lines, rows
from deploy.local.prove.verdict import Finding, Verdict
from deploy.local.prove.watch import Growth, Owed


def a_pull(plug: str, *, out_at: float, back_at: float, settled_at: float | None = None) -> Pulled:
    pull = Pull(number=1, at=0.0, plug=plug, aim="storage-a", seconds=0.0)
    return Pulled(pull=pull, out_at=out_at, back_at=back_at, settled_at=settled_at)


def the_row(table: list[Row], fault: str) -> Row:
    [row] = [row for row in table if row.fault == fault]
    return row


def test_a_loss_counts_for_the_plugs_that_its_job_lived_through_and_for_no_other() -> None:
    table = rows(
        [
            a_pull("kill", out_at=10, back_at=11, settled_at=14),
            a_pull("broker", out_at=30, back_at=35, settled_at=40),
        ],
        {"duplicate": 3},
        Verdict(lost=(Finding("p1", "gone"),)),
        {"p1": Lived(12, 13, frozenset({"drop_terminal"}))},
        faults=["kill", "broker", "webhooks"],
        spoiled=0,
    )

    assert the_row(table, "kill").lost == 1
    assert the_row(table, "broker").lost == 0
    assert the_row(table, "webhooks: drop_terminal").lost == 1
    assert the_row(table, "webhooks: duplicate").lost == 0
    assert the_row(table, "webhooks: duplicate").injected == 3


def test_a_row_of_the_matrix_tells_k_of_n_and_what_was_missed_is_not_in_k() -> None:
    pulled = [a_pull("kill", out_at=0, back_at=1, settled_at=s) for s in (3.0, 9.0, 5.0)]
    missed = a_pull("kill", out_at=0, back_at=1)
    missed.outcome = SKIPPED

    row = the_row(rows([*pulled, missed], {}, Verdict(), {}, faults=["kill"], spoiled=0), "kill")

    assert (row.injected, row.missed, row.matrix) == (3, 1, "F2: 3 of 300")
    assert (row.median, row.worst) == (4.0, 8.0)
    assert pulled[0].outcome == DONE


def test_the_lines_name_every_fault_and_tell_what_was_not_measured_apart_from_zero() -> None:
    table = rows([], {}, Verdict(), {}, faults=["kill", "s3"], spoiled=12)

    head, kill, s3 = list(lines(table))
    assert head.startswith("fault")
    assert kill.startswith("kill")
    assert "–" in kill
    assert s3.endswith("F15: 12 of 1000 requests")


def test_nothing_is_settled_while_something_older_is_owed() -> None:
    owed = Owed({"parked": 100.0, "unpublished": 120.0}, {})

    assert not owed.nothing_before(110.0)
    assert owed.nothing_before(99.0)
    assert owed.oldest_kind == "parked"
    assert Owed({}, {}).nothing_before(1e12)


def test_growth_is_told_of_a_process_that_lived_long_enough_and_never_guessed() -> None:
    leaking = Growth([(float(age), 100.0 + age / 36.0) for age in range(0, 200, 2)])
    young = Growth([(float(age), 100.0 + age) for age in range(0, 60, 2)])

    slope = leaking.slope()
    assert slope is not None
    assert abs(slope - 100.0) < 1e-6
    assert young.slope() is None
