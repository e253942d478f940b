"""Who may look, and what they may do there, in a browser."""

from collections.abc import Awaitable, Callable

from shared.domain.token import Scope
from tests.support.axe import Axe
from tests.support.visiting import ON_A_PHONE, Visitor, Visits, shows
from tests.support.world import World

Token = Callable[..., Awaitable[str]]


async def log_in(visitor: Visitor, word: str) -> None:
    await visitor.page.get_by_label("Token").fill(word)
    await visitor.page.get_by_role("button", name="Log in").click()


async def test_who_has_no_token_is_asked_for_one_and_comes_to_where_they_wanted(
    visit: Visits, token: Token, axe: Axe
) -> None:
    word = await token("kim", Scope.OPERATE)
    kim = await visit()

    await kim.go("/jobs?state=failed")
    asked_at = kim.path
    on_the_way = await axe.violations(kim.page)
    await kim.picture("login")
    await kim.press("Tab")
    await kim.tab_to(kim.page.get_by_label("Token"))
    await kim.page.keyboard.type(word)
    await kim.press("Enter")
    await shows(kim, "kim, may operate")

    assert asked_at.startswith("/login?next=")
    assert on_the_way == []
    assert "You are logged in." in await kim.text()
    assert await kim.page.get_by_label("State").input_value() == "failed"
    assert await kim.page.evaluate("document.cookie") == ""


async def test_what_is_said_once_is_not_said_again_by_a_reload(visit: Visits, token: Token) -> None:
    word = await token("kim", Scope.READ)
    kim = await visit()
    await kim.go("/jobs")
    await log_in(kim, word)
    await shows(kim, "You are logged in.")

    await kim.page.reload()

    assert "You are logged in." not in await kim.text()
    assert kim.path == "/jobs"


async def test_a_wrong_token_is_told_where_it_was_typed(
    visit: Visits, token: Token, axe: Axe
) -> None:
    await token("kim", Scope.READ)
    stranger = await visit(ON_A_PHONE, colours="dark")
    stranger.forgives("403")
    await stranger.go("/jobs")

    await log_in(stranger, "dk_" + "x" * 43)
    await shows(stranger, "This token opens nothing here.")

    field = stranger.page.get_by_label("Token")
    assert await field.get_attribute("aria-invalid") == "true"
    assert await field.input_value() == ""
    assert await axe.violations(stranger.page) == []
    assert await stranger.too_wide() == []
    await stranger.picture("wrong-token")


async def test_who_logs_out_is_out_also_by_the_back_button(visit: Visits, token: Token) -> None:
    word = await token("kim", Scope.READ)
    kim = await visit()
    await kim.go("/jobs")
    await log_in(kim, word)
    await shows(kim, "kim, may look")

    await kim.page.get_by_role("button", name="Log out").click()
    await shows(kim, "You are logged out.")
    await kim.page.go_back()

    assert kim.path.startswith("/login")
    assert "kim" not in await kim.text()


async def test_who_logs_in_without_scripts_gets_the_same(visit: Visits, token: Token) -> None:
    word = await token("kim", Scope.WRITE)
    kim = await visit(scripts=False)
    await kim.go("/jobs?state=running")

    await log_in(kim, word)
    await shows(kim, "kim, may order")

    assert kim.path == "/jobs?state=running&said=said.logged_in"


async def test_a_page_that_is_open_goes_to_the_login_when_its_token_is_revoked(
    visit: Visits, token: Token, world: World
) -> None:
    word = await token("kim", Scope.OPERATE)
    kim = await visit()
    await kim.go("/jobs")
    await log_in(kim, word)
    await shows(kim, "kim, may operate")

    await world.execute("UPDATE api_token SET revoked_at = now()")

    await kim.page.wait_for_url("**/login?next=*")
