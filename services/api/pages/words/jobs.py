"""The list of jobs."""

from services.api.pages.words.said import Said

WORDS = {
    "jobs.title": Said("Jobs", "작업"),
    "jobs.state": Said("State", "상태"),
    "jobs.recipe": Said("Recipe", "레시피"),
    "jobs.external_ref": Said("Your reference", "외부 참조"),
    "jobs.any": Said("any", "전체"),
    "jobs.filter": Said("Show", "보기"),
    "jobs.job": Said("Job", "작업"),
    "jobs.standing": Said("How it stands", "진행 상황"),
    "jobs.stored": Said("Stored", "저장됨"),
    "jobs.ordered": Said("Ordered", "주문 시각"),
    "jobs.older": Said("Older jobs", "이전 작업"),
    "jobs.none": Said("No job fits.", "해당하는 작업이 없습니다."),
    "state.pending": Said("pending", "대기"),
    "state.queued": Said("queued", "대기열"),
    "state.running": Said("running", "진행 중"),
    "state.completed": Said("completed", "완료"),
    "state.failed": Said("failed", "실패"),
    "state.canceled": Said("canceled", "취소됨"),
}
