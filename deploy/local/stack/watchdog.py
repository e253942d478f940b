"""Removes a stack when the process that it was made for has died, however it died.

``pytest`` that is killed outright cannot tidy up, and must not leave three servers behind.
"""

import sys
import time
from pathlib import Path

from deploy.local.stack.stack import Stack


def main(root: Path) -> None:
    stack = Stack.load(root)
    while not stack.owner_is_gone:
        time.sleep(0.5)
    stack.nuke()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
