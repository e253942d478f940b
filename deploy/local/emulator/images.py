"""The makers of pictures: painterly versions of the photo that was sent, decided by the seed.

The same order gives the same bytes. Another seed, photo or prompt gives another picture: they are
mixed, with the place among several outputs, into one number that every choice is drawn from.
"""

import hashlib
import io
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageChops,
    ImageEnhance,
    ImageFilter,
    ImageOps,
    UnidentifiedImageError,
)

from deploy.local.emulator.flat import elaborated, granular, is_flat
from deploy.local.emulator.making import MadeFile, Order, RunFailed

LARGEST_READ = 2048  # photos are reduced to this as they are decoded
MOST_PIXELS = 80_000_000
MENDED_SIDE = 512  # scratches are looked for on a smaller copy
BRUSHED_SIDE = 336  # the brush works on a smaller copy: strokes are wider than pixels

Colour = tuple[int, int, int]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Look:
    """A mood: what shadows, middle tones and lights lean to, how vivid, how hard."""

    shadows: Colour
    middle: Colour
    lights: Colour
    vivid: float
    contrast: float


LOOKS = (
    Look((38, 22, 52), (196, 116, 72), (255, 236, 190), 1.20, 1.06),  # golden hour
    Look((8, 44, 60), (128, 132, 122), (255, 222, 186), 1.15, 1.10),  # teal and orange
    Look((28, 26, 78), (150, 104, 150), (255, 208, 202), 1.10, 1.04),  # dusk
    Look((14, 40, 34), (112, 142, 98), (246, 244, 206), 1.12, 1.04),  # forest
    Look((58, 26, 40), (206, 132, 132), (255, 238, 228), 1.05, 1.00),  # rose
    Look((12, 24, 52), (104, 136, 172), (236, 246, 255), 0.92, 1.10),  # winter
    Look((48, 30, 20), (176, 132, 84), (252, 238, 208), 0.75, 1.04),  # old film
    Look((20, 20, 26), (136, 134, 134), (252, 250, 246), 1.25, 1.12),  # studio
    Look((40, 16, 16), (200, 92, 48), (255, 226, 164), 1.22, 1.06),  # autumn
    Look((10, 48, 66), (86, 164, 168), (240, 255, 244), 1.15, 1.02),  # lagoon
)


def variations(order: Order) -> tuple[MadeFile, ...]:
    """SDXL: image to image, inpainting, or from the words alone."""
    given = order.files.get("image")
    asked = (int(order.input["width"]), int(order.input["height"]))
    photo = None if given is None else read(given)
    size = _fitting(asked if photo is None else photo.size, order.longest_side)
    mask = read(order.files["mask"]).convert("L").resize(size) if "mask" in order.files else None
    strength = float(order.input["prompt_strength"]) if photo is not None else 0.7
    flat = photo is not None and is_flat(photo)
    made = []
    for index in range(int(order.input["num_outputs"])):
        dice = _dice(order, "image", index)
        ground = _imagined(dice, size) if photo is None else photo
        if flat:
            ground = elaborated(
                ground, size, dice=dice, strength=strength, motif=order.seed + index
            )
        picture = paint(ground, size, dice=dice, strength=strength)
        if flat:
            picture = granular(picture, dice, strength)
        if mask is not None and photo is not None:
            picture = Image.composite(picture, photo.resize(size), mask)
        made.append(MadeFile(f"out-{index}.png", "image/png", _encoded(picture, "PNG")))
    return tuple(made)


