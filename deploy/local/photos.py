"""Photos drawn by rule, for a demo and tests that carry no binary file."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float32]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Light:
    """An hour of the day: colours from the zenith down to the water, and where the sun stands."""

    zenith: Colour
    horizon: Colour
    glow: Colour
    far: Colour
    near: Colour


EVENING = Light((62, 84, 138), (250, 196, 142), (255, 236, 190), (142, 130, 160), (24, 32, 44))
MORNING = Light((98, 148, 196), (244, 224, 206), (255, 246, 224), (150, 168, 190), (26, 48, 48))
DUSK = Light((38, 36, 86), (236, 128, 118), (255, 190, 150), (104, 80, 128), (16, 18, 34))
LIGHTS = (EVENING, MORNING, DUSK)


def default_photo() -> bytes:
    """What the demo works on when nobody names a photo: a JPEG of 1200 × 900."""
    return as_jpeg(landscape(3, (1200, 900)))


def damaged(image: Image.Image, seed: int) -> Image.Image:
    """What decades in a drawer make of a print: pale and brown, scratched, folded, stained, torn."""
    rng = np.random.default_rng(seed)
    width, height = image.size
    print_ = np.asarray(image.convert("RGB"), dtype=np.float32)
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None]
    # Dyes fade unevenly, and black first: what is left is a narrow range of browns.
    faded = print_ * 0.25 + grey * 0.75
    faded = 92 + faded * 0.46 + floats((22, 4, -26))
    blotches = Image.fromarray(rng.random((5, 7), dtype=np.float32), "F").resize(
        (width, height), Image.Resampling.BICUBIC
    )
    faded += (np.asarray(blotches)[..., None] - 0.5) * 34
    faded += rng.normal(0, 7, (height, width, 1)).astype(np.float32)
    old = Image.fromarray(np.clip(faded, 0, 255).astype(np.uint8), "RGB")
    old = old.filter(ImageFilter.GaussianBlur(max(0.6, width / 1100)))
    _stain(rng, old)
    marks = Image.new("L", old.size, 0)
    _fold(rng, marks)
    _scratch(rng, marks)
    old.paste((240, 232, 214), mask=marks)
    _tear(rng, old)
    return old


def _stain(rng: np.random.Generator, image: Image.Image) -> None:
    """Rings that a cup or damp left."""
    width, height = image.size
    for _ in range(3):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        across = width * rng.uniform(0.08, 0.2)
        ring = Image.new("L", image.size, 0)
        draw = ImageDraw.Draw(ring)
        draw.ellipse((x - across, y - across * 0.9, x + across, y + across * 0.9), 24, 84, 6)
        image.paste((120, 84, 40), mask=ring.filter(ImageFilter.GaussianBlur(width / 260)))


def _fold(rng: np.random.Generator, marks: Image.Image) -> None:
    """Where it was folded the surface has broken away, here more and there less."""
    draw = ImageDraw.Draw(marks)
    width, height = marks.size
    lines = (
        [(x, height * 0.38 + rng.normal(0, 1.5)) for x in range(0, width, 4)],
        [(width * 0.71 + rng.normal(0, 1.5), y) for y in range(0, height, 4)],
    )
    for line in lines:
        wide = np.abs(np.interp(np.arange(len(line)), *_beads(rng, len(line)))) * width / 170
        for one, following, thick in zip(line, line[1:], wide, strict=False):
            draw.line([one, following], 235, max(1, int(thick)))


def _beads(rng: np.random.Generator, length: int) -> tuple[Floats, Floats]:
    count = max(2, length // 9)
    return np.linspace(0, length, count, dtype=np.float32), rng.random(count, dtype=np.float32)


def _scratch(rng: np.random.Generator, marks: Image.Image) -> None:
    """Long fine lines, mostly along the height, and specks of dust."""
    draw = ImageDraw.Draw(marks)
    width, height = marks.size
    for _ in range(22):
        x, y = rng.uniform(0, width), rng.uniform(-0.1, 0.8) * height
        lean, long = rng.normal(0, 0.12), rng.uniform(0.1, 0.6) * height
        steps = np.linspace(0, 1, 14)
        line = [(x + lean * long * t + rng.normal(0, 1.2), y + long * t) for t in steps]
        draw.line(line, int(rng.uniform(90, 230)), int(rng.integers(1, max(2, width // 400) + 1)))
    for _ in range(260):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        size = rng.exponential(width / 900) + 0.5
        draw.ellipse((x - size, y - size, x + size, y + size), int(rng.uniform(120, 240)))


def _tear(rng: np.random.Generator, image: Image.Image) -> None:
    """One corner is gone; the paper shows where it broke."""
    width, height = image.size
    reach = width * 0.17
    edge = [
        (width - reach * (1 - t) + rng.normal(0, width / 220), height - reach * 0.8 * t)
        for t in np.linspace(0, 1, 18)
    ]
    draw = ImageDraw.Draw(image)
    draw.polygon([*edge, (width + 9, height - reach), (width + 9, height + 9)], (238, 234, 226))
    draw.line(edge, (206, 192, 166), max(2, width // 220))


def as_jpeg(image: Image.Image, *, quality: int = 90, exif: Image.Exif | None = None) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, exif=exif or Image.Exif())
    return out.getvalue()


def as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def landscape(seed: int, size: tuple[int, int]) -> Image.Image:
    """A mountain lake. The seed moves the sun, the clouds, the ridges and the trees."""
    rng = np.random.default_rng(seed)
    width, height = size
    light = LIGHTS[seed % len(LIGHTS)]
    shore = int(height * 0.66)
    sun = (width * rng.uniform(0.25, 0.75), shore * rng.uniform(0.5, 0.7))

    view = _sky(rng, (width, shore), light, sun)
    layers = 4
    for layer in range(layers):
        near = (layer + 1) / layers
        crest = shore * (0.50 + 0.34 * near) - _ridge(rng, width, roughness=2 + layer) * shore * (
            0.30 - 0.18 * near
        )
        view = _raise(view, crest, light, near)
    scene = np.concatenate([view, _water(rng, view, height - shore, light)], axis=0)
    image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8), "RGB")
    _trees(rng, image, light, shore)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def _sky(
    rng: np.random.Generator, size: tuple[int, int], light: Light, sun: tuple[float, float]
) -> Floats:
    width, height = size
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 1.3
    sky = floats(light.zenith) * (1 - down) + floats(light.horizon) * down
    sky = np.repeat(sky, width, axis=1)
    x, y = sun
    across = np.arange(width, dtype=np.float32)[None, :] - x
    below = np.arange(height, dtype=np.float32)[:, None] - y
    away = np.sqrt(across**2 + below**2) / height
    glow = np.exp(-((away / 0.42) ** 2)) * 0.55 + np.exp(-((away / 0.055) ** 4)) * 0.9
    clouds = _clouds(rng, size)
    sky += (floats(light.glow) - sky) * np.clip(glow, 0, 1)[..., None]
    lit = floats(light.glow) * 0.6 + floats(light.horizon) * 0.4
    return np.asarray(sky + (lit - sky) * clouds[..., None] * 0.6, dtype=np.float32)


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """0 to 1: noise of several scales, wide and flat, thicker above."""
    width, height = size
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(5):
        cells = (3 * 2**octave + 1, 4 * 2**octave + 1)
        grain = Image.fromarray(rng.random(cells[::-1], dtype=np.float32), "F")
        total += np.asarray(grain.resize(size, Image.Resampling.BICUBIC)) * 0.55**octave
    total = (total - total.min()) / (np.ptp(total) + 1e-6)
    fade = 1 - np.linspace(0, 1, height, dtype=np.float32)[:, None] ** 2
    return np.asarray(np.clip((total - 0.52) * 3.0, 0, 1) * fade, dtype=np.float32)


def _ridge(rng: np.random.Generator, width: int, *, roughness: int) -> Floats:
    """0 to 1 along the width: midpoints of midpoints."""
    total = np.zeros(width, dtype=np.float32)
    for octave in range(8):
        points = roughness * 2**octave + 2
        heights = rng.random(points)
        along = np.linspace(0, points - 1, width)
        total += (np.interp(along, np.arange(points), heights) * 0.5**octave).astype(np.float32)
    return np.asarray((total - total.min()) / (np.ptp(total) + 1e-6), dtype=np.float32)


def _raise(view: Floats, crest: Floats, light: Light, near: float) -> Floats:
    """A range of hills in front of what is there: the farther the paler, mist at its foot."""
    height = view.shape[0]
    rows = np.arange(height, dtype=np.float32)[:, None]
    covered = np.clip(rows - crest[None, :], 0, 1)[..., None]
    body = floats(light.far) * (1 - near) + floats(light.near) * near
    # Slopes that face the light, softly: the crest's own roughness would draw stripes.
    span = max(3, view.shape[1] // 24) | 1
    calm = np.convolve(np.pad(crest, span // 2, mode="edge"), np.ones(span) / span, mode="valid")
    shade = 1 + np.clip(np.gradient(calm), -0.8, 0.8)[None, :, None] * 0.16
    mist = np.clip((rows - crest[None, :]) / (height * 0.30), 0, 1)[..., None] * (
        0.75 - 0.65 * near
    )
    hill = body * shade + (floats(light.horizon) - body * shade) * mist
    return np.asarray(view * (1 - covered) + hill * covered, dtype=np.float32)


def _water(rng: np.random.Generator, view: Floats, depth: int, light: Light) -> Floats:
    """The view upside down, darker, drawn sideways by ripples that grow towards us."""
    height, width = view.shape[:2]
    rows = np.arange(depth)
    source = np.clip(height - 1 - (rows * 0.9 * height / max(depth, 1) * 0.75).astype(int), 0, None)
    mirrored = view[source]
    nearness = (rows / max(depth, 1))[:, None]
    wave = np.sin(rows[:, None] * 0.55 / (0.15 + nearness) + rng.random() * 6) * nearness * 7
    wave = wave + rng.normal(0, 1.2, (depth, 1)) * nearness
    columns = np.clip(np.arange(width)[None, :] + wave, 0, width - 1).astype(int)
    water = mirrored[rows[:, None], columns]
    tint = floats(light.zenith) * 0.55
    return np.asarray(water * 0.80 + tint * (0.10 + 0.18 * nearness[..., None]), dtype=np.float32)


def _trees(rng: np.random.Generator, image: Image.Image, light: Light, shore: int) -> None:
    """Conifers on both banks, larger towards the edges of the picture."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    for _ in range(46):
        side = rng.choice([-1, 1])
        edge = rng.random() ** 1.6
        x = width / 2 + side * width * (0.53 - 0.36 * edge)
        tall = height * (0.30 - 0.22 * edge) * rng.uniform(0.7, 1.15)
        foot = shore + height * (0.13 - 0.12 * edge) * rng.uniform(0.7, 1.1)
        dark = [int(part * rng.uniform(0.45, 0.9)) for part in light.near]
        for tier in range(9):
            top = foot - tall * (1 - tier / 10)
            half = tall * (0.02 + 0.017 * tier) * rng.uniform(0.85, 1.15)
            drop = tall * 0.17
            draw.polygon([(x, top), (x - half, top + drop), (x + half, top + drop)], tuple(dark))
        draw.line([(x, foot - tall * 0.1), (x, foot)], tuple(dark), max(2, int(tall * 0.03)))


def floats(rgb: Colour) -> Floats:
    return np.asarray(rgb, dtype=np.float32)
