"""Fields of an order that nobody reads: a newer publisher's, or a slip. Pure."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from shared.words import VOCABULARIES, Words

MOST = 10  # names that are kept and told
LONGEST = 64  # characters of one


def unread_of(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Those of ``names`` that are not ``known``, as they can be kept and shown anywhere."""
    strange = sorted(name for name in names if name not in known)
    return tuple(_shown(name) for name in strange[:MOST])


def note_of(unread: Collection[str], known: Collection[str]) -> Words | None:
    """What people are told about them, each with the name that it may have meant; None: nothing."""
    unknown = [name for name in unread if name not in known]  # a later release may have learned it
    if not unknown:
        return None
    named = ", ".join(_with_guess(name, known) for name in unknown)
    return {tongue: words.unread.format(names=named) for tongue, words in VOCABULARIES.items()}


def _shown(name: str) -> str:
    cut = name[:LONGEST]
    return cut if cut.isprintable() else ascii(cut)[1:-1][:LONGEST]


def _with_guess(name: str, known: Collection[str]) -> str:
    plain = name.replace("-", "_").lower()
    like = get_close_matches(plain, sorted(known), n=1, cutoff=0.7)
    return f"{name} ({like[0]}?)" if like else name
