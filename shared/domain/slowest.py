"""The waterfall in words: the part that took longest as a sentence, and all of it as plain data."""

from collections.abc import Mapping
from typing import Any

from shared.domain.clocks import Clock
from shared.domain.telling import taken_over
from shared.domain.waterfall import Lane, Segment, Stage, Waterfall
from shared.words import Words

# What a stage is called where it is shown, and in a sentence about where the time went.
STAGES: Mapping[Stage, Words] = {
    Stage.ORDER: {"en": "the order on its way", "ko": "주문 전달"},
    Stage.PLAN: {"en": "planning the job", "ko": "작업 계획"},
    Stage.REUSE: {
        "en": "taking over what the job before had stored",
        "ko": "이전 작업의 결과 가져오기",
    },
    Stage.QUEUE: {"en": "waiting to be bought", "ko": "구매 대기"},
    Stage.TURNED_AWAY: {
        "en": "orders that Replicate did not take",
        "ko": "접수되지 않은 제작 요청",
    },
    Stage.DOUBT: {"en": "an order in doubt", "ko": "접수 여부가 불확실한 제작 요청"},
    Stage.LOST_ATTEMPT: {
        "en": "an earlier attempt that brought nothing",
        "ko": "결과를 얻지 못한 이전 시도",
    },
    Stage.AGAIN: {"en": "waiting for another attempt", "ko": "재시도 대기"},
    Stage.CREATE: {"en": "ordering it at Replicate", "ko": "Replicate 제작 요청"},
    Stage.PROVIDER_QUEUE: {"en": "the queue at Replicate", "ko": "Replicate 대기열"},
    Stage.RUN: {"en": "the run at Replicate", "ko": "Replicate 실행"},
    Stage.PROVIDER: {"en": "queue and run at Replicate", "ko": "Replicate 대기와 실행"},
    Stage.WEBHOOK_AGAIN: {
        "en": "webhooks that did not get through",
        "ko": "전달되지 못한 웹훅의 재전송",
    },
    Stage.SILENCE: {"en": "a webhook that never came", "ko": "오지 않은 웹훅"},
    Stage.TRANSIT: {"en": "the webhook on its way", "ko": "웹훅 전송"},
    Stage.ACK: {"en": "taking the webhook in", "ko": "웹훅 접수"},
    Stage.BROKER: {"en": "the message broker", "ko": "메시지 브로커"},
    Stage.HELD: {"en": "waiting for the database", "ko": "데이터베이스 복구 대기"},
    Stage.REPEATED: {"en": "work that was begun anew", "ko": "처음부터 다시 한 처리"},
    Stage.TRIED: {"en": "tries that did not work out", "ko": "실패한 처리 시도"},
    Stage.PARKED: {"en": "waiting for the next try", "ko": "다음 처리 시도 대기"},
    Stage.TURN: {"en": "waiting for a place to download", "ko": "내려받기 순서 대기"},
    Stage.DOWNLOAD: {"en": "the download", "ko": "파일 내려받기"},
    Stage.FINISH: {"en": "checking and finishing the files", "ko": "파일 검사와 마무리"},
    Stage.UPLOAD: {"en": "the upload to our bucket", "ko": "저장소 업로드"},
    Stage.STORE: {"en": "storing the files", "ko": "파일 저장"},
    Stage.RECORD: {"en": "writing it down", "ko": "결과 기록"},
    Stage.COUNT: {"en": "counting it", "ko": "집계"},
    Stage.REPORT: {"en": "the report", "ko": "보고서"},
    Stage.OTHER: {"en": "what nothing on record explains", "ko": "기록으로 설명되지 않는 부분"},
}

CLOCKS: Mapping[Clock, Words] = {
    Clock.DATABASE: {"en": "the database", "ko": "데이터베이스"},
    Clock.PUBLISHER: {"en": "whoever ordered", "ko": "주문한 쪽"},
    Clock.GENERATOR: {"en": "the generator", "ko": "generator"},
    Clock.PROVIDER: {"en": "Replicate", "ko": "Replicate"},
    Clock.INGRESS: {"en": "the ingress", "ko": "ingress"},
    Clock.STORAGE: {"en": "storage", "ko": "storage"},
}

_CONTRADICT: Words = {
    "en": "The clocks contradict each other; what they leave open is not named.",
    "ko": "시계들이 서로 맞지 않습니다. 그로 인해 알 수 없는 시간은 이름 없이 남겨 두었습니다.",
}
_NOTHING: Words = {"en": "No time has passed yet.", "ko": "아직 지난 시간이 없습니다."}


