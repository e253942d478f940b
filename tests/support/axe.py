"""What keeps people from using a page, as axe finds it."""

from dataclasses import dataclass, field

from playwright.async_api import Page


@dataclass(frozen=True, slots=True)
class Axe:
    script: str = field(repr=False)

    async def violations(self, page: Page) -> list[str]:
        """One line for each, with the first elements; nothing is wanted.

        The script goes in by the browser's own tools, which a page's policy does not bind: the
        policy stays as it is.
        """
        await page.evaluate(self.script)
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: "
            + " | ".join(
                f"{node['html'][:160]} {node['any'][0]['message'] if node['any'] else ''}"
                for node in one["nodes"][:3]
            )
            for one in found["violations"]
        ]
