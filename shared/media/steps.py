"""The steps that recipes name: what is made before a purchase, and what is derived from its outputs.

Each is pure: the same bytes and options give the same file. All of them block (CPU, or a bounded
wait for ffmpeg), so callers run them off the event loop, a bounded number at a time.
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.media import audio, palette, stencil
from shared.media.made import Made

# Options to a file. Raises Permanent where the options make no sense.
PREPARE: Mapping[str, Callable[[Mapping[str, Any]], Made]] = {"stencil": stencil.prepare}

# A stored output and options to a derived file. Raises Permanent (the output cannot be used) or
# Transient (it did not work out this time).
FINISH: Mapping[str, Callable[[bytes, Mapping[str, Any]], Made]] = {
    "palette": palette.finish,
    "trim": audio.trim,
}