def told_span(seconds: float) -> Words:
    """So many seconds as people say it."""
    if seconds < 0.9995:
        return _both(f"{seconds * 1000:.0f} ms", f"{seconds * 1000:.0f}ms")
    if seconds < 119.95:
        return _both(f"{seconds:.1f} s", f"{seconds:.1f}초")
    if seconds < 7200:
        return _both(f"{seconds / 60:.1f} min", f"{seconds / 60:.1f}분")
    return _both(f"{seconds / 3600:.1f} h", f"{seconds / 3600:.1f}시간")


def slowest(lane: Lane) -> tuple[Stage, float] | None:
    """The stage that took most of a slot's time, and its seconds; None: there is no time yet."""
    taken = lane.by_stage()
    return max(taken.items(), key=lambda one: one[1], default=None)


def sentence(fall: Waterfall) -> Words:
    """Where most of the time went of the slot that the job waited for."""
    lane = fall.last
    most = None if lane is None else slowest(lane)
    if lane is None or most is None:
        return _NOTHING
    stage, seconds = most
    share = f"{seconds / lane.seconds:.0%}"
    took, whole, what = told_span(seconds), told_span(lane.seconds), STAGES[stage]
    if len(fall.lanes) == 1:
        return _both(
            f"{share} of its {whole['en']} went into {what['en']} ({took['en']}).",
            f"전체 {whole['ko']} 가운데 {share}({took['ko']})가 '{what['ko']}'에 쓰였습니다.",
        )
    return _both(
        f"Slot {lane.ordinal} was the last: {share} of its {whole['en']} went into {what['en']} "
        f"({took['en']}).",
        f"가장 늦은 {lane.ordinal}번 항목은 전체 {whole['ko']} 가운데 "
        f"{share}({took['ko']})가 '{what['ko']}'에 쓰였습니다.",
    )


def where_from(lane: Lane) -> Words | None:
    """Where the files of a slot come from for which nothing was bought; None: they were."""
    return None if lane.reused_from is None else taken_over(lane.reused_from)


def about_clocks(lane: Lane) -> tuple[Words, ...]:
    """A sentence for each clock that had to be shifted, or one that says that nothing helped."""
    if lane.shifts is None:
        return (_CONTRADICT,)
    return tuple(_about_clock(clock, by) for clock, by in lane.shifts.items())


def _about_clock(clock: Clock, by: float) -> Words:
    off, whose = told_span(abs(by)), CLOCKS[clock]
    # What must be taken away was too much: that clock is ahead.
    en, ko = ("ahead of", "빠릅니다") if by < 0 else ("behind", "느립니다")
    return _both(
        f"The clock of {whose['en']} is at least {off['en']} {en} the database's; "
        "its times are shifted.",
        f"{whose['ko']}의 시계가 데이터베이스보다 {off['ko']} 이상 {ko}. 그만큼 옮겨서 계산했습니다.",
    )


def as_data(fall: Waterfall) -> dict[str, Any]:
    """All of it in plain values, for programs and pages: seconds are since ``began_at``, shares
    0 to 1, words by language."""
    last = fall.last
    most = None if last is None else slowest(last)
    return {
        "job_id": str(fall.job_id),
        "began_at": fall.began_at.isoformat(),
        "seconds": max((lane.ends for lane in fall.lanes), default=0.0),
        "named": fall.named,
        "sentence": dict(sentence(fall)),
        "slowest": None
        if last is None or most is None
        else {"ordinal": last.ordinal, "stage": most[0].value, "seconds": most[1]},
        "slots": [_lane(lane) for lane in fall.lanes],
        "report": None if fall.report is None else _segment(fall.report),
    }


def _lane(lane: Lane) -> dict[str, Any]:
    return {
        "ordinal": lane.ordinal,
        "state": lane.state.value,
        "attempts": lane.attempts,
        "reused_from": None if lane.reused_from is None else str(lane.reused_from),
        "where_from": dict(words) if (words := where_from(lane)) else None,
        "seconds": lane.seconds,
        "named": lane.named,
        "clocks": None
        if lane.shifts is None
        else {clock.value: by for clock, by in lane.shifts.items()},
        "about_clocks": [dict(words) for words in about_clocks(lane)],
        "segments": [_segment(segment) for segment in lane.segments],
    }


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "stage": segment.stage.value,
        "begins": segment.begins,
        "ends": segment.ends,
        "seconds": segment.seconds,
        "attempt": segment.attempt,
        "words": dict(STAGES[segment.stage]),
    }


def _both(en: str, ko: str) -> Words:
    return {"en": en, "ko": ko}