def restoration(order: Order) -> tuple[MadeFile, ...]:
    """restore-image: cleaned, evened out, a little more colour; the seed is hardly visible."""
    photo = read(order.files["input_image"])
    dice = _dice(order, "input_image", 0)
    picture = photo.resize(_fitting(photo.size, order.longest_side), Image.Resampling.LANCZOS)
    picture = _mended(picture)
    cleaned = picture.filter(ImageFilter.MedianFilter(3))
    picture = Image.blend(picture, cleaned, 0.7)
    picture = ImageOps.autocontrast(picture, cutoff=(0.5, 0.5), preserve_tone=True)
    picture = ImageEnhance.Color(picture).enhance(dice.uniform(1.12, 1.22))
    picture = picture.point(_curve(dice.uniform(1.02, 1.06), dice.uniform(-3, 3)) * 3)
    picture = picture.filter(ImageFilter.UnsharpMask(2, 60, 2))
    if order.input["output_format"] == "jpg":
        return (MadeFile("out.jpg", "image/jpeg", _encoded(picture, "JPEG")),)
    return (MadeFile("out.png", "image/png", _encoded(picture, "PNG")),)


def _mended(picture: Image.Image) -> Image.Image:
    """Without scratches and dust: what is lighter than all around it and thin is painted over with
    what lies beside it."""
    small = picture.copy()
    small.thumbnail((MENDED_SIDE, MENDED_SIDE), reducing_gap=2.0)
    for pick in (ImageFilter.MinFilter(3), ImageFilter.MaxFilter(3)):
        for _ in range(3):  # three times three pixels reach as far as seven at once, and faster
            small = small.filter(pick)
    around = small.filter(ImageFilter.GaussianBlur(1)).resize(picture.size)
    lighter = ImageChops.subtract(picture.convert("L"), around.convert("L"))
    scratched = lighter.point(lambda step: 255 if step > 16 else 0)
    scratched = scratched.filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.GaussianBlur(1))
    return Image.composite(around, picture, scratched)


_NAMED = {
    "jpg": ("JPEG", "image/jpeg"),
    "png": ("PNG", "image/png"),
    "webp": ("WEBP", "image/webp"),
}


def reencoded(made: Sequence[MadeFile], extension: str) -> tuple[MadeFile, ...]:
    """The same pictures in another format, with names and types that say so."""
    form, content_type = _NAMED[extension]
    return tuple(
        MadeFile(
            f"{one.name.rpartition('.')[0]}.{extension}",
            content_type,
            _encoded(Image.open(io.BytesIO(one.data)).convert("RGB"), form),
        )
        for one in made
    )


def read(data: bytes) -> Image.Image:
    """Upright, in RGB, no larger than a run works on. Raises RunFailed in the run's own words."""
    name = f"/tmp/tmp{hashlib.sha256(data).hexdigest()[:8]}photo"  # noqa: S108 - only words
    try:
        with warnings.catch_warnings():
            # Too many pixels are refused below, by our own number.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data))
            if opened.width * opened.height > MOST_PIXELS:
                raise RunFailed("CUDA out of memory. Tried to allocate 18.00 GiB (E1001)")
            opened.draft("RGB", (LARGEST_READ, LARGEST_READ))
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((LARGEST_READ, LARGEST_READ), reducing_gap=2.0)
    except UnidentifiedImageError as error:
        raise RunFailed(f"cannot identify image file '{name}'") from error
    except Image.DecompressionBombError as error:
        raise RunFailed("CUDA out of memory. Tried to allocate 72.00 GiB (E1001)") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise RunFailed(str(error)) from error
    if upright.mode in {"RGBA", "LA", "PA"} or "transparency" in upright.info:
        paper = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(paper, upright.convert("RGBA")).convert("RGB")
    return upright.convert("RGB")


def paint(
    photo: Image.Image, size: tuple[int, int], *, dice: random.Random, strength: float
) -> Image.Image:
    """A painterly version. Strength 0 keeps the photo but for its light; 1 leaves strokes."""
    look = LOOKS[dice.randrange(len(LOOKS))]
    framed = _framed(photo, size, dice, strength)
    picture = Image.blend(framed, _brushed(framed, strength), 0.35 + 0.60 * strength)
    detail = framed.filter(ImageFilter.DETAIL)
    picture = Image.blend(picture, ImageChops.overlay(picture, detail), 0.25 - 0.10 * strength)
    picture = _graded(picture, look, 0.30 + 0.45 * strength, dice)
    picture = _textured(picture, dice, 0.10 + 0.30 * strength)
    return _lit(picture, look, dice, 0.4 + 0.4 * strength)


