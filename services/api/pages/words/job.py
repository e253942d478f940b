"""One job, and what is on record of it."""

from services.api.pages.words.said import Said

WORDS = {
    "job.progress": Said("How far it is", "진행률"),
    "job.progress_of": Said("How far slot {ordinal} is", "{ordinal}번 항목의 진행률"),
    "job.reason": Said("Reason", "사유"),
    "job.erased": Said(
        "Files, bodies and inputs of this job were erased.",
        "이 작업의 파일, 본문, 입력은 삭제되었습니다.",
    ),
    "job.parked": Said(
        "Messages of this job that are parked: {count} (dead: {dead})",
        "이 작업에서 보류된 메시지: {count}개(중단됨: {dead}개)",
    ),
    "job.held": Said("A new day of that limit begins at {at}", "한도가 새로 시작되는 시각: {at}"),
    "job.report.open": Said("Open the report", "보고서 열기"),
    "job.cancel": Said("Cancel…", "취소…"),
    "job.retry": Said("Do it once more…", "다시 하기…"),
    "job.files": Said("Files", "파일"),
    "job.files_more": Said("{count} more", "{count}개 더 보기"),
    "job.files_cut": Said(
        "Of so many files only the first are shown.", "파일이 많아 처음 것들만 표시합니다."
    ),
    "job.alt": Said("{name}, of job {job}", "{name}, 작업 {job}"),
    "job.score": Said("score {score}", "점수 {score}"),
    "job.file.original": Said("Original", "원본"),
    "job.file.prepared": Said("Prepared", "준비된 파일"),
    "job.file.generated": Said("Result", "결과"),
    "job.file.derived": Said("Finished", "마무리된 파일"),
    "job.file.derived.quantised": Said("In granule colours", "지정 색상"),
    "job.file.derived.trimmed": Said("Trimmed", "다듬은 파일"),
    "job.file.report": Said("Report", "보고서"),
    "job.where": Said("Where the time went", "시간이 쓰인 곳"),
    "job.named": Said(
        "{share} of all slots' time has a name; seconds are since the order.",
        "전체 항목 시간의 {share}가 설명됩니다. 초는 주문 시점부터 셉니다.",
    ),
    "job.legend": Said("What the colours stand for", "색상 설명"),
    "job.segments": Said("Every part with its seconds", "모든 구간과 시간(초)"),
    "job.slot": Said("Slot {ordinal}", "{ordinal}번 항목"),
    "job.slot_alone": Said("Slot", "항목"),
    "job.whole": Said("From the order to its count", "주문부터 집계까지"),
    "job.report": Said("Report", "보고서"),
    "job.last": Said("the last", "가장 늦음"),
    "job.attempts": Said("{count} attempts", "{count}회 시도"),
    "job.attempt_alone": Said("Attempt", "시도"),
    "job.stage": Said("Part", "구간"),
    "job.begins": Said("Begins (s)", "시작(초)"),
    "job.seconds": Said("Took (s)", "소요(초)"),
    "job.slots": Said("Slots", "항목"),
    "job.stored_of": Said("{stored} of {n} stored", "{n}개 중 {stored}개 저장"),
    "job.slots_more": Said("{count} more slots", "항목 {count}개 더 보기"),
    "job.slots_cut": Said(
        "{count} slots more are not shown here; the API tells of them.",
        "항목 {count}개는 여기에 표시되지 않으며 API로 볼 수 있습니다.",
    ),
    "job.bars_cut": Said(
        "{count} slots that were done sooner are not drawn.",
        "먼저 끝난 항목 {count}개는 그리지 않았습니다.",
    ),
    "job.seed": Said("Seed", "시드"),
    "job.prediction": Said("Prediction", "예측 ID"),
    "job.not_used": Said("Output {index} was not used: {why}", "출력 {index} 사용 안 함: {why}"),
    "job.timeline": Said("Timeline", "기록"),
    "job.when": Said("When", "시각"),
    "job.what": Said("What", "내용"),
    "job.became": Said("What it did", "처리 결과"),
    "job.who": Said("Who said it", "알린 곳"),
    "job.moments_more": Said("{count} more", "{count}개 더 보기"),
    "job.timeline_cut": Said(
        "It goes on; the API tells more.", "이후 기록은 API로 볼 수 있습니다."
    ),
    "job.webhooks": Said("Webhooks as they came", "받은 웹훅 원문"),
    "job.webhooks_hint": Said(
        "The latest first, without signatures and keys.",
        "최신순이며 서명과 키는 가렸습니다.",
    ),
    "job.webhooks_closed": Said(
        "They hold prompts and links: log in with a token that may operate.",
        "프롬프트와 링크가 들어 있어 운영 권한이 있는 토큰으로 로그인해야 합니다.",
    ),
    "job.webhooks_none": Said("None has come.", "받은 웹훅이 없습니다."),
    "job.webhooks_cut": Said("There are more:", "더 있습니다:"),
    "job.asked": Said("asked for, no webhook", "웹훅 대신 조회함"),
    "job.unheard": Said("not heard yet", "아직 처리되지 않음"),
    "job.headers": Said("Headers", "헤더"),
    "job.body": Said("Body", "본문"),
    "job.body_gone": Said(
        "The body is past its retention.", "보관 기간이 지나 본문이 삭제되었습니다."
    ),
    "job.body_cut": Said("It goes on; this is its beginning.", "본문의 앞부분만 표시합니다."),
    "job.facts": Said("About this job", "작업 정보"),
    "job.ended": Said("Ended", "종료 시각"),
    "job.after": Said("after {span}", "{span} 만에"),
    "job.last_webhook": Said("Last webhook", "마지막 웹훅"),
    "job.cost": Said("Cost", "비용"),
    "job.cost.nothing": Said("Nothing is bought yet", "아직 구매하지 않음"),
    "job.cost.paid": Said("{dollars}, purchases: {count}.", "{dollars}, 구매 {count}건."),
    "job.cost.expected": Said(
        "About {dollars}, not settled yet: {count}.", "정산 전 {count}건, 약 {dollars}."
    ),
    "job.cost.unknown": Said(
        "At a price that nobody knows: {count}.", "가격을 알 수 없음: {count}건."
    ),
    "job.cost.seconds": Said("{span} at Replicate", "Replicate에서 {span}"),
    "job.spared": Said("Spared", "절약"),
    "job.spared.not_bought": Said("Never bought: {count}.", "구매하지 않음: {count}건."),
    "job.spared.stopped": Said("Stopped at Replicate: {count}.", "Replicate에서 중단: {count}건."),
    "job.spared.saved": Said("About {dollars} saved.", "약 {dollars} 절약."),
    "job.retry_of": Said("Does once more", "다시 한 원래 작업"),
    "job.retried_by": Said("Done once more by", "다시 한 작업"),
    "job.trace": Said("Trace", "추적 ID"),
    "job.params": Said("Parameters", "매개변수"),
    "job.metadata": Said("Metadata", "메타데이터"),
    "hue.plan": Said("Until it is bought", "구매 전"),
    "hue.buy": Said("Ordering it", "제작 요청"),
    "hue.queue": Said("Queue at Replicate", "Replicate 대기"),
    "hue.run": Said("Run at Replicate", "Replicate 실행"),
    "hue.webhook": Said("Webhook and broker", "웹훅과 브로커"),
    "hue.store": Said("Download, finish, upload", "내려받기, 마무리, 업로드"),
    "hue.count": Said("Counting and report", "집계와 보고서"),
    "hue.trouble": Said("Trouble: lost webhooks, tries, parking", "문제: 웹훅 유실, 재시도, 보류"),
    "hue.unnamed": Said("Not explained", "설명되지 않음"),
    "sure.no": Said("No, go back", "아니요, 돌아가기"),
    "sure.cancel.title": Said("Cancel this job?", "이 작업을 취소할까요?"),
    "sure.cancel.what": Said(
        "Nothing more is bought for it, what runs at Replicate is stopped, and what is stored stays."
        " That cannot be undone; the job can be done once more afterwards.",
        "더 이상 구매하지 않고 Replicate에서 실행 중인 것을 중단하며 저장된 것은 남습니다."
        " 되돌릴 수 없지만 나중에 다시 할 수 있습니다.",
    ),
    "sure.cancel.why": Said("Why (shown with the job)", "사유(작업에 표시됩니다)"),
    "sure.cancel.do": Said("Yes, cancel it", "예, 취소합니다"),
    "sure.retry.title": Said("Do this job once more?", "이 작업을 다시 할까요?"),
    "sure.retry.what": Said(
        "A new job is ordered with the same parameters and the same original. What is stored of this"
        " one is taken over and costs nothing; only what is missing is bought.",
        "같은 매개변수와 원본으로 새 작업을 주문합니다. 저장된 것은 비용 없이 이어받고"
        " 없는 것만 새로 구매합니다.",
    ),
    "sure.retry.cost": Said("This one has cost {dollars}.", "이 작업의 비용은 {dollars}였습니다."),
    "sure.retry.do": Said("Yes, order it", "예, 주문합니다"),
    "said.canceling": Said(
        "The job is told to end. That takes a moment.", "취소를 요청했습니다. 잠시 후 종료됩니다."
    ),
    "said.had_ended": Said(
        "The job had ended already. Nothing was done.",
        "이미 종료된 작업이라 아무 작업도 하지 않았습니다.",
    ),
    "said.still_open": Said(
        "The job has not ended. Nothing was done.",
        "아직 종료되지 않은 작업이라 아무 작업도 하지 않았습니다.",
    ),
    "said.ordered_again": Said(
        "It is ordered: this is the new job.", "주문했습니다. 새 작업입니다."
    ),
}
