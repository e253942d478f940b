"""The order in which files are shown: the best first, whatever came first."""

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.display import place


@dataclass(frozen=True, kw_only=True)
class File:
    kind: str = "generated"
    ordinal: int | None = 1
    attempt: int | None = 1
    index: int = 0
    variant: str | None = None
    score: float | None = None

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.ordinal}-{self.attempt}-{self.index}-{self.variant}"


files = st.lists(
    st.builds(
        File,
        kind=st.sampled_from(["original", "prepared", "generated", "derived", "report"]),
        ordinal=st.none() | st.integers(1, 3),
        index=st.integers(0, 3),
        variant=st.none() | st.sampled_from(["quantised", "trimmed"]),
        score=st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    ),
    unique_by=lambda file: file.key,
    max_size=12,
)


@given(files, st.randoms(use_true_random=False))
def test_the_ranking_does_not_depend_on_the_order(made: list[File], dice: random.Random) -> None:
    shuffled = list(made)
    dice.shuffle(shuffled)

    assert sorted(shuffled, key=place) == sorted(made, key=place)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_the_best_comes_first_and_nobody_is_left_out(scores: list[float]) -> None:
    made = [File(index=index, score=score) for index, score in enumerate(scores)]

    ranked = sorted(made, key=place)

    assert [file.score for file in ranked] == sorted(scores, reverse=True)


def test_what_the_job_began_with_comes_first_then_slots_then_outputs_before_what_they_became() -> (
    None
):
    shown = [
        File(kind="original", ordinal=None),
        File(kind="prepared"),
        File(index=1, score=0.9),
        File(index=1, score=0.9, kind="derived", variant="quantised"),
        File(index=0, score=0.4),
        File(index=2),
        File(ordinal=2),
        File(kind="report", ordinal=None),
    ]

    as_they_came = [shown[number] for number in (5, 0, 7, 3, 2, 6, 1, 4)]

    assert sorted(as_they_came, key=place) == shown
