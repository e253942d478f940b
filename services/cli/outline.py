"""The tree of commands as data, and what the shell completes from it.

To complete a word all commands would have to be imported, which takes longer than anybody waits for
a key. So the tree is written down beside this module (``python -m deploy.commands``), and a test
holds it against the commands themselves. The shells call as the scripts of ``--show-completion`` say.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.cli.completing import COMPLETERS, Offered

WRITTEN = Path(__file__).with_suffix(".json")

Outline = dict[str, Any]


def read() -> Outline:
    kept: Outline = json.loads(WRITTEN.read_text(encoding="utf-8"))
    return kept


def answers(environment: Mapping[str, str]) -> bool:
    """Answer the shell, if it is one of those that ask so."""
    shell = environment.get("_DARKROOM_COMPLETE", "").removeprefix("complete_")
    if shell == "bash":
        words = environment.get("COMP_WORDS", "")
        at = environment.get("COMP_CWORD", "")
        before, incomplete = _split(words)
        everything = [*before, incomplete] if incomplete else before
        place = int(at) if at.isdecimal() else len(everything)
        before, incomplete = everything[:place], "".join(everything[place : place + 1])
    elif shell in ("zsh", "fish"):
        before, incomplete = _split(environment.get("_TYPER_COMPLETE_ARGS", ""))
    else:
        return False
    found = completions(read(), before[1:], incomplete)
    asks_whether = environment.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args"
    if shell == "fish" and asks_whether:
        sys.exit(0 if found else 1)
    sys.stdout.write(_WRITERS[shell](found) + "\n")
    return True


def completions(outline: Outline, before: Sequence[str], incomplete: str) -> Offered:
    """What could come next after the words ``before``; nothing where only the shell's own files
    could."""
    here, rest = _command(outline, before)
    if "commands" in here:
        return [
            (name, _first_sentence(inner["help"]))
            for name, inner in here["commands"].items()
            if name.startswith(incomplete)
        ]
    by_name = {name: one for one in here["options"] for name in one["names"].split("/")}
    waits = by_name.get(rest[-1]) if rest else None
    if waits is not None and waits["takes"] != "nothing":
        return _values(waits, incomplete)
    if incomplete.startswith("-"):
        names = {**by_name, "--help": {"help": "Show what it does."}}
        given = {word for word in rest if word.startswith("-")}
        return [
            (name, one["help"])
            for name, one in names.items()
            if name.startswith(incomplete) and (name not in given or one.get("takes") == "values")
        ]
    argument = _argument(here, by_name, rest)
    return _values(argument, incomplete) if argument else []


def _command(outline: Outline, words: Sequence[str]) -> tuple[Outline, Sequence[str]]:
    """The command that the words name, or the group that they end in; and what is behind it."""
    here = outline
    for number, word in enumerate(words):
        if "commands" not in here:
            return here, words[number:]
        if word in here["commands"]:
            here = here["commands"][word]
        elif not word.startswith("-"):
            return {"options": [], "arguments": []}, ()  # no command of ours
    return here, ()


def _argument(command: Outline, by_name: Mapping[str, Outline], rest: Sequence[str]) -> Any:
    """The argument that the next word would be."""
    place, skips = 0, False
    for word in rest:
        if skips or word.startswith("-"):
            one = by_name.get(word)
            skips = not skips and one is not None and one["takes"] != "nothing"
        else:
            place += 1
    arguments = command["arguments"]
    if place < len(arguments):
        return arguments[place]
    return arguments[-1] if arguments and arguments[-1]["takes"] == "values" else None


def _values(one: Outline, incomplete: str) -> Offered:
    if "completes" in one:
        return COMPLETERS[one["completes"]](incomplete)
    return [(choice, "") for choice in one.get("choices", ()) if choice.startswith(incomplete)]


def _split(line: str) -> tuple[list[str], str]:
    """The words before the one that is being typed, and that one."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that is still open
        words = line.split()
    if words and not line.endswith(" "):
        return words[:-1], words[-1]
    return words, ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0].strip()


def _for_bash(found: Offered) -> str:
    return "\n".join(value for value, _ in found)


def _for_zsh(found: Offered) -> str:
    # The answer is evaluated as code: nothing passes that a shell would take for more than text.
    told = "\n".join(_zsh_pairs(found))
    return f"_arguments '*: :(({told}))'" if told else "_files"


def _zsh_pairs(found: Offered) -> Iterator[str]:
    for value, about in found:
        word = re.sub(r"[^\w.-]", "", value)
        words = re.sub(r"[^\w .,-]", " ", about)
        yield f'"{word}":"{words}"' if words else f'"{word}"'


def _for_fish(found: Offered) -> str:
    return "\n".join(f"{value}\t{' '.join(about.split())}".rstrip() for value, about in found)


_WRITERS = {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}
