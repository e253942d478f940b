"""What these tests would notice: each fault of a page, brought about on purpose."""

import pytest

from tests.support.visiting import ON_A_PHONE, Visits


@pytest.mark.parametrize(
    ("noticed", "what"),
    [
        ("console: broken", "console.error('broken')"),
        ("script: thrown", "setTimeout(() => { throw new Error('thrown') })"),
        ("answer: 404", "void (location.href = '/v1/nothing-here')"),
        (
            "policy: connect-src http://127.0.0.1:1/",
            "void fetch('http://127.0.0.1:1/').catch(() => null)",
        ),
        ("policy: img-src", "document.body.append(Object.assign(new Image(), {src: 'data:x'}))"),
        ("policy: style-src-attr inline", "document.body.setAttribute('style', 'color: red')"),
        ("dialog: opened", "void setTimeout(() => alert('opened'))"),
    ],
)
async def test_a_fault_of_a_page_is_noticed(visit: Visits, noticed: str, what: str) -> None:
    reader = await visit()
    await reader.go("/v1/docs")
    assert reader.faults == []

    await reader.page.evaluate(what)

    await reader.will_have_noticed(noticed)
    reader.forgives(".*")


async def test_what_is_too_wide_is_named(visit: Visits) -> None:
    reader = await visit(ON_A_PHONE)
    await reader.go("/v1/docs")

    await reader.page.evaluate("document.querySelector('h1').replaceChildren('x'.repeat(400))")

    assert any(wide.startswith("<h1>xxx") for wide in await reader.too_wide())


async def test_a_focus_that_cannot_be_seen_is_named(visit: Visits) -> None:
    reader = await visit()
    await reader.go("/v1/docs")

    await reader.page.evaluate(
        "document.styleSheets[0].insertRule('a:focus { outline: none !important }')"
    )

    assert (await reader.focus_that_nobody_sees(at_most=2))[0].startswith("<a ")
