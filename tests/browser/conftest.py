"""Chromium and a whole system: one of each for every worker, and a fresh profile for every test."""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from deploy.check.browser import chromium_here
from deploy.check.tools import axe_here
from deploy.local.system import PROJECT, System
from shared.domain.token import RANDOM_BYTES, Scope, kept, word_of
from tests.browser.gallery import Gallery, hang
from tests.support.axe import Axe
from tests.support.front_end import FrontEnd, a_front_end
from tests.support.running import eyes_on
from tests.support.visiting import Visits, visits
from tests.support.waiting import eventually
from tests.support.world import World

HERE = Path(__file__).parent
# Pictures that tests keep for people, a folder for each test.
ALBUM = PROJECT / ".darkroom" / "browser"
# Nothing of a browser's own goes out, and software draws: there is no card in a machine of tests.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser lives on one event loop, so its tests do. The first one of a worker waits for parts,
    a system and the gallery as well."""
    for item in items:
        if HERE in item.path.parents and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(600))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    chromium = chromium_here()
    if chromium is None:
        pytest.skip("no Chromium is here: `make browser` says how it comes")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS])
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def axe() -> Axe:
    script = axe_here()
    if script is None:
        pytest.skip("axe is not here: `make browser` fetches it")
    return Axe(script.read_text(encoding="utf-8"))


@pytest_asyncio.fixture(loop_scope="session")
async def world(browser: Browser, system: System) -> AsyncIterator[World]:
    """Eyes on the running system, on the loop of the browser."""
    async with eyes_on(system) as world:
        yield world
        await world.behave()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gallery(browser: Browser, system: System) -> Gallery:
    """One job of each kind, made once on each worker that asks; tests that ask share a file."""
    async with eyes_on(system) as world, a_front_end(system.layout.api_url) as front:
        return await hang(world, front)


@pytest_asyncio.fixture(loop_scope="session")
async def front(world: World) -> AsyncIterator[FrontEnd]:
    """Another program that orders and asks, while somebody looks at pages."""
    async with a_front_end(world.system.layout.api_url) as front:
        yield front


@pytest_asyncio.fixture(loop_scope="session")
async def token(world: World, front: FrontEnd) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Makes tokens: ``await token("kim", Scope.READ)``. From the first one on only tokens open;
    afterwards everything is open to this machine again."""

    async def answers(status: int) -> None:
        async def look() -> int:
            return (await front.get("/v1/jobs")).status

        await eventually(f"strangers are told {status}", look, holds=lambda seen: seen == status)

    async def make(name: str, scope: Scope) -> str:
        word = word_of(secrets.token_bytes(RANDOM_BYTES))
        await world.execute(
            "INSERT INTO api_token (name, sha256, scope) VALUES ($1, $2, $3)",
            name,
            kept(word),
            scope,
        )
        await answers(401)
        return word

    yield make
    await world.execute("DELETE FROM api_token")
    await answers(200)


@pytest_asyncio.fixture(loop_scope="session")
async def visit(
    browser: Browser, world: World, request: pytest.FixtureRequest
) -> AsyncIterator[Visits]:
    """Lets people in: ``await visit(ON_A_PHONE, colours="dark")``. A fault of a page fails the
    test."""
    test, _, case = request.node.name.removeprefix("test_").partition("[")
    async with visits(browser, site=world.system.layout.api_url, album=ALBUM / test) as visiting:
        yield visiting
        if request.node.stash.get(_failed, True):
            await visiting.last_pictures(re.sub(r"\W+", "-", case))
            for line in world.system.child("api").tail(60).splitlines():
                if '"level": "error"' in line:
                    print(line[:800])  # pytest shows it with the failure
        assert visiting.faults == []
