"""The list of jobs."""

from services.api.pages.words.said import Said

WORDS = {
    "jobs.title": Said("Jobs", "작업"),
    "jobs.state": Said("State", "상태"),
    "jobs.recipe": Said("Recipe", "레시피"),
    "jobs.external_ref": Said("Your reference", "외부 참조"),
    "jobs.any": Said("any", "전체"),
    "jobs.filter": Said("Show", "보기"),
    "jobs.all": Said("Show all", "전체 보기"),
    "jobs.find": Said("Go to a job", "작업 찾기"),
    "jobs.find.hint": Said(
        "Its id or how it begins, your reference, or a prediction id",
        "작업 ID(앞부분), 외부 참조 또는 예측 ID",
    ),
    "jobs.find.go": Said("Go", "이동"),
    "jobs.find.missed": Said(
        "Nothing here has that id or reference: {word}", "그런 ID나 참조의 작업이 없습니다: {word}"
    ),
    "jobs.find.several": Said(
        "Several jobs begin with {word}: type more of the id",
        "{word}(으)로 시작하는 작업이 여럿입니다. ID를 더 입력하세요",
    ),
    "jobs.job": Said("Job", "작업"),
    "jobs.standing": Said("How it stands", "진행 상황"),
    "jobs.stored": Said("Stored", "저장됨"),
    "jobs.ordered": Said("Ordered", "주문 시각"),
    "jobs.took": Said("Took", "걸린 시간"),
    "jobs.cost": Said("Cost", "비용"),
    "jobs.expected": Said("expected", "예상"),
    "jobs.older": Said("Older jobs", "이전 작업"),
    "jobs.newer": Said("Newer jobs", "다음 작업"),
    "jobs.latest": Said("Latest jobs", "최신 작업"),
    "jobs.pages": Said("Further jobs", "다른 작업"),
    "jobs.none": Said("No job fits.", "해당하는 작업이 없습니다."),
    "jobs.fresh": Said("Nothing was ordered here yet.", "아직 주문된 작업이 없습니다."),
    "jobs.order": Said("Order something", "주문하러 가기"),
    "state.pending": Said("pending", "대기"),
    "state.queued": Said("queued", "대기열"),
    "state.running": Said("running", "진행 중"),
    "state.completed": Said("completed", "완료"),
    "state.failed": Said("failed", "실패"),
    "state.canceled": Said("canceled", "취소됨"),
}
