"""One sentence in the languages that pages speak: pure."""

from typing import Literal, NamedTuple

Tongue = Literal["en", "ko"]
TONGUES: dict[Tongue, str] = {"en": "English", "ko": "한국어"}


class Said(NamedTuple):
    """``{name}`` stands for a value, the same names in both."""

    en: str
    ko: str

    def by(self, tongue: str) -> str:
        return self.ko if tongue == "ko" else self.en


def spoken(asked: str | None, kept: str | None, header: str, default: Tongue) -> Tongue:
    """The language of an answer: the one that is asked for, the one that was chosen before, the
    browser's first that we speak, or ``default``. ``header`` is Accept-Language."""
    for wish in (asked, kept):
        for tongue in TONGUES:
            if wish == tongue:
                return tongue
    return _first(header) or default


def _first(header: str) -> Tongue | None:
    wished: list[tuple[float, Tongue]] = []
    for part in header.split(",")[:20]:
        name, _, parameters = part.strip().partition(";")
        weight = parameters.strip().removeprefix("q=")
        for tongue in TONGUES:
            if name.lower().split("-")[0] == tongue:
                try:
                    wished.append((float(weight or 1), tongue))
                except ValueError:
                    continue
    return max(wished, key=lambda each: each[0])[1] if wished else None
