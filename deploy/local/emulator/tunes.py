"""Music: chords, a bass, a plucked line and soft percussion, in a tempo and a scale of its own."""

import random
from dataclasses import dataclass, field

import numpy as np

from deploy.local.emulator.waves import Samples

RATE = 32_000

# Steps of a scale, in semitones.
MAJOR, MINOR, DORIAN = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
)
# Four bars of chords, by their place in the scale.
TURNS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 0, 4), (0, 2, 5, 3))

CALM = ("calm", "sad", "soft", "slow", "dark", "night", "sleep", "gentle", "lonely", "ambient")
LIVELY = ("happy", "upbeat", "bright", "dance", "adventure", "funny", "cheer", "fast", "energetic")


@dataclass(slots=True)
class Mix:
    """What has been played so far, left and right, and every note that was ever made for it."""

    heard: Samples
    notes: dict[tuple[str, int], Samples] = field(default_factory=dict)

    def play(self, note: Samples, at_s: float, *, loud: float, side: float = 0.5) -> None:
        start = int(at_s * RATE)
        note = note[: max(0, self.heard.shape[1] - start)]
        for channel, share in zip(self.heard, (1 - side, side), strict=True):
            channel[start : start + len(note)] += note * np.float32(2 * loud * share)


def tune(dice: random.Random, *, seconds: float, prompt: str) -> Samples:
    """Two channels of exactly `seconds`."""
    lowered = prompt.lower()
    calm, lively = (any(word in lowered for word in some) for some in (CALM, LIVELY))
    tempo = dice.uniform(60, 78) if calm else dice.uniform(104, 128) if lively else None
    beat = 60 / (tempo or dice.uniform(72, 112))
    scale = dice.choice((MINOR, DORIAN) if calm else (MAJOR,) if lively else (MAJOR, MINOR, DORIAN))
    root, turn = dice.randint(45, 56), dice.choice(TURNS)
    rng = np.random.default_rng(dice.getrandbits(64))
    mix = Mix(np.zeros((2, round(seconds * RATE)), dtype=np.float32))
    place = dice.randrange(7)
    for bar in range(int(seconds / (4 * beat)) + 1):
        start, degree = bar * 4 * beat, turn[bar % len(turn)]
        _chord(mix, root, scale, degree, start, 4 * beat)
        _bass(mix, root, scale, degree, start, beat, dice)
        place = _line(mix, root, scale, place, start, beat, dice)
        if not calm and bar > 0:
            _percussion(mix, start, beat, rng, dice)
    return _finished(mix.heard, beat)


def _pitch(root: int, scale: tuple[int, ...], place: int) -> int:
    """A MIDI note, by its place in the scale; places go on over octaves."""
    octave, step = divmod(place, len(scale))
    return root + 12 * octave + scale[step]


def _chord(
    mix: Mix, root: int, scale: tuple[int, ...], degree: int, start: float, length: float
) -> None:
    for third in range(3):
        note = _pad(mix, _pitch(root, scale, degree + 2 * third), length)
        mix.play(note, start, loud=0.10, side=0.3 + 0.2 * third)


def _bass(
    mix: Mix,
    root: int,
    scale: tuple[int, ...],
    degree: int,
    start: float,
    beat: float,
    dice: random.Random,
) -> None:
    low = _pitch(root, scale, degree) - 24
    for place, beats in enumerate((0.0, 1.5, 2.0, 3.5)):
        if place in {0, 2} or dice.random() < 0.4:
            mix.play(_plucked(mix, "bass", low, 0.45), start + beats * beat, loud=0.34)


def _line(
    mix: Mix,
    root: int,
    scale: tuple[int, ...],
    place: int,
    start: float,
    beat: float,
    dice: random.Random,
) -> int:
    """A walk over the scale in eighths with rests; where it ends, the next bar goes on."""
    for eighth in range(8):
        place = max(3, min(12, place + dice.choice((-2, -1, -1, 0, 1, 1, 2))))
        if dice.random() < 0.62:
            note = _plucked(mix, "line", _pitch(root, scale, place) + 12, 0.30)
            loud = dice.uniform(0.10, 0.17)
            mix.play(note, start + eighth * beat / 2, loud=loud, side=dice.uniform(0.35, 0.65))
    return place


