"""Reading pages as a browser does, as far as a test needs it: elements by tag, and their text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

EMPTY = {"meta", "link", "input", "img", "br", "rect"}


@dataclass
class Element:
    """``text`` is all that stands in it, its children's included."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    parents: tuple["Element", ...] = field(default=(), repr=False)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Element] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(
            tag, {name: value or "" for name, value in attrs}, parents=tuple(self._open)
        )
        self.found.append(element)
        if tag not in EMPTY:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data


class Html:
    def __init__(self, text: str) -> None:
        reader = _Reader()
        reader.feed(text)
        self.elements = reader.found

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Those of ``tag`` that have all of these attributes; ``_`` stands for a hyphen."""
        wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            one
            for one in self.elements
            if one.tag == tag and wanted.items() <= one.attributes.items()
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        [found] = self.all(tag, **attributes)
        return found

    def fields(self, action: str) -> dict[str, str]:
        """What the form that is sent there holds."""
        form = self.one("form", action=action)
        return {
            one["name"]: one.attributes.get("value", "")
            for one in self.all("input")
            if form in one.parents
        }
