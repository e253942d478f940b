"""Everybody sees the buttons that they may use, and no others."""

from collections.abc import Awaitable, Callable

from shared.domain.token import Scope
from tests.browser.gallery import Gallery
from tests.support.axe import Axe
from tests.support.visiting import Visitor, Visits, shows

Token = Callable[..., Awaitable[str]]


async def entered(visit: Visits, token: Token, scope: Scope) -> Visitor:
    word = await token("kim", scope)
    kim = await visit()
    await kim.go("/login?next=/recipes")
    await kim.page.get_by_label("Token").fill(word)
    await kim.press("Enter")
    await shows(kim, "You are logged in.")
    return kim


async def test_who_may_look_is_offered_nothing_else(
    visit: Visits, token: Token, gallery: Gallery, axe: Axe
) -> None:
    kim = await entered(visit, token, Scope.READ)
    kim.forgives("403")
    seen = []

    for path in (
        "/",
        "/jobs",
        f"/jobs/{gallery.running}",
        f"/jobs/{gallery.failed}",
        "/recipes/variations",
    ):
        answer = await kim.go(path)
        assert answer.status == 200
        await kim.picture("read" + path.replace("/", "-")[:24])
        seen += await kim.page.locator("main form[method=post]").all_inner_texts()
        for name in ("Cancel…", "Do it once more…", "Bring back…", "Discard…"):
            seen += await kim.page.get_by_role("link", name=name).all_inner_texts()
        assert await kim.page.locator("main a[href^='/parked']").count() == 0, path
        assert await axe.violations(kim.page) == []
    refused = [
        (await kim.go(path)).status
        for path in ("/parked", f"/jobs/{gallery.running}/cancel", f"/parked/{gallery.dead}")
    ]

    assert seen == []
    assert refused == [403, 403, 403]
    assert "may not do that" in await kim.text()
    await kim.picture("refused")


async def test_who_may_order_is_offered_orders_and_no_messages(
    visit: Visits, token: Token, gallery: Gallery
) -> None:
    kim = await entered(visit, token, Scope.WRITE)
    kim.forgives("403")

    await kim.go(f"/jobs/{gallery.running}")
    cancel = await kim.page.get_by_role("link", name="Cancel…").count()
    await kim.go("/recipes/sound-effect")
    order = await kim.page.get_by_role("button", name="Order", exact=True).count()
    refused = (await kim.go("/parked")).status

    assert (cancel, order, refused) == (1, 1, 403)


async def test_who_may_operate_sees_webhooks_without_what_opens_something(
    visit: Visits, token: Token, gallery: Gallery
) -> None:
    kim = await entered(visit, token, Scope.OPERATE)

    await kim.go(f"/jobs/{gallery.pictures}")
    await kim.page.locator("#webhooks summary").first.click()
    told = await kim.page.locator("#webhooks details").first.inner_text()

    assert "webhook-signature" in told
    assert "v1," not in told
    assert "X-Amz-Signature=" not in told.replace("X-Amz-Signature=***", "")
    await kim.picture("webhooks")
