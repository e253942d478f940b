"""What a line of a timeline says, by the type of its fact, and what hearing it did."""

from services.api.pages.words.said import Said

WORDS = {
    "fact.upload.received": Said("The order came in", "주문 접수"),
    "fact.job.accepted": Said("The job is planned", "작업 계획 완료"),
    "fact.prediction.created": Said("Bought at Replicate", "Replicate에 제작 요청"),
    "fact.prediction.started": Said("Replicate took it", "Replicate 접수"),
    "fact.prediction.progressed": Said("Replicate works on it", "Replicate 진행 중"),
    "fact.prediction.succeeded": Said("Made at Replicate", "Replicate 완료"),
    "fact.prediction.failed": Said("It failed at Replicate", "Replicate 실패"),
    "fact.prediction.canceled": Said("Canceled at Replicate", "Replicate에서 취소됨"),
    "fact.prediction.aborted": Said(
        "Stopped at Replicate before it began", "Replicate 시작 전 중단"
    ),
    "fact.artifacts.stored": Said("The files are stored", "파일 저장 완료"),
    "fact.slot.failed": Said("The slot failed", "항목 실패"),
    "fact.job.cancel_requested": Said("Somebody asked to cancel", "취소 요청"),
    "fact.job.deadline_reached": Said("The deadline was reached", "기한 도달"),
    "fact.job.completed": Said("The job is completed", "작업 완료"),
    "fact.job.failed": Said("The job failed", "작업 실패"),
    "fact.job.canceled": Said("The job is canceled", "작업 취소됨"),
    "fact.job.erased": Said("The job was erased", "작업 내용 삭제"),
    "fact.report.published": Said("The report is published", "보고서 발행"),
    "fact.report.failed": Said("The report could not be made", "보고서 생성 실패"),
    "fact.callback.delivered": Said("The caller was called back", "콜백 전달"),
    "fact.callback.failed": Said("Calling back failed for good", "콜백 전달 실패"),
    "fact.message.waited": Said("A message was parked and brought back", "보류된 메시지 재개"),
    "fact.webhook.refused": Said("A webhook was refused", "웹훅 거부"),
    "became.moved": Said("moved its slot", "상태 변경"),
    "became.stale": Said("noted; its slot did not depend on it", "기록만 함"),
    "became.nothing_new": Said("nothing new", "새 소식 없음"),
    "became.lost": Said("not needed any more", "더는 필요 없음"),
    "became.data_removed": Said("its files are gone", "파일이 삭제됨"),
    "became.unknown": Said("no purchase of ours", "해당 구매 없음"),
    "became.ambiguous": Said("could mean several purchases", "여러 구매에 해당"),
    "became.unreadable": Said("could not be read", "읽을 수 없음"),
    "became.planned": Said("planned", "계획됨"),
    "became.duplicate": Said("a duplicate", "중복"),
    "became.closed": Said("ended the job", "작업 종료"),
    "became.too_late": Said("too late", "너무 늦음"),
    "became.waits": Said("waits for its order", "주문을 기다림"),
}
