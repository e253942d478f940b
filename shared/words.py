"""What people are told about jobs, in every language that we speak.

A table is complete because its class wants every field, and every key of those that are chosen by
one. ``{…}`` takes numbers, and words of others where the field says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.doing import Doing
from shared.domain.slot import FailureCode

# What is said to people, by language: {"en": …, "ko": …}.
Words = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """``…_one`` is said of one, ``…_many`` of any other number.

    ``alone`` is all that is said of a job with one slot; ``all_are``, ``one_is`` and ``many_are``
    take ``doing`` for jobs of several, and the whole list ends with ``list_end``. ``{percent}``
    is put in by ``percent`` where progress is known. ``failures`` are sentences, ``because`` the
    same in a few words; their key None is for what was undone when the deadline ended the job.
    """

    alone: Mapping[Doing, str]
    doing: Mapping[Doing, str]
    percent: str
    all_are: str
    one_is: str
    many_are: str
    list_end: str
    closing: str
    ready: str
    ready_one: str
    ready_many: str
    ready_all: str
    ready_only: str
    ready_none: str
    lost_one: str
    lost_many: str
    missing: str
    missing_one: str
    missing_places: str
    missing_count: str
    unusable_one: str
    unusable_many: str
    kept_one: str
    kept_many: str
    report_pending: str
    report_published: str
    report_failed: str
    not_planned: str
    unread: str
    canceled: str
    provider_says: str
    slot_stored: str
    slot_reused: str
    slot_canceled: str
    failures: Mapping[FailureCode | None, str]
    because: Mapping[FailureCode | None, str]

    def __post_init__(self) -> None:
        codes: set[StrEnum | None] = {*FailureCode, None}
        for table, keys in (
            (self.alone, set(Doing)),
            (self.doing, set(Doing)),
            (self.failures, codes),
            (self.because, codes),
        ):
            if set(table) != keys:
                raise TypeError(f"words are missing, or too many: {set(table) ^ keys}")


EN = Vocabulary(
    alone={
        Doing.WAITING: "Your order is in. It goes to the model in a moment.",
        Doing.HELD: "Today's limit on what such orders may cost is reached. It goes on by itself when "
        "there is room again.",
        Doing.AGAIN: "The last try came to nothing. It will be tried again.",
        Doing.ORDERING: "It is being ordered from the model.",
        Doing.CHECKING: "We are finding out whether the model took the order.",
        Doing.QUEUED: "Waiting for a GPU.",
        Doing.MAKING: "It is being made{percent}.",
        Doing.FETCHING: "It is made, and is being fetched and stored.",
    },
    doing={
        Doing.WAITING: "about to be ordered",
        Doing.HELD: "held back by today's limit on what such orders may cost",
        Doing.AGAIN: "about to be tried again",
        Doing.ORDERING: "being ordered from the model",
        Doing.CHECKING: "being checked with the model",
        Doing.QUEUED: "waiting for a GPU",
        Doing.MAKING: "being made{percent}",
        Doing.FETCHING: "being fetched and stored",
    },
    percent=" ({n} %)",
    all_are="{n} of {n} are {doing}.",
    one_is="1 is {doing}",
    many_are="{n} are {doing}",
    list_end=".",
    closing="That was the last of it. The job is being closed.",
    ready="It is ready.",
    ready_one="1 of {n} is ready.",
    ready_many="{ready} of {n} are ready.",
    ready_all="{n} of {n} are ready.",
    ready_only="Only {ready} of {n} could be made.",
    ready_none="0 of {n} could be made.",
    lost_one="1 could not be made.",
    lost_many="{lost} could not be made.",
    missing="Missing: {list}.",
    missing_one="number {place} ({because})",
    missing_places="numbers {places} ({because})",
    missing_count="{count} of them ({because})",
    unusable_one="1 file of it could not be used.",
    unusable_many="{count} files of it could not be used.",
    kept_one="What was ready before is kept: 1 of {n}.",
    kept_many="What was ready before is kept: {ready} of {n}.",
    report_pending="The report is being made.",
    report_published="The report is ready too.",
    report_failed="The report could not be made.",
    not_planned="The order could not be carried out: {reason}",
    unread="The order says more than is read here: {names}.",
    canceled="The job was canceled.",
    provider_says="The provider says: {detail}",
    slot_stored="ready",
    slot_reused="ready, taken over from the job before",
    slot_canceled="canceled",
    failures={
        FailureCode.NSFW: "It was held back by the model's content filter.",
        FailureCode.CANCELED: "Its making was stopped before it was done.",
        FailureCode.ABORTED: "It could not be started in time.",
        FailureCode.EXPIRED: "It was made, but was deleted before it could be saved.",
        FailureCode.INVALID_INPUT: "The model did not accept what it was given.",
        FailureCode.NO_OUTPUT: "The model ended without a result.",
        FailureCode.PROVIDER: "Something went wrong while the model worked on it.",
        FailureCode.UNUSABLE_OUTPUT: "What the model delivered was not a usable file.",
        FailureCode.NOT_STORED: "It was made, but could not be saved.",
        None: "It was not done when the deadline of the order came.",
    },
    because={
        FailureCode.NSFW: "held back by the model's content filter",
        FailureCode.CANCELED: "stopped before it was done",
        FailureCode.ABORTED: "not started in time",
        FailureCode.EXPIRED: "deleted before it could be saved",
        FailureCode.INVALID_INPUT: "not accepted by the model",
        FailureCode.NO_OUTPUT: "the model gave no result",
        FailureCode.PROVIDER: "something went wrong while the model worked",
        FailureCode.UNUSABLE_OUTPUT: "not a usable file",
        FailureCode.NOT_STORED: "could not be saved",
        None: "not done by the deadline of the order",
    },
)

KO = Vocabulary(
    alone={
        Doing.WAITING: "주문이 접수되었습니다. 곧 모델에 제작을 요청합니다.",
        Doing.HELD: "이 종류의 주문에 정해진 하루 비용 한도에 도달했습니다. "
        "여유가 생기면 자동으로 이어서 진행합니다.",
        Doing.AGAIN: "이번 시도는 결과를 얻지 못했습니다. 다시 시도하겠습니다.",
        Doing.ORDERING: "모델에 제작을 요청하고 있습니다.",
        Doing.CHECKING: "제작 요청이 전달되었는지 확인하고 있습니다.",
        Doing.QUEUED: "GPU를 기다리고 있습니다.",
        Doing.MAKING: "만들고 있습니다{percent}.",
        Doing.FETCHING: "완성되었습니다. 파일을 받아 보관하고 있습니다.",
    },
    doing={
        Doing.WAITING: "제작 요청을 기다리는 중",
        Doing.HELD: "하루 비용 한도 때문에 기다리는 중",
        Doing.AGAIN: "다시 시도하기를 기다리는 중",
        Doing.ORDERING: "제작을 요청하는 중",
        Doing.CHECKING: "요청이 전달되었는지 확인하는 중",
        Doing.QUEUED: "GPU를 기다리는 중",
        Doing.MAKING: "만드는 중{percent}",
        Doing.FETCHING: "파일을 받아 보관하는 중",
    },
    percent="({n}%)",
    all_are="{n}개 모두 {doing}입니다.",
    one_is="1개는 {doing}",
    many_are="{n}개는 {doing}",
    list_end="입니다.",
    closing="제작이 모두 끝났습니다. 작업을 마무리하고 있습니다.",
    ready="준비되었습니다.",
    ready_one="{n}개 중 1개가 준비되었습니다.",
    ready_many="{n}개 중 {ready}개가 준비되었습니다.",
    ready_all="{n}개 모두 준비되었습니다.",
    ready_only="{n}개 중 {ready}개만 만들 수 있었습니다.",
    ready_none="{n}개 모두 만들지 못했습니다.",
    lost_one="1개는 만들지 못했습니다.",
    lost_many="{lost}개는 만들지 못했습니다.",
    missing="빠진 항목: {list}.",
    missing_one="{place}번({because})",
    missing_places="{places}번({because})",
    missing_count="{count}개({because})",
    unusable_one="파일 1개는 사용할 수 없었습니다.",
    unusable_many="파일 {count}개는 사용할 수 없었습니다.",
    kept_one="그 전에 준비된 {n}개 중 1개는 보관되어 있습니다.",
    kept_many="그 전에 준비된 {n}개 중 {ready}개는 보관되어 있습니다.",
    report_pending="보고서를 만들고 있습니다.",
    report_published="보고서도 준비되었습니다.",
    report_failed="보고서는 만들지 못했습니다.",
    not_planned="주문을 진행할 수 없습니다: {reason}",
    unread="주문에 사용되지 않은 항목이 있습니다: {names}.",
    canceled="작업이 취소되었습니다.",
    provider_says="제공업체가 알려 온 이유: {detail}",
    slot_stored="준비됨",
    slot_reused="준비됨(이전 작업에서 가져옴)",
    slot_canceled="취소됨",
    failures={
        FailureCode.NSFW: "모델의 콘텐츠 필터에 걸려 제공되지 않았습니다.",
        FailureCode.CANCELED: "완성되기 전에 제작이 중단되었습니다.",
        FailureCode.ABORTED: "제때 시작되지 못했습니다.",
        FailureCode.EXPIRED: "만들어졌지만 저장하기 전에 삭제되었습니다.",
        FailureCode.INVALID_INPUT: "모델이 전달된 입력을 받아들이지 않았습니다.",
        FailureCode.NO_OUTPUT: "모델이 결과 없이 작업을 끝냈습니다.",
        FailureCode.PROVIDER: "모델이 작업하는 도중에 문제가 생겼습니다.",
        FailureCode.UNUSABLE_OUTPUT: "모델이 보낸 파일을 사용할 수 없었습니다.",
        FailureCode.NOT_STORED: "만들어졌지만 저장하지 못했습니다.",
        None: "주문에 정해진 기한까지 완성되지 않았습니다.",
    },
    because={
        FailureCode.NSFW: "모델의 콘텐츠 필터에 걸림",
        FailureCode.CANCELED: "완성 전에 중단됨",
        FailureCode.ABORTED: "제때 시작되지 못함",
        FailureCode.EXPIRED: "저장하기 전에 삭제됨",
        FailureCode.INVALID_INPUT: "모델이 입력을 받아들이지 않음",
        FailureCode.NO_OUTPUT: "모델이 결과를 내지 않음",
        FailureCode.PROVIDER: "모델 작업 중 문제가 생김",
        FailureCode.UNUSABLE_OUTPUT: "사용할 수 없는 파일",
        FailureCode.NOT_STORED: "저장하지 못함",
        None: "기한까지 완성되지 않음",
    },
)

VOCABULARIES: Mapping[str, Vocabulary] = {"en": EN, "ko": KO}
