"""What a log of the API tells of a run."""

import json
from collections.abc import Collection
from pathlib import Path

from tests.fuzz.jobs import Found


def faults_in(log: Path, found: Found) -> list[str]:
    return lines_that_must_not_be(log, found.words.values())


def lines_that_must_not_be(log: Path, words: Collection[str]) -> list[str]:
    """What stands there: a failure, a line that is none of ours, a token."""
    wrong = []
    for line in log.read_text().splitlines():
        if any(word in line for word in words):
            wrong.append("a token stands in the log")
        try:
            level = json.loads(line).get("level")
        except (ValueError, AttributeError):
            wrong.append(f"a line of the log is no event: {line[:200]}")
            continue
        if level in ("error", "critical"):
            wrong.append(f"the log tells of a failure: {line[:1000]}")
    return wrong
