"""Somebody's portrait, drawn by rule: for recipes whose photo shows a person."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from deploy.local.photos import Colour, as_jpeg, damaged, floats

SKINS = ((232, 190, 162), (206, 152, 118), (150, 104, 78), (244, 208, 184))
HAIRS = ((44, 32, 28), (92, 58, 36), (26, 24, 30), (148, 104, 62))
CLOTHES = ((58, 84, 120), (128, 62, 66), (70, 104, 86), (96, 84, 120))


def damaged_photo() -> bytes:
    """What the demo restores when nobody names a photo: an old portrait, a JPEG of 900 × 1200."""
    return as_jpeg(damaged(portrait(2, (900, 1200)), seed=7), quality=86)


def portrait(seed: int, size: tuple[int, int]) -> Image.Image:
    """Somebody before a blurred garden. The seed chooses face, hair, clothes and light."""
    rng = np.random.default_rng(seed)
    side = 900  # drawn in these units, then brought to size
    skin, hair, cloth = (of[rng.integers(len(of))] for of in (SKINS, HAIRS, CLOTHES))
    image = _garden(rng, side)
    middle = 450 + int(rng.integers(-15, 15))
    face = (middle - 128, 250, middle + 128, 590)

    _shaded(image, (middle - 178, 200, middle + 178, 660), hair, softness=5)  # hair behind
    _shaded(image, (middle - 320, 640, middle + 320, 1240), cloth, softness=4)  # shoulders
    _shaded(image, (middle - 62, 480, middle + 62, 700), _darker(skin, 0.82), softness=4)  # neck
    _shaded(image, (middle - 84, 612, middle + 84, 706), _darker(skin, 0.86), softness=4)
    _soft(
        image, (middle - 58, 572, middle + 58, 616), _darker(skin, 0.5), 0.45, 10
    )  # under the chin
    for ear in (-1, 1):
        x = middle + ear * 126
        _shaded(image, (x - 18, 400, x + 18, 470), _darker(skin, 0.88), softness=3)
    _shaded(image, face, skin, softness=3)
    for eye in (-1, 1):
        _eye(image, middle + eye * 54, 420, eye, hair)
        _soft(
            image,
            (middle + eye * 66 - 34, 470, middle + eye * 66 + 34, 525),
            (214, 110, 96),
            0.22,
            16,
        )
    _soft(image, (middle - 12, 430, middle + 4, 500), _darker(skin, 0.72), 0.35, 7)  # nose
    _soft(image, (middle - 24, 492, middle + 24, 508), _darker(skin, 0.60), 0.50, 5)
    _soft(image, (middle - 44, 530, middle + 44, 552), (176, 84, 80), 0.85, 4)  # mouth
    _soft(image, (middle - 40, 527, middle + 40, 538), _darker(skin, 0.95), 0.75, 3)
    _fringe(image, rng, middle, hair)
    _soft(image, (middle - 210, 180, middle - 10, 520), (255, 236, 205), 0.16, 60)  # window light
    width, height = size
    share = max(width, height) / side
    whole = image.resize((round(side * share),) * 2, Image.Resampling.LANCZOS)
    left, top = (whole.width - width) // 2, (whole.height - height) // 3
    return whole.crop((left, top, left + width, top + height))


def _garden(rng: np.random.Generator, side: int) -> Image.Image:
    down = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    ground = floats((176, 190, 164)) * (1 - down) + floats((74, 92, 78)) * down
    image = Image.fromarray(np.repeat(ground, side, axis=1).astype(np.uint8), "RGB")
    for _ in range(46):
        x, y, wide = rng.uniform(0, side), rng.uniform(0, side * 0.8), rng.uniform(20, 75)
        tint = [int(part) for part in rng.uniform((110, 130, 70), (250, 235, 170))]
        box = (int(x - wide), int(y - wide), int(x + wide), int(y + wide))
        _soft(image, box, (tint[0], tint[1], tint[2]), float(rng.uniform(0.08, 0.30)), 8)
    return image.filter(ImageFilter.GaussianBlur(9))


def _eye(image: Image.Image, x: int, y: int, side: int, hair: Colour) -> None:
    _soft(image, (x - 34, y - 22, x + 34, y + 20), (90, 50, 40), 0.22, 9)
    _soft(image, (x - 25, y - 13, x + 25, y + 12), (246, 242, 238), 0.95, 2)
    _soft(image, (x - 12, y - 13, x + 12, y + 11), (74, 54, 40), 1.0, 1)
    _soft(image, (x - 5, y - 6, x + 5, y + 5), (12, 10, 10), 1.0, 1)
    _soft(image, (x - 8, y - 8, x - 3, y - 3), (255, 255, 255), 0.9, 1)
    _soft(image, (x - 27, y - 17, x + 27, y - 9), _darker(hair, 0.6), 0.9, 2)  # lashes
    _soft(image, (x - 34 + side * 3, y - 46, x + 34 + side * 3, y - 34), hair, 0.85, 3)  # brow


def _fringe(image: Image.Image, rng: np.random.Generator, middle: int, hair: Colour) -> None:
    """The hair above the face, parted to one side, in strands."""
    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    part = middle + int(rng.integers(-60, 60))
    draw.pieslice((middle - 176, 190, middle + 176, 640), 180, 360, fill=255)
    draw.ellipse((part - 250, 300, part + 10, 620), fill=0)
    draw.ellipse((part - 10, 300, part + 250, 620), fill=0)
    for edge in (-1, 1):
        x = middle + edge * 146
        draw.ellipse((x - 36, 300, x + 36, 660), fill=255)
    strands = rng.normal(1.0, 0.16, (1, 300)).astype(np.float32)
    shine = np.linspace(1.25, 0.8, 300, dtype=np.float32)[:, None]
    body = np.clip(floats(hair)[None, None, :] * (strands * shine)[..., None], 0, 255)
    drawn = Image.fromarray(body.astype(np.uint8), "RGB").resize(image.size)
    image.paste(drawn, mask=mask.filter(ImageFilter.GaussianBlur(4)))


def _shaded(
    image: Image.Image,
    box: tuple[int, int, int, int],
    colour: Colour,
    *,
    softness: int,
) -> None:
    """An ellipse lit from the upper left."""
    width, height = box[2] - box[0], box[3] - box[1]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = 1.03 - 0.13 * (x + 0.5 * y) - 0.16 * np.clip(x**2 + y**2 - 0.35, 0, 1)
    body = np.clip(floats(colour) * light[..., None], 0, 255).astype(np.uint8)
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    whole = Image.new("RGB", image.size, colour)
    whole.paste(Image.fromarray(body, "RGB"), box[:2])
    image.paste(whole, mask=mask.filter(ImageFilter.GaussianBlur(softness)))


def _soft(
    image: Image.Image,
    box: tuple[int, int, int, int],
    colour: Colour,
    strength: float,
    softness: float,
) -> None:
    """A breath of colour in an ellipse."""
    room = int(softness * 3)
    around = (box[0] - room, box[1] - room, box[2] + room, box[3] + room)
    mask = Image.new("L", (around[2] - around[0], around[3] - around[1]), 0)
    inner = (room, room, room + box[2] - box[0], room + box[3] - box[1])
    ImageDraw.Draw(mask).ellipse(inner, fill=round(255 * strength))
    image.paste(colour, around, mask.filter(ImageFilter.GaussianBlur(softness)))


def _darker(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(part * share) for part in colour)
    return red, green, blue
