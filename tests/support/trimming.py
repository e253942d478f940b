"""Trims one sound: run by a test that kills it in the middle.

    python -m tests.support.trimming FILE

Says what it made as JSON, if it lives long enough.
"""

import json
import sys
from pathlib import Path

from shared.media.audio import trim

if __name__ == "__main__":
    made = trim(Path(sys.argv[1]).read_bytes(), {"seconds": 1000})
    sys.stdout.write(json.dumps({"seconds": made.seconds, "bytes": len(made.data)}))
