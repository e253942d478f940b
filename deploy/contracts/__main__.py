"""``python -m deploy.contracts``: write the documents; ``--check``: say which are not up to date."""

import json
import sys
from pathlib import Path

from deploy.contracts import asyncapi, openapi, schemas
from services.api import document as api

FOLDER = Path(__file__).parents[2] / "docs" / "contracts"


def documents() -> dict[str, str]:
    """The text of every document, by its place below ``docs/contracts``."""
    told = {
        "asyncapi.json": asyncapi.document(),
        "ingress.openapi.json": openapi.document(),
        "api.openapi.json": api.document(),
        **{f"schemas/{name}": schema for name, schema in schemas.documents().items()},
    }
    return {
        name: json.dumps(what, ensure_ascii=False, indent=2) + "\n" for name, what in told.items()
    }


def stale() -> list[str]:
    """The documents that are missing, differ, or are no longer made."""
    wanted = documents()
    there = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*.json")
    }
    return sorted(
        name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)
    )


def main() -> int:
    differ = stale()
    if "--check" in sys.argv[1:]:
        for name in differ:
            sys.stderr.write(
                f"docs/contracts/{name} is not up to date: python -m deploy.contracts\n"
            )
        return 1 if differ else 0
    wanted = documents()
    for name in differ:
        path = FOLDER / name
        if name not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
