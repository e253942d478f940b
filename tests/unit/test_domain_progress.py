"""How far a run has come, by the progress bars in its logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.progress import TAIL, progress_of


def bar(done: int, total: int = 50) -> str:
    """A line as tqdm draws it."""
    percent = round(100 * done / total)
    drawn = "█" * (percent // 10) + " " * (10 - percent // 10)
    return f"{percent:3d}%|{drawn}| {done}/{total} [00:{done % 60:02d}<00:09,  4.61it/s]"


SDXL = "Using seed: 7\nPrompt: a lighthouse\ntxt2img mode\n" + "\r".join(map(bar, range(24)))


def test_the_last_bar_says_how_far_the_run_is() -> None:
    assert progress_of(SDXL) == 23 / 50


@pytest.mark.parametrize("between", ["\r", "\n", "\r\n", "\n\r", "\x1b[A\r"])
def test_a_bar_is_found_however_its_lines_end(between: str) -> None:
    assert progress_of(between.join([bar(1), bar(2), bar(40), ""])) == 0.8


@pytest.mark.parametrize(
    ("logs", "progress"),
    [
        ("  0%|          | 0/50 [00:00<?, ?it/s]", 0.0),
        ("100%|██████████| 50/50 [00:11<00:00,  4.4it/s]", 1.0),
        ("sampling:  45%|####5     | 9/20 [00:03<00:04, 2.5it/s]", 0.45),
        (" 33%|███▎      | 1.0k/3.0k [00:01<00:02, 700B/s]", 0.33),
        (" 67%|██████▋   | 2/3", 0.67),
        (bar(50) + "\n" + bar(3, 10), 0.3),  # a second model begins
        (bar(5) + "\nDecoding…\nUploading 1 file", 0.1),
    ],
)
def test_a_bar_of_any_kind_is_read(logs: str, progress: float) -> None:
    assert progress_of(logs) == pytest.approx(progress)


@pytest.mark.parametrize(
    "logs",
    [
        "",
        "Using seed: 7",
        "100% done",
        "17it [00:03, 5.1it/s]",
        "999%|█| 9/1 [00:00<00:00, 1it/s]",
        "9100%|███| no bar",
        "4.50%|███| no bar",
        "50%|never closed",
        "٤٥%|███| ٩/٢٠ [00:03<00:04]",
        "0/0 [00:00<?, ?it/s]",
    ],
)
def test_what_is_no_bar_says_nothing(logs: str) -> None:
    assert progress_of(logs) is None


def test_a_bar_that_claims_too_much_leaves_the_one_before_it() -> None:
    assert progress_of(f"{bar(10)}\r250%|██████████| 5/2 [00:01<00:00]") == 0.2


def test_a_bar_of_nothing_at_all_is_read_by_its_percent() -> None:
    assert progress_of(" 50%|█████     | 0/0 [00:00<?]") == 0.5


def test_only_the_tail_of_endless_logs_is_looked_at() -> None:
    assert progress_of(bar(10) + "\n" + "x" * TAIL) is None
    assert progress_of("x\n" * 5_000_000 + bar(10)) == 0.2


@pytest.mark.parametrize("kept", range(TAIL - 60, TAIL + 1))
def test_a_line_that_the_tail_cuts_is_not_believed(kept: int) -> None:
    logs = bar(50) + "\n" + "x" * (kept - 1)

    assert progress_of(logs) in (None, 1.0)


@given(st.text(max_size=300), st.integers(0, 50), st.text(alphabet="\r\nabc │░%/", max_size=300))
def test_junk_around_a_bar_breaks_nothing(before: str, done: int, after: str) -> None:
    assert progress_of(f"{before}\n{bar(done)}\n{after}") == done / 50


@given(st.text(alphabet="0123456789%|/[]\r\n █", max_size=5000))
def test_whatever_logs_say_progress_is_between_none_and_all(logs: str) -> None:
    progress = progress_of(logs)

    assert progress is None or 0 <= progress <= 1
