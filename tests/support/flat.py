"""A maker of prepared files that is quick, and as reproducible as the real ones."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from shared.media.made import Made

SIZE = (64, 48)


def flat(options: Mapping[str, Any]) -> Made:
    """One colour; which one depends on the seed, so that other options give other bytes."""
    file = io.BytesIO()
    seed = int(options["seed"])
    Image.new("RGB", SIZE, (seed % 256, seed // 256 % 256, 40)).save(file, format="PNG")
    return Made(data=file.getvalue(), content_type="image/png", width=SIZE[0], height=SIZE[1])


FLAT = {"stencil": flat}
