"""Every word of a report that is ours, one table per language.

A table is complete because its class wants every field. Why something could not be made is told in
the words of ``shared.words``, as everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared import words
from shared.domain.slot import FailureCode
from shared.settings import Locale


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """``…_one`` is said of one, ``…_many`` of any other number. ``{…}`` takes numbers, names of
    zones and places, and is filled before the page escapes the whole."""

    report: str
    complete: str
    partly: str
    files_one: str
    files_many: str
    failures_one: str
    failures_many: str
    original: str
    original_alt: str
    original_missing: str
    results: str
    no_results: str
    result_alt: str
    result_alt_seed: str
    result_missing: str
    result_no_picture: str
    before_and_after: str
    before: str
    after: str
    after_alt: str
    concepts: str
    concept_alt: str
    by_the_model: str
    by_the_model_alt: str
    score: str
    score_said: str
    score_means: str
    best: str
    colours_used: str
    brief: str
    prompt: str
    surface: str
    surface_said: str
    colours: str
    stencil: str
    stencil_alt: str
    sounds_one: str
    sounds_many: str
    sound_alt: str
    sound_waveform: str
    sound_missing: str
    sound_too_long: str
    not_a_sound: str
    length: str
    loudness: str
    left_out_one: str
    left_out_many: str
    failed_place: str
    seed: str
    prediction: str
    file: str
    none: str
    outcome: str
    ordered: str
    finished: str
    duration: str
    made: str
    missing: str
    number: str
    reference: str
    job: str
    times_in: str
    unknown_zone: str
    reduced: str
    reduced_sounds: str
    failures: Mapping[FailureCode | None, str]


EN = Texts(
    report="Report",
    complete="Complete",
    partly="Partly complete",
    files_one="{n} result",
    files_many="{n} results",
    failures_one="{n} could not be made",
    failures_many="{n} could not be made",
    original="Original",
    original_alt="The original that was sent in",
    original_missing="The original cannot be shown here.",
    results="Results",
    no_results="There is nothing to show.",
    result_alt="Result {place}",
    result_alt_seed="Result {place}, made with seed {seed}",
    result_missing="This picture cannot be shown here. The file itself is stored.",
    result_no_picture="This file is stored; it is not a picture that a page can show.",
    before_and_after="Before and after",
    before="Before",
    after="After",
    after_alt="After: the result that was made from the original",
    concepts="Concepts",
    concept_alt="Concept {place}, in granule colours",
    by_the_model="As the model drew it",
    by_the_model_alt="Concept {place}, as the model drew it before it was put into granule colours",
    score="Score",
    score_said="{score} of 100",
    score_means="Best first. The score says how well the model’s picture fits the granule colours, "
    "and how rich in contrast, how sharp and how complete it is.",
    best="Best",
    colours_used="Shares of the granule colours",
    brief="The brief",
    prompt="Wanted",
    surface="Surface",
    surface_said="{width} × {height} m",
    colours="Granule colours",
    stencil="The stencil that the model began with",
    stencil_alt="Stencil: flat areas of the granule colours in the proportions of the surface",
    sounds_one="Sound",
    sounds_many="Sounds",
    sound_alt="Play sound {place}",
    sound_waveform="Waveform of sound {place}, {length} long",
    sound_missing="This sound cannot be played here. The file itself is stored.",
    sound_too_long="This sound is too long to be played here. The file itself is stored.",
    not_a_sound="This file is stored; it is not a sound that a page can play.",
    length="Length",
    loudness="Loudness",
    left_out_one="One more is stored and not listed here.",
    left_out_many="{n} more are stored and not listed here.",
    failed_place="Number {place} could not be made",
    seed="Seed",
    prediction="Prediction",
    file="File",
    none="none",
    outcome="Outcome",
    ordered="Ordered",
    finished="Finished",
    duration="Time taken",
    made="Made",
    missing="Missing",
    number="Number {places}:",
    reference="Your reference",
    job="Job",
    times_in="Times are in {zone}.",
    unknown_zone="The order asked for the time zone “{asked}”, which is not known.",
    reduced="Pictures are reduced for this page; the stored files keep their full size.",
    reduced_sounds="Sounds are compressed for this page; the stored files keep their full quality.",
    failures=words.EN.failures,
)

KO = Texts(
    report="결과 보고서",
    complete="완료",
    partly="일부 완료",
    files_one="결과 {n}건",
    files_many="결과 {n}건",
    failures_one="만들지 못한 항목 {n}건",
    failures_many="만들지 못한 항목 {n}건",
    original="원본",
    original_alt="보내 주신 원본",
    original_missing="원본을 이 문서에 표시할 수 없습니다.",
    results="결과",
    no_results="표시할 결과가 없습니다.",
    result_alt="결과 {place}",
    result_alt_seed="결과 {place}, 시드 {seed}",
    result_missing="이 그림은 여기에 표시할 수 없습니다. 파일은 안전하게 보관되어 있습니다.",
    result_no_picture="파일은 보관되어 있으며, 그림이 아니어서 이 문서에는 표시되지 않습니다.",
    before_and_after="전후 비교",
    before="작업 전",
    after="작업 후",
    after_alt="작업 후: 원본으로 만든 결과",
    concepts="디자인 시안",
    concept_alt="시안 {place}, 고무칩 색상 적용",
    by_the_model="모델이 그린 그림",
    by_the_model_alt="시안 {place}, 고무칩 색상을 적용하기 전에 모델이 그린 그림",
    score="점수",
    score_said="100점 만점에 {score}점",
    score_means="점수가 높은 순서입니다. 점수는 모델이 그린 그림이 고무칩 색상에 얼마나 잘 맞는지, "
    "대비와 선명도가 좋은지, 화면이 고루 채워졌는지를 나타냅니다.",
    best="최고 점수",
    colours_used="고무칩 색상별 비율",
    brief="의뢰 내용",
    prompt="요청 내용",
    surface="시공 면",
    surface_said="가로 {width} m, 세로 {height} m",
    colours="고무칩 색상",
    stencil="모델이 바탕으로 삼은 스텐실",
    stencil_alt="스텐실: 시공 면의 비율에 맞춘 고무칩 색상 면",
    sounds_one="소리",
    sounds_many="소리",
    sound_alt="소리 {place} 재생",
    sound_waveform="소리 {place}의 파형, 길이 {length}",
    sound_missing="이 소리는 여기에서 재생할 수 없습니다. 파일은 안전하게 보관되어 있습니다.",
    sound_too_long="이 소리는 길어서 여기에서 재생할 수 없습니다. 파일은 안전하게 보관되어 있습니다.",
    not_a_sound="파일은 보관되어 있으며, 소리가 아니어서 이 문서에서는 재생할 수 없습니다.",
    length="길이",
    loudness="음량",
    left_out_one="이 밖에 1건이 더 보관되어 있으며 여기에는 싣지 않았습니다.",
    left_out_many="이 밖에 {n}건이 더 보관되어 있으며 여기에는 싣지 않았습니다.",
    failed_place="{place}번은 만들지 못했습니다",
    seed="시드",
    prediction="예측 ID",
    file="파일",
    none="없음",
    outcome="처리 내역",
    ordered="주문 시각",
    finished="완료 시각",
    duration="소요 시간",
    made="제작 결과",
    missing="누락 항목",
    number="{places}번:",
    reference="고객 참조 번호",
    job="작업 번호",
    times_in="모든 시각은 {zone} 기준입니다.",
    unknown_zone="주문에 적힌 시간대 ‘{asked}’은(는) 알 수 없는 시간대입니다.",
    reduced="그림은 이 문서에 맞게 줄여 실었으며, 보관된 파일은 원래 크기 그대로입니다.",
    reduced_sounds="소리는 이 문서에 맞게 압축하여 실었으며, 보관된 파일은 원래 음질 그대로입니다.",
    failures=words.KO.failures,
)

TEXTS: Mapping[Locale, Texts] = {"en": EN, "ko": KO}