def _framed(
    photo: Image.Image, size: tuple[int, int], dice: random.Random, strength: float
) -> Image.Image:
    """A slightly closer look at some part of it."""
    zoom = 1 - dice.uniform(0.01, 0.03 + 0.09 * strength)
    width, height = photo.width * zoom, photo.height * zoom
    left = dice.random() * (photo.width - width)
    top = dice.random() * (photo.height - height)
    return photo.resize(
        size,
        Image.Resampling.BICUBIC,
        box=(left, top, left + width, top + height),
        reducing_gap=2.0,
    )


def _brushed(picture: Image.Image, strength: float) -> Image.Image:
    """Each point takes the mean of the calmest of the four squares it is a corner of.

    (Kuwahara's filter: flat strokes, edges kept.)
    """
    share = min(1.0, BRUSHED_SIDE / max(picture.size))
    small = picture.resize(
        (max(16, round(picture.width * share)), max(16, round(picture.height * share))),
        Image.Resampling.BILINEAR,
        reducing_gap=2.0,
    )
    reach = 1 + round(2 * strength)
    luma = np.asarray(small.convert("L"), dtype=np.float32)
    unrest = _box(luma * luma, reach) - _box(luma, reach) ** 2
    places = [(dy, dx) for dy in (0, 2 * reach) for dx in (0, 2 * reach)]
    height, width = luma.shape
    around = np.pad(unrest, reach, mode="edge")
    calmest = np.argmin(
        np.stack([around[dy : dy + height, dx : dx + width] for dy, dx in places]), axis=0
    )
    # The place of each point's calmest neighbour, as one index into the flattened means.
    down, across = (np.asarray(side, dtype=np.int32) - reach for side in zip(*places, strict=True))
    rows = np.arange(height, dtype=np.int32)[:, None] + down[calmest]
    columns = np.arange(width, dtype=np.int32) + across[calmest]
    chosen = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    means = np.asarray(small.filter(ImageFilter.BoxBlur(reach))).reshape(-1, 3)
    strokes = Image.fromarray(means[chosen], "RGB").filter(ImageFilter.GaussianBlur(0.7))
    return strokes.resize(picture.size, Image.Resampling.BICUBIC)


def _box(values: Floats, reach: int) -> Floats:
    """Mean over a square of 2·reach + 1."""
    span = 2 * reach + 1
    padded = np.pad(values, ((reach + 1, reach), (reach + 1, reach)), mode="edge")
    total = padded.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    square = total[span:, span:] - total[:-span, span:] - total[span:, :-span]
    return np.asarray((square + total[:-span, :-span]) / span**2, dtype=np.float32)


def _graded(picture: Image.Image, look: Look, amount: float, dice: random.Random) -> Image.Image:
    drift = [dice.randint(-10, 10) for _ in range(3)]
    middle = tuple(max(0, min(255, part + by)) for part, by in zip(look.middle, drift, strict=True))
    tint = ImageOps.colorize(
        picture.convert("L"), look.shadows, look.lights, mid=middle, midpoint=dice.randint(112, 140)
    )
    vivid = ImageEnhance.Color(picture).enhance(look.vivid)
    toned = Image.blend(vivid, tint, amount * 0.62)
    return toned.point(_curve(look.contrast, dice.uniform(2, 12)) * 3)


def _curve(contrast: float, lift: float) -> list[int]:
    """A gentle S through the middle grey."""
    values = []
    for level in range(256):
        bent = 128 + (level - 128) * contrast + lift
        values.append(max(0, min(255, round(bent))))
    return values


