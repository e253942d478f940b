"""What keeps people from using a page, as axe finds it."""

from playwright.async_api import Page


async def violations(page: Page, script: str) -> list[str]:
    """One line for each, with the first elements; nothing is wanted.

    The script goes in by the browser's own tools, which a page's policy does not bind: the policy
    stays as it is.
    """
    await page.evaluate(script)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: "
        + " | ".join(
            f"{node['html'][:160]} {node['any'][0]['message'] if node['any'] else ''}"
            for node in one["nodes"][:3]
        )
        for one in found["violations"]
    ]
