"""Every sentence of the pages, in both languages, by one key."""

from services.api.pages.words import facts, frame, job, jobs, overview, parked, recipes
from services.api.pages.words.said import Said

WORDS: dict[str, Said] = {
    **facts.WORDS,
    **frame.WORDS,
    **job.WORDS,
    **jobs.WORDS,
    **overview.WORDS,
    **parked.WORDS,
    **recipes.WORDS,
}


def sentence(key: str, tongue: str, **values: object) -> str:
    """What ``key`` stands for. Raises KeyError for a key that nobody wrote down, or a missing
    value."""
    return WORDS[key].by(tongue).format(**values)
