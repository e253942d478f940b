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
    reference: str
    job: str
    times_in: str
    unknown_zone: str
    reduced: str
    failures: Mapping[FailureCode | None, str]


EN = Texts(
    report="Report",
    complete="Complete",
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
    reference="Your reference",
    job="Job",
    times_in="Times are in {zone}.",
    unknown_zone="The order asked for the time zone “{asked}”, which is not known.",
    reduced="Pictures are reduced for this page; the stored files keep their full size.",
    failures=words.EN.failures,
)

KO = Texts(
    report="결과 보고서",
    complete="완료",
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
    reference="고객 참조 번호",
    job="작업 번호",
    times_in="모든 시각은 {zone} 기준입니다.",
    unknown_zone="주문에 적힌 시간대 ‘{asked}’은(는) 알 수 없는 시간대입니다.",
    reduced="그림은 이 문서에 맞게 줄여 실었으며, 보관된 파일은 원래 크기 그대로입니다.",
    failures=words.KO.failures,
)

TEXTS: Mapping[Locale, Texts] = {"en": EN, "ko": KO}
