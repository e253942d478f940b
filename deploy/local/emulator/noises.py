"""Sounds of things: strokes that ring, over a bed of coloured noise, with silence around them."""

import random
from dataclasses import dataclass

import numpy as np

from deploy.local.emulator.waves import Samples

RATE = 44_100
LOOP = 2**18  # frames of noise that a bed repeats, seamlessly
HUM = 2 / 32768  # what a model leaves where it means silence

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a family of things sounds; `words` in a prompt ask for it."""

    words: tuple[str, ...]
    bed: float  # loudness of the steady noise beside the strokes
    dark: float  # how fast its spectrum falls
    pace: Span  # strokes a second
    steady: float  # 1: like steps; 0: like drops
    pitch: Span  # of the lowest resonance, Hz
    ring_s: Span  # until a stroke has lost two thirds
    hiss: float  # how much of a stroke is noise


MANNERS = (
    Manner(
        ("rain", "wind", "sea", "ocean", "wave", "river", "water", "fire", "crowd"),
        *(0.9, 1.1, (0.5, 1.5), 0.0, (300, 900), (0.05, 0.2), 0.9),
    ),
    Manner(
        ("bell", "chime", "glass", "coin", "magic", "clock", "ring", "sparkle"),
        *(0.01, 1.0, (0.6, 1.6), 0.5, (480, 1300), (0.5, 1.2), 0.08),
    ),
    Manner(
        ("step", "knock", "door", "drum", "wood", "horse", "hammer", "typing"),
        *(0.03, 1.4, (1.6, 2.6), 0.9, (70, 240), (0.04, 0.14), 0.5),
    ),
    Manner(
        ("thunder", "explosion", "boom", "engine", "rocket", "monster", "earthquake"),
        *(0.35, 2.0, (0.3, 0.6), 0.1, (34, 80), (0.6, 1.4), 0.6),
    ),
    Manner(
        ("bird", "whistle", "bubble", "laser", "cricket", "mouse", "drip"),
        *(0.03, 1.0, (2.5, 5.0), 0.3, (1300, 2900), (0.03, 0.12), 0.05),
    ),
)


def noises(dice: random.Random, *, seconds: float, prompt: str) -> Samples:
    """Two channels of exactly `seconds`, silent at both ends, full scale at the loudest point."""
    manner = _fitting(prompt, dice)
    rng = np.random.default_rng(dice.getrandbits(64))
    frames = round(seconds * RATE)
    before = round(min(dice.uniform(0.12, 0.4), 0.15 * seconds) * RATE)
    after = round(min(dice.uniform(0.3, 1.6), 0.25 * seconds) * RATE)
    heard = np.zeros((2, frames - before - after), dtype=np.float32)
    if manner.bed:
        heard += manner.bed * _bed(manner, heard.shape[1], rng)
    _strike(heard, manner, dice, rng)
    _settle(heard)
    heard *= np.float32(0.98) / max(float(np.abs(heard).max(initial=0)), 1e-6)
    hush = (rng.random((2, before + after), dtype=np.float32) * 2 - 1) * np.float32(HUM)
    return np.concatenate((hush[:, :before], heard, hush[:, before:]), axis=1)


def _fitting(prompt: str, dice: random.Random) -> Manner:
    lowered = prompt.lower()
    chance = dice.choice(MANNERS)
    return next((one for one in MANNERS if any(word in lowered for word in one.words)), chance)


def _bed(manner: Manner, frames: int, rng: np.random.Generator) -> Samples:
    """Noise whose strength wanders, a little different left and right."""
    spectrum = rng.normal(size=(LOOP // 2 + 1, 2)).astype(np.float32) @ np.array([1, 1j])
    pitch = np.fft.rfftfreq(LOOP, 1 / RATE)
    spectrum *= (pitch + 40) ** -(manner.dark / 2) * (pitch > 25)
    loop = np.fft.irfft(spectrum).astype(np.float32)
    loop /= np.float32(3.5 * loop.std())
    # Drawn four times a second, and stretched; nobody hears steps of 32 frames.
    points = rng.uniform(0.45, 1.0, size=max(2, frames * 4 // RATE))
    steps = np.interp(np.linspace(0, len(points) - 1, -(-frames // 32)), range(len(points)), points)
    strength = np.repeat(steps.astype(np.float32), 32)[:frames]
    sides = (np.resize(loop, frames), np.resize(np.roll(loop, LOOP // 3), frames))
    middle = sides[0] * np.float32(0.75) * strength
    return np.stack([middle, middle * np.float32(0.7) + sides[1] * np.float32(0.45) * strength])


def _strike(heard: Samples, manner: Manner, dice: random.Random, rng: np.random.Generator) -> None:
    """Strokes from the first frame on, three kinds of them, each time another strength and side."""
    frames = heard.shape[1]
    strokes = [_stroke(manner, dice, rng) for _ in range(3)]
    between = RATE / dice.uniform(*manner.pace)
    at = 0.0
    while at < frames - RATE * 0.05:
        stroke = dice.choice(strokes)[: frames - int(at)]
        loud, side = dice.uniform(0.45, 1.0), dice.uniform(0.25, 0.75)
        for channel, share in zip(heard, (1 - side, side), strict=True):
            channel[int(at) : int(at) + len(stroke)] += stroke * np.float32(2 * loud * share)
        at += between * (manner.steady + (1 - manner.steady) * dice.expovariate(1) + 0.05)


def _stroke(manner: Manner, dice: random.Random, rng: np.random.Generator) -> Samples:
    ring = dice.uniform(*manner.ring_s)
    time = np.arange(int(RATE * min(4.5 * ring, 5.0)), dtype=np.float32) / np.float32(RATE)
    pitch = dice.uniform(*manner.pitch)
    tone = np.zeros_like(time)
    for mode in range(1, 6):
        # Not quite harmonic, as of things that are no instruments; what is higher fades sooner.
        shape = pitch * mode ** dice.uniform(1.0, 1.35)
        if shape < RATE / 2.2:
            fades = np.exp(time * np.float32(-mode / ring))
            turn = np.float32(2 * np.pi * shape)
            tone += np.sin(turn * time + np.float32(dice.random() * 6)) * fades / np.float32(mode)
    hiss = rng.standard_normal(len(time), dtype=np.float32) * np.exp(time / np.float32(-ring / 3))
    stroke = tone * np.float32((1 - manner.hiss) * 0.5) + hiss * np.float32(manner.hiss * 0.4)
    stroke *= np.minimum(1, time * np.float32(500)) * np.minimum(1, (time[-1] - time) * 50)
    return np.asarray(stroke, dtype=np.float32)


def _settle(heard: Samples) -> None:
    """It dies away, rather than being cut."""
    fading = min(int(1.2 * RATE), heard.shape[1] // 3)
    if fading:
        heard[:, -fading:] *= np.linspace(1, 0, fading, dtype=np.float32) ** 2
