"""``python -m deploy.check.browser``: what the browser tests stand on, fetched where it is missing."""

import os
import shutil
import sys
from pathlib import Path

from deploy.check import tools
from deploy.check.tools import ToolMissing

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Beside it letters for every language that we speak: without them a picture shows boxes.
PACKAGES = ("chromium", "fonts-liberation", "fonts-nanum")


def chromium_here() -> Path | None:
    """A Chromium that is installed; nothing is fetched."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


def chromium() -> Path:
    """The same, installed by Debian's packages where it is missing and we may. Raises ToolMissing."""
    if found := chromium_here():
        return found
    wanted = f"apt-get install {' '.join(PACKAGES)}"
    if shutil.which("apt-get") is None:
        raise ToolMissing("no Chromium is installed, nor Chrome: install one, from any source")
    if os.geteuid() != 0:
        raise ToolMissing(f"no Chromium is installed, and only root may do it: {wanted}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    tools.run(["apt-get", "update", "-q"], more=quiet)
    words = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES]
    done = tools.run(words, more=quiet)
    found = chromium_here()
    if found is None:
        last = (done.stderr or done.stdout).strip().splitlines()
        raise ToolMissing(f"`{wanted}` did not help: {last[-1] if last else 'no word why'}")
    return found


def main() -> int:
    try:
        sys.stdout.write(f"{chromium()}, {tools.axe().relative_to(tools.ROOT)}\n")
    except ToolMissing as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
