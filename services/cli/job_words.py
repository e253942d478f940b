"""What the commands about jobs write around what they show, in every language that we speak."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.cli.live import Tongue


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """``…_of`` and the like take numbers in braces. ``states`` are those of jobs and of slots,
    ``outcomes`` what hearing a fact did, where its name alone says too little to people."""

    job: str
    recipe: str
    state: str
    stored: str
    reference: str
    erased: str
    what_is_erased: str
    trace: str
    ordered: str
    sentence: str
    progress: str
    stored_of: str
    waits: str
    held: str
    paused: str
    parked_dead: str
    parked_waiting: str
    replicate: str
    last_webhook: str
    report: str
    no_report: str
    cost: str
    paid: str
    expected: str
    unpriced: str
    spared: str
    spared_of: str
    saved: str
    slots: str
    attempt: str
    seed: str
    not_used: str
    files: str
    score: str
    timeline: str
    named_of: str
    slot_took: str
    more_slots: str
    none_known: str
    none_with: str
    none_fits: str
    more: str
    states: Mapping[str, str]
    outcomes: Mapping[str, str]


EN = Labels(
    job="job",
    recipe="recipe",
    state="state",
    stored="stored",
    reference="reference",
    erased="erased",
    what_is_erased="files, bodies and inputs are gone",
    trace="trace",
    ordered="ordered",
    sentence="sentence",
    progress="progress",
    stored_of="{stored} of {n} stored",
    waits="waits",
    held="until {until} at the latest: COST_CAPS leave {recipe} no room today; "
    "`darkroom ledger --by recipe` shows what was bought",
    paused="until {until}: nothing is bought for this account ({reason}); `darkroom doctor` tells more",
    parked_dead="messages for an operator: {count}; `darkroom parked list --job {job} --dead`",
    parked_waiting="messages for their next try: {count}; "
    "`darkroom parked list --job {job} --waiting`",
    replicate="replicate",
    last_webhook="last webhook {at}",
    report="report",
    no_report="none is made",
    cost="cost",
    paid="${dollars:.4f} for {count} purchases",
    expected="about ${dollars:.4f} for {count} that are not settled",
    unpriced="{count} at a price that nobody knows",
    spared="spared",
    spared_of="{not_bought} never bought, {stopped} stopped at Replicate",
    saved="about ${dollars:.4f} saved",
    slots="slots",
    attempt="attempt {attempt}",
    seed="seed {seed}",
    not_used="output {index} not used: {why}",
    files="files",
    score="score {score:.2f}",
    timeline="timeline (UTC)",
    named_of="{share} of all slots' time has a name; seconds are since the order",
    slot_took="slot {ordinal}  {state}  {took}, {share} of it named",
    more_slots="and {count} slots more that were done sooner; --json has them all",
    none_known="no jobs yet; `darkroom publish upload` orders one",
    none_with="no job has the reference {ref!r}",
    none_fits="no job fits",
    more="there are more; --limit shows them (up to 1000), --cursor {cursor} goes on here",
    states={},
    outcomes={
        "nothing_new": "nothing new",
        "lost": "not needed any more",
        "data_removed": "its files are gone",
        "too_late": "too late",
    },
)

KO = Labels(
    job="작업",
    recipe="레시피",
    state="상태",
    stored="저장",
    reference="참조",
    erased="삭제됨",
    what_is_erased="파일, 본문, 입력이 모두 삭제되었습니다",
    trace="추적",
    ordered="주문 시각",
    sentence="설명",
    progress="진행",
    stored_of="{n}개 중 {stored}개 저장",
    waits="대기 사유",
    held="늦어도 {until}까지: 오늘 {recipe}의 COST_CAPS 한도에 여유가 없습니다. "
    "`darkroom ledger --by recipe`로 볼 수 있습니다",
    paused="{until}까지: 이 계정의 구매가 멈춰 있습니다({reason}). `darkroom doctor`로 확인하세요",
    parked_dead="운영자를 기다리는 메시지 {count}개: `darkroom parked list --job {job} --dead`",
    parked_waiting="다음 재시도를 기다리는 메시지 {count}개: "
    "`darkroom parked list --job {job} --waiting`",
    replicate="replicate",
    last_webhook="마지막 웹훅 {at}",
    report="보고서",
    no_report="만들지 않음",
    cost="비용",
    paid="구매 {count}건에 ${dollars:.4f}",
    expected="정산 전 {count}건에 약 ${dollars:.4f}",
    unpriced="{count}건은 가격을 알 수 없음",
    spared="절약",
    spared_of="{not_bought}건 구매 안 함, {stopped}건 Replicate에서 중단",
    saved="약 ${dollars:.4f} 절약",
    slots="항목",
    attempt="{attempt}차 시도",
    seed="시드 {seed}",
    not_used="출력 {index} 사용 안 함: {why}",
    files="파일",
    score="점수 {score:.2f}",
    timeline="기록 (UTC)",
    named_of="전체 항목 시간의 {share}가 설명됩니다. 초는 주문 시점부터 셉니다",
    slot_took="항목 {ordinal}  {state}  {took}, 이 가운데 {share} 설명됨",
    more_slots="먼저 끝난 항목이 {count}개 더 있습니다. --json으로 모두 볼 수 있습니다",
    none_known="아직 작업이 없습니다. `darkroom publish upload`로 주문하세요",
    none_with="참조가 {ref!r}인 작업이 없습니다",
    none_fits="조건에 맞는 작업이 없습니다",
    more="작업이 더 있습니다. --limit(최대 1000) 또는 --cursor {cursor}로 이어서 볼 수 있습니다",
    states={
        "pending": "대기",
        "queued": "접수됨",
        "creating": "주문 중",
        "in_doubt": "확인 중",
        "submitted": "접수됨",
        "running": "진행 중",
        "succeeded": "저장 중",
        "stored": "저장됨",
        "completed": "완료",
        "failed": "실패",
        "canceled": "취소됨",
    },
    outcomes={
        "nothing_new": "새 소식 없음",
        "lost": "더는 필요 없음",
        "data_removed": "파일이 삭제됨",
        "too_late": "너무 늦음",
    },
)

LABELS: Mapping[Tongue, Labels] = {Tongue.EN: EN, Tongue.KO: KO}
