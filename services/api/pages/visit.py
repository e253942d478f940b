"""What a page is asked, and what it answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from markupsafe import Markup

from services.api.gate import Asker
from services.api.pages.words import WORDS, sentence
from services.api.pages.words.said import Tongue
from shared.domain.token import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that was let in. ``form`` holds the fields of a form that came from a page of ours,
    each once; of one that brings files nothing is read yet."""

    request: web.Request
    asker: Asker
    tongue: Tongue
    form: Mapping[str, str] = field(default_factory=dict)

    def say(self, key: str, **values: object) -> str:
        return sentence(key, self.tongue, **values)

    def tell(self, key: str, **values: object) -> Markup:
        """The same as a piece of a page: ``values`` may be pieces too, and are text otherwise."""
        return Markup(WORDS[key].by(self.tongue)).format(**values)  # noqa: S704 - words of ours

    def may(self, scope: Scope) -> bool:
        return self.asker.scope.includes(scope)


@dataclass(frozen=True, slots=True)
class Page:
    """``template`` filled with ``model``. Without script it is asked for again after
    ``refresh_s``."""

    template: str
    model: Mapping[str, Any]
    status: int = 200
    refresh_s: int | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Go on to ``path``, a path of ours; ``said`` is the key of a sentence, said.…, shown there
    once, with its ``count`` if it has one. ``cookies`` are set, an empty one is taken back."""

    path: str
    said: str | None = None
    count: int | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)


Show = Callable[[Visit], Awaitable[Page | Elsewhere]]


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A page in the table: ``name`` is for metrics and logs. ``scope`` None: nobody is asked who
    they are. ``files``: its form brings files, which it reads itself."""

    name: str
    path: str
    show: Show
    method: str = "GET"
    scope: Scope | None = Scope.READ
    files: bool = False
