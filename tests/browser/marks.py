"""Whether a page is still the one that was opened, and was not loaded anew."""

from tests.support.visiting import Visitor


async def leave_a_mark(visitor: Visitor) -> None:
    await visitor.page.evaluate("document.documentElement.dataset.mark = 'kept'")


async def has_the_mark(visitor: Visitor) -> bool:
    return bool(await visitor.page.evaluate("document.documentElement.dataset.mark === 'kept'"))
