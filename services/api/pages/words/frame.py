"""What stands around every page."""

from services.api.pages.words.said import Said

WORDS = {
    "frame.overview": Said("Overview", "개요"),
    "frame.jobs": Said("Jobs", "작업"),
    "frame.parked": Said("Parked messages", "보류된 메시지"),
    "frame.recipes": Said("Order", "주문"),
    "frame.pages": Said("Pages", "페이지"),
    "frame.skip": Said("Skip to what this page is about", "본문으로 건너뛰기"),
    "frame.language": Said("Language", "언어"),
    "frame.log_in": Said("Log in", "로그인"),
    "frame.log_out": Said("Log out", "로그아웃"),
    "frame.as": Said("{name}, may {scope}", "{name}, 권한 {scope}"),
    "frame.may.read": Said("look", "보기"),
    "frame.may.write": Said("order", "주문"),
    "frame.may.operate": Said("operate", "운영"),
    "frame.zone": Said("Times are those of {zone}.", "시간은 {zone} 기준입니다."),
    "frame.api": Said("API", "API"),
    "frame.no_token": Said(
        "No token is set, so only this machine is served. Make one: darkroom tokens create NAME"
        " --scope operate",
        "토큰이 없어 이 컴퓨터에서만 열립니다. 만들기: darkroom tokens create NAME --scope operate",
    ),
    "frame.open": Said(
        "API_OPEN is set: everybody who comes may do everything here.",
        "API_OPEN이 설정되어 있어 누구나 모든 작업을 할 수 있습니다.",
    ),
    "trouble.title": Said("That did not work", "처리하지 못했습니다"),
    "trouble.home": Said("Go to the overview", "개요로 이동"),
    "trouble.ours": Said(
        "Something of ours failed. It is written down; try again in a moment.",
        "저희 쪽 문제로 실패했습니다. 기록되었으니 잠시 후 다시 시도해 주세요.",
    ),
    "trouble.away": Said(
        "We cannot answer now. This page asks again by itself.",
        "지금은 응답할 수 없습니다. 이 페이지가 자동으로 다시 시도합니다.",
    ),
    "trouble.elsewhere": Said(
        "The form was sent from a page that is not ours. Nothing was done.",
        "다른 사이트에서 보낸 양식이라 아무 작업도 하지 않았습니다.",
    ),
    "trouble.unknown_path": Said("There is no such page.", "없는 페이지입니다."),
    "trouble.unknown_job": Said("There is no such job.", "그런 작업이 없습니다."),
    "trouble.gone": Said("It was here, and is deleted.", "삭제된 항목입니다."),
    "trouble.not_allowed": Said(
        "Your token may not do that. Log in with one that may.",
        "이 토큰에는 권한이 없습니다. 권한이 있는 토큰으로 로그인해 주세요.",
    ),
    "trouble.from_elsewhere": Said(
        "No token is set here, so only this machine is served.",
        "토큰이 설정되어 있지 않아 이 컴퓨터에서만 열립니다.",
    ),
    "trouble.too_many": Said(
        "Too many requests at once. Wait a second.", "요청이 너무 많습니다. 잠시 기다려 주세요."
    ),
    "login.title": Said("Log in", "로그인"),
    "login.token": Said("Token", "토큰"),
    "login.hint": Said(
        "It begins with dk_. Whoever runs this installation makes one:"
        " darkroom tokens create NAME --scope operate",
        "dk_로 시작합니다. 설치 운영자가 만듭니다: darkroom tokens create NAME --scope operate",
    ),
    "login.wrong": Said("This token opens nothing here.", "사용할 수 없는 토큰입니다."),
    "login.needless": Said(
        "No token is needed here: you are let in already.",
        "토큰이 필요하지 않습니다. 이미 들어와 있습니다.",
    ),
    "said.logged_in": Said("You are logged in.", "로그인했습니다."),
    "said.logged_out": Said("You are logged out.", "로그아웃했습니다."),
    "ago.now": Said("just now", "방금"),
    "ago.seconds": Said("{count} s ago", "{count}초 전"),
    "ago.minutes": Said("{count} min ago", "{count}분 전"),
    "ago.hours": Said("{count} h ago", "{count}시간 전"),
    "ago.days": Said("{count} d ago", "{count}일 전"),
    "span.seconds": Said("{count} s", "{count}초"),
    "span.minutes": Said("{count} min", "{count}분"),
    "money.unknown": Said("unknown", "알 수 없음"),
}
