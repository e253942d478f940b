"""Messages that wait for their time, or for an operator."""

from services.api.pages.words.said import Said

WORDS = {
    "parked.title": Said("Parked messages", "보류된 메시지"),
    "parked.about": Said(
        "What could not be handled waits here: for its next try by itself, or, dead, for you."
        " Bringing back is safe at any time: what was done before is not done twice.",
        "처리하지 못한 메시지가 여기에 있습니다. 자동으로 다시 시도하거나, 중단된 것은 운영자를"
        " 기다립니다. 다시 보내기는 언제나 안전하며 이미 처리된 것은 두 번 처리되지 않습니다.",
    ),
    "parked.state": Said("State", "상태"),
    "parked.state.dead": Said("dead", "중단됨"),
    "parked.state.waiting": Said("waiting", "대기 중"),
    "parked.queue": Said("Queue", "대기열"),
    "parked.reason": Said("Reason contains", "사유에 포함"),
    "parked.any": Said("any", "전체"),
    "parked.filter": Said("Show", "보기"),
    "parked.only_job": Said("Only what is about job {job}.", "작업 {job}에 관한 것만 표시합니다."),
    "parked.all": Said("Show all", "모두 보기"),
    "parked.fit": Said("Messages that fit: {count}", "해당하는 메시지: {count}개"),
    "parked.none": Said("Nothing is parked that fits.", "해당하는 보류 메시지가 없습니다."),
    "parked.more": Said(
        "{count} more are not shown: narrow the filter.",
        "{count}개가 더 있습니다. 조건을 좁혀 보세요.",
    ),
    "parked.replay": Said("Bring back…", "다시 보내기…"),
    "parked.discard": Said("Discard…", "버리기…"),
    "parked.replay_all": Said("Bring all of them back…", "모두 다시 보내기…"),
    "parked.discard_all": Said("Discard all of them…", "모두 버리기…"),
    "parked.dead_since": Said("dead: it waits for you", "중단됨: 운영자를 기다림"),
    "parked.next": Said("next try {span}", "{span} 재시도"),
    "parked.tries": Said("Tries", "시도"),
    "parked.first": Said("First failed", "첫 실패"),
    "parked.last": Said("Last failed", "마지막 실패"),
    "parked.before": Said("Parked before", "이전 보류"),
    "parked.before_times": Said(
        "{count} ×, last brought back {at}", "{count}회, 마지막으로 다시 보냄: {at}"
    ),
    "parked.expires": Said("Its files are gone at", "파일 만료 시각"),
    "parked.job": Said("Job", "작업"),
    "parked.event": Said("Event", "이벤트"),
    "parked.source": Said("Stated by", "알린 곳"),
    "parked.why": Said("What failed", "실패 사유"),
    "parked.whole": Said("All of it", "전체 내용"),
    "parked.headers": Said("Headers", "헤더"),
    "parked.body": Said("Body", "본문"),
    "parked.stack": Said("Trace", "오류 추적"),
    "parked.back": Said("All parked messages", "보류된 메시지 목록"),
    "parked.type": Said("Message", "메시지"),
    "parked.count": Said("Count", "개수"),
    "parked.latest": Said("The latest failed of", "최근 실패 사유"),
    "in.now": Said("now", "지금"),
    "in.seconds": Said("in {count} s", "{count}초 후"),
    "in.minutes": Said("in {count} min", "{count}분 후"),
    "in.hours": Said("in {count} h", "{count}시간 후"),
    "in.days": Said("in {count} d", "{count}일 후"),
    "sure.replay.title": Said("Bring {count} back?", "{count}개를 다시 보낼까요?"),
    "sure.replay.what": Said(
        "They go to their queues again within a second or two, with all their tries before them.",
        "1~2초 안에 대기열로 돌아가며 시도 횟수는 처음부터 다시 셉니다.",
    ),
    "sure.replay.do": Said("Yes, bring back", "예, 다시 보냅니다"),
    "sure.discard.title": Said("Discard {count} for good?", "{count}개를 완전히 버릴까요?"),
    "sure.discard.what": Said(
        "They are thrown away, and nobody handles them any more. That cannot be undone.",
        "메시지를 버리며 더 이상 아무도 처리하지 않습니다. 되돌릴 수 없습니다.",
    ),
    "sure.discard.do": Said("Yes, discard", "예, 버립니다"),
    "said.replay": Said("Brought back: {count}.", "다시 보냄: {count}개."),
    "said.discard": Said("Discarded: {count}.", "버림: {count}개."),
    "said.none_fits": Said(
        "Nothing is parked any more that fits. Nothing was done.",
        "해당하는 보류 메시지가 더 이상 없어 아무 작업도 하지 않았습니다.",
    ),
}