def _percussion(
    mix: Mix, start: float, beat: float, rng: np.random.Generator, dice: random.Random
) -> None:
    for place in range(4):
        if place in {0, 2}:
            mix.play(_kick(mix), start + place * beat, loud=0.42)
        for half in (0.0, 0.5):
            loud = dice.uniform(0.02, 0.05)
            mix.play(_shaker(mix, rng), start + (place + half) * beat, loud=loud, side=0.62)


def _pad(mix: Mix, pitch: int, length: float) -> Samples:
    if ("pad", pitch) not in mix.notes:
        time = _time(length * 1.15)
        tone = np.zeros_like(time)
        for partial, share in ((1, 1.0), (2, 0.35), (3, 0.12)):
            for detuned in (0.9985, 1.0015):
                tone += np.sin(_turn(pitch, partial * detuned) * time) * np.float32(share)
        rise, fall = np.float32(1 / (0.25 * length)), np.float32(1 / (0.3 * length))
        tone *= np.minimum(1, time * rise) * np.minimum(1, (time[-1] - time) * fall)
        mix.notes["pad", pitch] = tone
    return mix.notes["pad", pitch]


def _plucked(mix: Mix, voice: str, pitch: int, ring: float) -> Samples:
    if (voice, pitch) not in mix.notes:
        time = _time(ring * 4)
        tone = np.zeros_like(time)
        for partial in range(1, 5):
            fades = np.exp(time * np.float32(-partial / ring))
            tone += np.sin(_turn(pitch, partial) * time) * fades / np.float32(partial**1.4)
        tone *= np.minimum(1, time * 300) * np.minimum(1, (time[-1] - time) * 60)
        mix.notes[voice, pitch] = tone
    return mix.notes[voice, pitch]


def _kick(mix: Mix) -> Samples:
    if ("kick", 0) not in mix.notes:
        time = _time(0.28)
        # It falls from 110 Hz to 45.
        turns = 45 * time + 65 * 0.03 * (1 - np.exp(time / np.float32(-0.03)))
        mix.notes["kick", 0] = np.sin(np.float32(2 * np.pi) * turns) * np.exp(time * -14)
    return mix.notes["kick", 0]


def _shaker(mix: Mix, rng: np.random.Generator) -> Samples:
    if ("shaker", 0) not in mix.notes:
        time = _time(0.09)
        hiss = np.diff(rng.standard_normal(len(time) + 1, dtype=np.float32))
        mix.notes["shaker", 0] = hiss * np.exp(time * -45) * np.minimum(1, time * 200)
    return mix.notes["shaker", 0]


def _time(seconds: float) -> Samples:
    return np.arange(int(seconds * RATE), dtype=np.float32) / np.float32(RATE)


def _turn(pitch: int, times: float) -> np.float32:
    """Radians a second of a MIDI note, so many times as high."""
    return np.float32(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * times)


def _finished(heard: Samples, beat: float) -> Samples:
    """An echo, the loudness that such models aim at, no clicks at the ends."""
    late = int(0.75 * beat * RATE)
    if 0 < late < heard.shape[1]:
        heard[:, late:] += heard[::-1, :-late] * np.float32(0.22)
    level = float(np.sqrt(np.mean(heard[0] * heard[0]))) or 1.0
    heard = np.tanh(heard * np.float32(0.17 / level))
    frames = heard.shape[1]
    rise, fall = min(320, frames), min(int(1.2 * RATE), frames // 8)
    heard[:, :rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    if fall:
        heard[:, -fall:] *= np.linspace(1, 0, fall, dtype=np.float32)
    return heard
