"""The image without an engine: what its recipe copies and installs, in an environment of its own."""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

from deploy.check.tools import ROOT, TOOLS, run

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IGNORED = ROOT / ".dockerignore"
LOCK = "requirements.lock"
_COPY = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)
_PROOF = re.compile(r"^RUN (\[.+\])$", re.MULTILINE)


def copied() -> Iterator[Path]:
    """Every file that the recipe takes out of the checkout, by its path there."""
    left_out = set(IGNORED.read_text(encoding="utf-8").split())
    for words in _COPY.findall(DOCKERFILE.read_text(encoding="utf-8")):
        for name in words.split():
            whole = ROOT / name
            for path in sorted(whole.rglob("*")) if whole.is_dir() else [whole]:
                inside = path.relative_to(ROOT)
                parents = {str(parent) for parent in (inside, *inside.parents)}
                if path.is_file() and not parents & left_out and "__pycache__" not in path.parts:
                    yield inside


def proof() -> list[str]:
    """What the recipe itself runs to see that the image is whole."""
    (words,) = _PROOF.findall(DOCKERFILE.read_text(encoding="utf-8"))
    told: list[str] = json.loads(words)
    return told


class Installed:
    """The environment, and an empty directory to run its programs in."""

    def __init__(self, place: Path) -> None:
        self.programs = place / ".venv" / "bin"
        self.home = place / "home"

    def run(self, words: Sequence[object]) -> CompletedProcess[str]:
        """By a program of the environment, with nothing of the caller's variables."""
        path = f"{self.programs}:/usr/bin:/bin"
        clean = ["env", "-i", f"PATH={path}", "HOME=/nonexistent", f"DARKROOM_HOME={self.home}"]
        return run([*clean, *words], folder=self.home)


def install() -> tuple[Installed, list[CompletedProcess[str]]]:
    """As the recipe does it: the locked packages, then ours. Also how each step went."""
    place = TOOLS / "image"
    shutil.rmtree(place, ignore_errors=True)
    (place / "home").mkdir(parents=True)
    for file in copied():
        target = place / "source" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, target)
    uv = Path(sys.executable).parent / "uv"
    into = {"VIRTUAL_ENV": str(place / ".venv")}
    steps = (
        [uv, "venv", "-q", "--python", sys.executable, place / ".venv"],
        [uv, "pip", "sync", "-q", "--require-hashes", place / "source" / LOCK],
        [uv, "pip", "install", "-q", "--no-deps", place / "source"],
    )
    return Installed(place), [run(words, more=into) for words in steps]
