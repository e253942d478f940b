"""A person at a browser: what they do, what they see, and everything that went wrong meanwhile."""

import io
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageChops
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    Response,
)

from tests.support.waiting import eventually

# A page that takes longer is broken, also on a machine that is busy with other tests.
PATIENCE_MS = 45_000
# A request that the page itself gave up, as it does when somebody goes on to another one.
GIVEN_UP = "net::ERR_ABORTED"
# What has the focus and a little around it, in view; null: nothing has it.
AROUND_THE_FOCUS = """() => {
    const here = document.activeElement;
    if (!here || here === document.body) return null;
    here.scrollIntoView({block: "center", behavior: "instant"});
    const box = here.getBoundingClientRect();
    const x = Math.max(0, box.x - 6), y = Math.max(0, box.y - 6);
    return {x, y, width: Math.max(1, Math.min(innerWidth - x, box.width + 12)),
            height: Math.max(1, Math.min(innerHeight - y, box.height + 12))};
}"""
LEAVE = """() => {
    globalThis.darkroomTestPlace = document.activeElement;
    darkroomTestPlace.blur();
    return darkroomTestPlace.outerHTML.slice(0, 120);
}"""

Colours = Literal["light", "dark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Whom the browser belongs to, as far as a page can tell."""

    width: int = 1280
    height: int = 860
    language: str = "en-GB"
    colours: Colours = "light"
    motion: Literal["no-preference", "reduce"] = "no-preference"
    scripts: bool = True
    touch: bool = False

    def but(self, **other: Any) -> "Habits":
        return replace(self, **other)

    def __str__(self) -> str:
        told = [self.language[:2], self.colours, f"{self.width}"]
        return "-".join(told + ([] if self.scripts else ["noscript"]))


AT_A_DESK = Habits()
ON_A_PHONE = Habits(width=360, height=740, touch=True)


class Visitor:
    """Goes to one site. ``faults`` is what no page may do: errors and warnings in the console,
    scripts that end by an error, requests that fail, reports of the content security policy,
    dialogs that nobody expects."""

    def __init__(self, page: Page, *, site: str, habits: Habits, album: Path) -> None:
        self.page = page
        self.site = site
        self.habits = habits
        self.dialogs: list[str] = []
        self._album = album
        self._faults: list[str] = []
        self._forgiven: list[re.Pattern[str]] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._note(f"script: {error}"))
        page.on("requestfailed", self._request_failed)
        page.on("response", self._answered)
        page.on("dialog", self._asked)
        self._accepts: str | None = None

    @property
    def faults(self) -> list[str]:
        return [
            fault
            for fault in self._faults
            if not any(pattern.search(fault) for pattern in self._forgiven)
        ]

    def forgives(self, pattern: str) -> None:
        """What the test brings about itself."""
        self._forgiven.append(re.compile(pattern))

    def will_accept(self, text: str) -> None:
        """A dialog that holds ``text`` is accepted from now on; any other one is a fault."""
        self._accepts = text

    def report(self, violation: str) -> None:
        self._note(f"policy: {violation}")

    async def will_have_noticed(self, fault: str) -> None:
        async def look() -> list[str]:
            return self.faults

        await eventually(
            f"{fault!r} is noticed", look, holds=lambda seen: any(fault in one for one in seen)
        )

    # ---- what they do

    async def go(self, path: str) -> Response:
        answer = await self.page.goto(self.site + path)
        assert answer is not None, path
        return answer

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def tab_to(self, target: Locator, *, at_most: int = 80) -> None:
        """Press Tab until ``target`` has the focus, as one does who has no mouse."""
        for _ in range(at_most):
            await self.page.keyboard.press("Tab")
            if await target.evaluate("here => here === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {target}")

    async def becomes(self, **other: Any) -> None:
        """The same page, under other ``Habits`` of colours, motion and width."""
        self.habits = self.habits.but(**other)
        await self.page.emulate_media(
            color_scheme=self.habits.colours, reduced_motion=self.habits.motion
        )
        await self.page.set_viewport_size(
            {"width": self.habits.width, "height": self.habits.height}
        )

    # ---- what they see

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.site)

    async def picture(self, moment: str, *, whole: bool = True) -> Path:
        """The page as it looks now, kept for people."""
        path = self._album / f"{moment}-{self.habits}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=path, full_page=whole)
        return path

    async def text(self) -> str:
        return await self.page.locator("body").inner_text()

    async def all_pictures_loaded(self) -> bool:
        """True once every picture of the page is there, also those that wait to be scrolled to."""

        async def missing() -> list[str]:
            found: list[str] = await self.page.evaluate(
                """async () => {
                    const missing = [...document.images].filter(one => {
                        one.loading = "eager";
                        return !one.complete || !one.naturalWidth;
                    });
                    const there = missing.length ? [] : [...document.images];
                    await Promise.all(there.map(one => one.decode()));
                    return missing.map(one => one.src.split("?")[0]);
                }"""
            )
            return found

        await eventually("all pictures are there", missing, holds=lambda seen: not seen)
        return True

    async def moving(self) -> Sequence[str]:
        """What moves by itself, or would at a touch."""
        found: list[str] = await self.page.evaluate(
            """() => [...document.querySelectorAll("*")].filter(one => {
                const style = getComputedStyle(one);
                return style.animationName !== "none" || /[1-9]/.test(style.transitionDuration);
            }).map(one => one.outerHTML.slice(0, 120))"""
        )
        return found

    async def too_wide(self) -> Sequence[str]:
        """What makes people scroll sideways; nothing where the page fits."""
        found: list[str] = await self.page.evaluate(
            """() => {
                const room = document.documentElement.clientWidth;
                if (document.documentElement.scrollWidth <= room) return [];
                const wide = [...document.body.querySelectorAll("*")].filter(
                    one => one.getBoundingClientRect().right > room + 1
                        || (one.scrollWidth > room && getComputedStyle(one).overflowX === "visible"));
                const told = wide.slice(0, 5).map(one => one.outerHTML.slice(0, 120));
                return told.length ? told : ["the page itself"];
            }"""
        )
        return found

    async def focus_that_nobody_sees(
        self, *, at_most: int = 16, begins: str | None = None
    ) -> Sequence[str]:
        """Those of the first places of the focus that look the same with it and without; from the
        page's begin, or behind the place that ``begins`` selects."""
        hidden = []
        await self.page.evaluate("document.activeElement?.blur()")
        if begins is not None:
            await self.page.locator(begins).focus()
        for _ in range(at_most):
            await self.page.keyboard.press("Tab")
            around = await self.page.evaluate(AROUND_THE_FOCUS)
            if around is None:
                break
            with_it = await self.page.screenshot(clip=around)
            told = await self.page.evaluate(LEAVE)
            without = await self.page.screenshot(clip=around)
            await self.page.evaluate("darkroomTestPlace.focus({focusVisible: true})")
            if _same(with_it, without):
                hidden.append(str(told))
        return hidden

    # ---- what went wrong

    def _note(self, fault: str) -> None:
        self._faults.append(fault)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            where = message.location.get("url", "")
            self._note(f"console: {message.text} ({where.removeprefix(self.site)})")

    def _request_failed(self, request: Request) -> None:
        if request.failure != GIVEN_UP:
            self._note(f"request: {request.failure} {request.url.partition('?')[0]}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"answer: {response.status} {response.url.partition('?')[0]}")

    async def _asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        if self._accepts is not None and self._accepts in dialog.message:
            await dialog.accept()
            return
        self._note(f"dialog: {dialog.message}")
        await dialog.dismiss()


class Visits:
    """Lets people in, each with cookies of their own, and tells at the end what went wrong."""

    def __init__(self, browser: Browser, *, site: str, album: Path) -> None:
        self._browser = browser
        self._site = site
        self._album = album
        self._visitors: list[Visitor] = []
        self._contexts: list[BrowserContext] = []

    async def __call__(self, habits: Habits = AT_A_DESK, **more: Any) -> Visitor:
        habits = habits.but(**more)
        context = await self._browser.new_context(
            viewport={"width": habits.width, "height": habits.height},
            locale=habits.language,
            color_scheme=habits.colours,
            reduced_motion=habits.motion,
            java_script_enabled=habits.scripts,
            has_touch=habits.touch,
            is_mobile=habits.touch,
        )
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        visitor = Visitor(page, site=self._site, habits=habits, album=self._album)
        await page.expose_function("darkroomTestPolicy", visitor.report)
        await page.add_init_script(
            """document.addEventListener("securitypolicyviolation", seen =>
                darkroomTestPolicy(`${seen.violatedDirective} ${seen.blockedURI}`))"""
        )
        self._visitors.append(visitor)
        return visitor

    @property
    def faults(self) -> list[str]:
        return [fault for visitor in self._visitors for fault in visitor.faults]

    async def last_pictures(self, case: str) -> None:
        """What everybody saw last, where ``case`` of a test failed."""
        for number, visitor in enumerate(self._visitors, start=1):
            await visitor.picture(f"failed-{case}-{number}", whole=False)

    async def leave(self) -> None:
        for context in self._contexts:
            await context.close()


@asynccontextmanager
async def visits(browser: Browser, *, site: str, album: Path) -> AsyncIterator[Visits]:
    visiting = Visits(browser, site=site, album=album)
    try:
        yield visiting
    finally:
        await visiting.leave()


async def shows(visitor: Visitor, text: str, *, within: float = PATIENCE_MS / 1000) -> None:
    """Return when the page shows ``text``, by whatever means it learns of it."""

    async def look() -> str:
        return await visitor.text()

    await eventually(
        f"the page shows {text!r}", look, holds=lambda seen: text in seen, within=within
    )


def _same(one: bytes, other: bytes) -> bool:
    first, second = (Image.open(io.BytesIO(data)).convert("L") for data in (one, other))
    if first.size != second.size:
        return False
    changed = ImageChops.difference(first, second).point(lambda value: 255 if value > 24 else 0)
    return changed.histogram()[255] < 12  # a ring around the smallest thing has more
