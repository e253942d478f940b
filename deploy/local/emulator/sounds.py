"""The makers of sounds: as long as asked for, decided by prompt and seed.

The same order gives the same bytes. Another seed, length or prompt gives another sound.
"""

import hashlib
import json
import random

import numpy as np

from deploy.local.emulator import noises, tunes, waves
from deploy.local.emulator.making import MadeFile, Order, RunFailed

LONGEST_S = 300  # a real card's memory ends somewhere; ours ends here

# Where it comes from, and what it is packed in, is not the sound itself.
_NOT_HEARD = frozenset({"seed", "input_audio", "output_format"})


def sound_effect(order: Order) -> tuple[MadeFile, ...]:
    """stable-audio-open: one wav, 44.1 kHz, stereo. A batch is one sound after the other."""
    wanted, batch = int(order.input["seconds_total"]), int(order.input["batch_size"])
    _take(wanted * batch)
    prompt = str(order.input["prompt"])
    dice = _dice(order)
    made = [noises.noises(dice, seconds=wanted, prompt=prompt) for _ in range(batch)]
    data = waves.as_wav(np.concatenate(made, axis=1), noises.RATE)
    return (MadeFile("output.wav", waves.TYPES["wav"], data),)


def music(order: Order) -> tuple[MadeFile, ...]:
    """MusicGen: one wav or mp3, 32 kHz."""
    wanted = int(order.input["duration"])
    _take(wanted)
    samples = tunes.tune(_dice(order), seconds=wanted, prompt=str(order.input["prompt"] or ""))
    data, form = waves.as_wav(samples, tunes.RATE), str(order.input["output_format"])
    if form != "wav":
        data = waves.encoded(data, form)
    return (MadeFile(f"out.{form}", waves.TYPES[form], data),)


def _take(seconds: int) -> None:
    """The schemas name no bounds; the run finds them."""
    if seconds < 1:
        raise RunFailed("Expected a length above 0 (E1000)")
    if seconds > LONGEST_S:
        raise RunFailed(f"CUDA out of memory. Tried to allocate {seconds / 20:.2f} GiB (E1001)")


def _dice(order: Order) -> random.Random:
    """Everything that makes this sound another one, as one source of chance."""
    heard = {name: value for name, value in order.input.items() if name not in _NOT_HEARD}
    mixed = hashlib.sha256(json.dumps(heard, sort_keys=True, default=str).encode())
    mixed.update(f"|{order.seed}".encode())
    mixed.update(order.files.get("input_audio", b""))
    return random.Random(mixed.digest())
