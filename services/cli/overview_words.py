"""What the overview writes around its numbers, in every language that we speak."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.cli import job_words
from services.cli.live import Tongue
from shared.domain.overview import Concern


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """``…_of`` and the like take numbers in braces. ``states`` are those of slots."""

    title: str
    lately: str
    well: str
    away: str
    webhooks: str
    webhooks_of: str
    last_webhook: str
    jobs: str
    jobs_of: str
    slots: str
    to_loss: str
    loss: str
    no_loss: str
    account: str
    paused: str
    left: str
    backlog: str
    waiting: str
    oldest: str
    queue: str
    ready: str
    consumers: str
    parked: str
    dead: str
    money: str
    purchases: str
    paid: str
    expected: str
    cap: str
    holds: str
    in_all: str
    unknown: str
    nobody_knows: str
    states: Mapping[str, str]


EN = Labels(
    title="Darkroom",
    lately="lately is the last {span}",
    well="nothing that somebody should look at",
    away="Postgres does not answer; this is how it stood before",
    webhooks="webhooks",
    webhooks_of="{share} taken of {came}; refused {refused}, unplaced {unplaced}, "
    "asked for instead {asked}",
    last_webhook="the last at {at}; to the journal within {p95} (p95)",
    jobs="jobs",
    jobs_of="{share} completed; {completed} completed, {failed} failed, {canceled} canceled; "
    "{open} open, the oldest since {age}",
    slots="slots",
    to_loss="to loss",
    loss="{span} until the next files are deleted that are not ours yet",
    no_loss="no files wait at the provider",
    account="account",
    paused="turned away until {until}: {reason}",
    left="calls left at once: {left}",
    backlog="backlog",
    waiting="waiting",
    oldest="oldest",
    queue="queue",
    ready="ready",
    consumers="consumers",
    parked="parked",
    dead="dead",
    money="money today",
    purchases="purchases",
    paid="paid",
    expected="expected",
    cap="cap",
    holds="its orders wait",
    in_all="in all",
    unknown="{count} at an unknown price",
    nobody_knows="unknown",
    states=job_words.EN.states,
)

KO = Labels(
    title="Darkroom",
    lately="최근은 지난 {span}",
    well="살펴볼 것이 없습니다",
    away="Postgres가 응답하지 않습니다. 아래는 그 전의 상태입니다",
    webhooks="웹훅",
    webhooks_of="{came}건 중 {share} 처리; 거부 {refused}, 미배정 {unplaced}, 직접 확인 {asked}",
    last_webhook="마지막 {at}; 기록까지 {p95} (p95)",
    jobs="작업",
    jobs_of="완료율 {share}; 완료 {completed}, 실패 {failed}, 취소 {canceled}; "
    "진행 중 {open}, 가장 오래된 것 {age}",
    slots="항목",
    to_loss="손실까지",
    loss="{span} 뒤에 아직 저장하지 않은 파일이 삭제됩니다",
    no_loss="제공자에게 남은 파일이 없습니다",
    account="계정",
    paused="{until}까지 거부됨: {reason}",
    left="지금 가능한 호출: {left}",
    backlog="밀린 일",
    waiting="대기",
    oldest="최장",
    queue="큐",
    ready="대기",
    consumers="수신자",
    parked="보류",
    dead="중단",
    money="오늘 비용",
    purchases="구매",
    paid="결제",
    expected="예상",
    cap="한도",
    holds="주문 대기 중",
    in_all="합계",
    unknown="{count}건 가격 미상",
    nobody_knows="알 수 없음",
    states=job_words.KO.states,
)

LABELS: Mapping[Tongue, Labels] = {Tongue.EN: EN, Tongue.KO: KO}

# The command that shows what a concern is about, where one shows just that.
LOOK: Mapping[Concern, str] = {Concern.DEAD: "darkroom parked list --dead"}
