"""The waterfall as bars: each in its place, none too thin to see, and few enough to read."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.api.pages.drawing import AT_ONCE, DRAWN, HUES, THIN, WIDE, Hue, drawing
from shared.domain.slot import SlotState
from shared.domain.waterfall import Lane, Segment, Stage, Waterfall

JOB = UUID(int=7)
BEGAN = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def lane(ordinal: int, *parts: tuple[Stage, float]) -> Lane:
    """A slot whose stages follow each other from the order on."""
    segments, at = [], 0.0
    for stage, seconds in parts:
        segments.append(Segment(stage=stage, begins=at, ends=at + seconds, attempt=1))
        at += seconds
    return Lane(ordinal=ordinal, state=SlotState.STORED, attempts=1, segments=tuple(segments))


def fall(*lanes: Lane, report: Segment | None = None) -> Waterfall:
    return Waterfall(job_id=JOB, began_at=BEGAN, lanes=lanes, report=report)


WELL = ((Stage.QUEUE, 1.0), (Stage.RUN, 6.0), (Stage.TRANSIT, 0.001), (Stage.DOWNLOAD, 2.999))


def test_bars_stand_where_their_seconds_are_on_the_scale_of_the_whole_job() -> None:
    made = drawing(fall(lane(1, *WELL), lane(2, (Stage.RUN, 5.0))), over=True)

    assert made is not None
    assert [(bar.x, bar.width, bar.hue) for bar in made.rows[0].bars] == [
        (0.0, 100.0, Hue.PLAN),
        (100.0, 600.0, Hue.RUN),
        (700.0, THIN, Hue.WEBHOOK),
        (700.1, 299.9, Hue.STORE),
    ]
    assert made.rows[1].bars[0].width == 500.0
    assert made.ticks == (0.0, 2.5, 5.0, 7.5, 10.0)


def test_what_took_next_to_no_time_at_the_very_end_is_still_inside_of_the_drawing() -> None:
    made = drawing(fall(lane(1, (Stage.RUN, 9.999999), (Stage.COUNT, 0.000001))), over=True)

    assert made is not None
    last = made.rows[0].bars[-1]
    assert (last.width, last.x + last.width) == (THIN, WIDE)


def test_the_report_has_a_row_of_its_own_and_stretches_the_scale() -> None:
    report = Segment(stage=Stage.REPORT, begins=10.0, ends=20.0)

    made = drawing(fall(lane(1, *WELL), report=report), over=True)

    assert made is not None
    assert made.report is not None
    assert (made.report.bars[0].x, made.report.bars[0].width) == (500.0, 500.0)
    assert made.seconds == 20.0


def test_a_slot_tells_in_words_what_its_colours_tell_the_longest_first() -> None:
    made = drawing(fall(lane(1, *WELL)), over=True)

    assert made is not None
    assert made.rows[0].told["en"] == (
        "the run at Replicate 6.0 s, the download 3.0 s, waiting to be bought 1.0 s"
    )
    assert "Replicate 실행 6.0초" in made.rows[0].told["ko"]


def test_many_slots_are_folded_behind_the_first_and_the_legend_counts_all() -> None:
    made = drawing(fall(*(lane(n, (Stage.RUN, 1.0)) for n in range(1, 101))), over=True)

    assert made is not None
    assert [row.ordinal for row in made.rows] == list(range(1, AT_ONCE + 1))
    assert len(made.folded) == 100 - AT_ONCE
    assert made.legend == ((Hue.RUN, 100.0),)


def test_of_very_many_the_last_ones_are_drawn_and_the_rest_is_counted() -> None:
    lanes = [lane(n, (Stage.RUN, 100.0 if n == 999 else 1.0)) for n in range(1, 1001)]

    made = drawing(fall(*lanes), over=True)

    assert made is not None
    drawn = [row.ordinal for row in made.drawn]
    assert len(drawn) == DRAWN
    assert 999 in drawn
    assert made.more == 1000 - DRAWN
    assert made.slowest_at == 999


def test_who_was_last_is_said_when_all_are_there() -> None:
    under_way = fall(lane(1, (Stage.RUN, 1.0)), lane(2, (Stage.RUN, 2.0)))

    so_far, at_the_end = drawing(under_way, over=False), drawing(under_way, over=True)

    assert so_far is not None
    assert at_the_end is not None
    assert (so_far.slowest_at, so_far.sentence) == (None, None)
    assert at_the_end.slowest_at == 2
    assert at_the_end.sentence is not None


def test_nothing_is_drawn_of_a_job_that_has_no_time_yet() -> None:
    assert drawing(fall(), over=False) is None
    assert drawing(fall(lane(1)), over=False) is None


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_has_a_colour(stage: Stage) -> None:
    assert stage in HUES
