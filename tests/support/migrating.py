"""The examples of docs/migrating.md and its pages, as a reader copies them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "migrating.md", *sorted((DOCS / "migrating").glob("*.md")))

_BLOCK = re.compile(r"(?:<!-- (\w+): (\S+) -->\n)?```json\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """A JSON block: an ``order`` of a recipe, or a ``fact`` by its type."""

    page: str
    kind: str
    name: str
    body: dict[str, Any]


def examples(kind: str | None = None) -> list[Example]:
    """Every JSON block of every page; the line above it says what it is."""
    found = [
        Example(page.stem, what, name, json.loads(body))
        for page in PAGES
        for what, name, body in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]
    return [example for example in found if kind is None or example.kind == kind]
