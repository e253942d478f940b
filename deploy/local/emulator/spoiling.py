"""Files that are not what they should be, as faults ask for them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image

from deploy.local.emulator import images, waves
from deploy.local.emulator.faults import PICTURES, Chosen
from deploy.local.emulator.making import MadeFile


def spoiled(made: Sequence[MadeFile], faults: Chosen) -> Sequence[MadeFile]:
    """What was made, after the faults that the files themselves carry. Blocking, like making."""
    sounds = all(one.content_type.startswith("audio/") for one in made)
    if (other := faults.get("other_format")) is not None:
        form = str(other["format"])
        if sounds and form not in PICTURES:
            made = waves.reencoded(made, form)
        elif not sounds and form in PICTURES:
            made = images.reencoded(made, form)
    if sounds and "silent" in faults:
        made = [waves.silenced(one) for one in made]
    if sounds and "empty_sound" in faults:
        made = [waves.emptied(one) for one in made]
    if (wrong := faults.get("wrong_file")) is not None:
        made = [replace(one, data=_things()[str(wrong["what"])]) for one in made]
    if "empty_file" in faults:
        made = [replace(one, data=b"") for one in made]
    return made


@cache
def _things() -> Mapping[str, bytes]:
    """One whole and valid file of each kind."""
    picture = Image.radial_gradient("L").resize((64, 64))
    png, jpg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG")
    picture.save(jpg, "JPEG")
    beep = np.sin(np.arange(4410, dtype=np.float32) / 12)[None] * np.float32(0.5)
    return {
        "html": b"<!doctype html><title>Sign in</title><p>Please sign in to go on.</p>",
        "text": b"upstream connect error or disconnect/reset before headers\n",
        "png": png.getvalue(),
        "jpg": jpg.getvalue(),
        "wav": waves.as_wav(beep, 44_100),
    }
