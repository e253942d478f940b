"""What is wrong with an order, in Korean. The English sentences are those of the rules themselves,
which programs are told as well; here each of them is known by its form, with ``{}`` for what it
names. Pure."""

import re
from functools import cache

KOREAN = {
    "is missing": "값이 필요합니다",
    "must be text": "텍스트여야 합니다",
    "must not be empty": "비워 둘 수 없습니다",
    "must have {} characters or more": "{}자 이상이어야 합니다",
    "may have {} characters at most": "{}자까지 입력할 수 있습니다",
    "must match {}": "형식에 맞아야 합니다: {}",
    "must be a whole number": "정수여야 합니다",
    "must be a number": "숫자여야 합니다",
    "must be true or false": "예 또는 아니요여야 합니다",
    "must be more than {}": "{}보다 커야 합니다",
    "must be {} or more": "{} 이상이어야 합니다",
    "must be less than {}": "{}보다 작아야 합니다",
    "must be {} or less": "{} 이하여야 합니다",
    "must have {} entries or more": "{}개 이상 입력해야 합니다",
    "may have {} entries at most": "{}개까지 입력할 수 있습니다",
    "must be a list": "목록이어야 합니다",
    "must be an object": "객체여야 합니다",
    "must be a uuid": "UUID여야 합니다",
    "must be a time such as {}": "{}와 같은 시각이어야 합니다",
    "must be a URL": "URL이어야 합니다",
    "must be a URL that begins with {}": "{}(으)로 시작하는 URL이어야 합니다",
    "must be a shorter URL": "더 짧은 URL이어야 합니다",
    "is not JSON": "JSON 형식이 아닙니다",
    "must be {}": "다음 중 하나여야 합니다: {}",
    "must be an https URL without user info": "사용자 정보가 없는 https URL이어야 합니다",
    "must be a colour such as {}": "{}와 같은 색이어야 합니다",
    "the same colour is named twice": "같은 색이 두 번 있습니다",
    "one side may be {} times as long as the other, no more": (
        "긴 변은 짧은 변의 {}배를 넘을 수 없습니다"
    ),
    "at_least is {}, and only {} are ordered": (
        "최소 {}장이 필요하다고 했지만 {}장만 주문했습니다"
    ),
    "{} needs an original: source is missing": "원본 파일이 필요합니다",
    "{} takes no original": "원본 파일을 받지 않습니다",
    "the original must lie under {} or an agreed folder": (
        "원본은 {} 아래나 합의된 폴더에 있어야 합니다"
    ),
    "there is no recipe {}; there is {}": "그런 레시피가 없습니다: {} (있는 것: {})",
    "an order may have {} KiB at most": "주문은 {}KiB를 넘을 수 없습니다",
}


def in_korean(sentence: str) -> str | None:
    """None: nobody has said it in Korean yet."""
    for form, korean in _forms():
        if found := form.fullmatch(sentence):
            return korean.format(*found.groups())
    return None


@cache
def _forms() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The most words first, so that "must be {}" is nobody's but where nothing else fits."""
    forms = sorted(KOREAN.items(), key=lambda one: len(one[0].replace("{}", "")), reverse=True)
    return tuple(
        (re.compile("(.+)".join(map(re.escape, english.split("{}"))), re.DOTALL), korean)
        for english, korean in forms
    )