def _textured(picture: Image.Image, dice: random.Random, amount: float) -> Image.Image:
    """Bristles: noise drawn out along one direction, laid over the light and the dark."""
    side = max(picture.size)
    noise = np.random.default_rng(dice.getrandbits(32)).normal(128, 22, (side // 2, side // 9))
    bristles = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8), "L")
    # Half as fine as the picture: nobody sees it, and turning it costs a quarter.
    long = int(side * 0.75)
    bristles = bristles.resize((long, long), Image.Resampling.BILINEAR)
    bristles = bristles.rotate(dice.uniform(0, 180), Image.Resampling.BILINEAR)
    left, top = (long - picture.width / 2) / 2, (long - picture.height / 2) / 2
    bristles = bristles.resize(
        picture.size,
        Image.Resampling.BILINEAR,
        box=(left, top, left + picture.width / 2, top + picture.height / 2),
    )
    laid = ImageChops.soft_light(picture, Image.merge("RGB", (bristles,) * 3))
    return Image.blend(picture, laid, amount)


def _lit(picture: Image.Image, look: Look, dice: random.Random, amount: float) -> Image.Image:
    """Light from one side, and corners that fall away."""
    width, height = picture.size
    x, y = dice.uniform(0.1, 0.9), dice.uniform(0.0, 0.5)
    reach = 128 * dice.uniform(1.1, 1.6)
    centred = Image.radial_gradient("L")
    box = (128 - x * reach, 128 - y * reach, 128 + (1 - x) * reach, 128 + (1 - y) * reach)
    beam = ImageOps.invert(centred).transform(
        (width // 4 or 1, height // 4 or 1), Image.Transform.EXTENT, box
    )
    beam = beam.point([round(level * 0.45 * amount) for level in range(256)]).resize(picture.size)
    glow = Image.composite(Image.new("RGB", picture.size, look.lights), picture, beam)
    picture = Image.blend(picture, ImageChops.soft_light(picture, glow), 0.8)
    falling = centred.resize(picture.size).point(
        [round(255 - max(0, level - 140) * 0.5 * amount) for level in range(256)]
    )
    return ImageChops.multiply(picture, Image.merge("RGB", (falling,) * 3))


def _imagined(dice: random.Random, size: tuple[int, int]) -> Image.Image:
    """Ground for a picture from words alone: a sky over hills, in colours that the words decide."""
    width, height = size[0] // 2, size[1] // 2
    rng = np.random.default_rng(dice.getrandbits(32))
    look, other = dice.sample(LOOKS, 2)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    above, horizon = np.asarray(look.middle), np.asarray(other.lights)
    view = np.repeat(above * (1 - down) + horizon * down, width, axis=1)
    rows = np.arange(height)[:, None]
    for layer in range(6):
        near = (layer + 1) / 6
        points = rng.random(5 + 3 * layer)
        crest = np.interp(np.linspace(0, len(points) - 1, width), np.arange(len(points)), points)
        crest = np.convolve(np.pad(crest, 8, mode="edge"), np.ones(17) / 17, mode="valid")
        edge = height * (0.35 + 0.11 * layer) + (crest - 0.5) * height * 0.22
        body = np.asarray(look.middle) * (1 - near) + np.asarray(other.shadows) * near
        view = np.where((rows > edge[None, :])[..., None], body, view)
    ground = Image.fromarray(np.clip(view, 0, 255).astype(np.uint8), "RGB")
    return ground.resize(size, Image.Resampling.BICUBIC)


def _dice(order: Order, source: str, index: int) -> random.Random:
    """Everything that makes this picture another one, as one source of chance."""
    mixed = hashlib.sha256()
    mixed.update(order.files.get(source, b""))
    mixed.update(str(order.input.get("prompt", "")).encode())
    mixed.update(f"|{order.seed + index}|{order.input.get('prompt_strength')}".encode())
    return random.Random(mixed.digest())


def _fitting(size: Sequence[int], longest: int) -> tuple[int, int]:
    """Within the bounds of a run, in steps of 8, of the same shape."""
    share = min(1.0, longest / max(size))
    width, height = (max(64, round(side * share / 8) * 8) for side in size)
    return width, height


def _encoded(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "PNG":
        # Huffman codes alone: faster than looking for repetitions, of which paint has none.
        picture.save(out, "PNG", compress_level=1, compress_type=2)
    else:
        picture.save(out, kind, quality=92)
    return out.getvalue()
