"""What the shell completes beside names: ids of jobs and names of recipes, read where they are.

Whoever types waits for it, so that it is asked for a moment only and says nothing where it fails.
"""

import json
import re
from collections.abc import Callable, Mapping

from services.cli.environment import NAMES, caller, local_root

# Python and its libraries take the rest of what a finger does not notice.
WITHIN_S = 0.2
SHOWN = 30

_DIGITS = re.compile(r"[0-9a-f]{0,32}")

Offered = list[tuple[str, str]]  # what is completed, and what is said of it


def job_ids(incomplete: str) -> Offered:
    """The latest jobs whose ids begin so."""
    return _jobs(incomplete, open_only=False)


def open_job_ids(incomplete: str) -> Offered:
    """Those of them that have not ended."""
    return _jobs(incomplete, open_only=True)


def recipe_names(incomplete: str) -> Offered:
    """The recipes that there are. Those that the shell offers are written down with the commands."""
    from shared.recipes import RECIPES

    return [
        (recipe.name, recipe.title["en"])
        for recipe in RECIPES
        if recipe.name.startswith(incomplete)
    ]


COMPLETERS: dict[str, Callable[[str], Offered]] = {
    one.__name__: one for one in (job_ids, open_job_ids)
}


def _jobs(incomplete: str, *, open_only: bool) -> Offered:
    try:
        url = _database_url()
        if url is None:
            return []
        import asyncio

        return asyncio.run(_asked(url, incomplete, open_only=open_only))
    except Exception:  # noqa: BLE001 - a shell that completes nothing is better than one with a trace
        return []


async def _asked(url: str, incomplete: str, *, open_only: bool) -> Offered:
    import asyncio

    from shared.db.connection import open_database
    from shared.db.jobs import latest_beginning_with

    digits = incomplete.strip().lower().replace("-", "")
    if not _DIGITS.fullmatch(digits):
        return []
    async with asyncio.timeout(WITHIN_S):
        async with open_database(url, name="completion", max_size=1) as database:
            async with database.connection() as db:
                found = await latest_beginning_with(db, digits, open_only=open_only, limit=SHOWN)
    return [(str(job_id), f"{recipe}, {state}") for job_id, recipe, state in found]


def _database_url() -> str | None:
    """Of the installation that the environment names, else of the one that was started here last:
    to ask whether it runs would take longer than the answer is worth."""
    given = caller()
    if any(given.get(name) for name in NAMES):
        return _trusting(given) if given.get("DATABASE_URL") else None
    try:
        url = json.loads((local_root() / "system.json").read_text())["parts"]["DATABASE_URL"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if isinstance(url, str) else None


def _trusting(given: Mapping[str, str]) -> str:
    from shared import tls

    return tls.database_url(
        given["DATABASE_URL"],
        ca_file=given.get("DATABASE_CA_FILE"),
        required=given.get("TLS_REQUIRED", "").lower() in ("1", "true", "t", "yes", "y", "on"),
    )
