"""Pictures that somebody sent, opened with care: what they are, how large, and whether whole.

The whole picture is decoded, since a header proves nothing about the rest. The caller runs
``measure`` and ``decode`` in a thread, a bounded number at a time: the decoders release the
interpreter lock, and a process of its own would cost each picture a start, or each service a second
set of libraries. What bounds them instead: one decoder, chosen by magic bytes; few pixels, checked
before a single one is decoded; JPEG decoded at an eighth of its size to be measured. A decoder that
kills the process all the same does so alone: the broker's count of deliveries finds the message,
and it is parked.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageCms, UnidentifiedImageError

from shared.errors import Permanent
from shared.media.sniff import ENOUGH, sniff

# The largest that phones make; a decoded PNG of it takes 200 MB for a moment.
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 30_000

_DECODERS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}
_ORIENTATION = 0x0112  # EXIF
_SIDEWAYS = frozenset({5, 6, 7, 8})

# Our own check comes first and is stricter; this stands where Pillow opens something by itself.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Odd notes of cameras are no news to anybody; whether the picture is whole is what we say.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class UnusableImage(Permanent):
    """The file is no picture that we take; the sentence says why."""


class TruncatedImage(UnusableImage):
    """It begins as a picture and is cut off or damaged further on."""


class TooLargeImage(UnusableImage):
    """More pixels than anybody needs, which is how bombs are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """A picture as people see it: ``width`` and ``height`` after ``orientation`` (EXIF, 1 to 8)."""

    content_type: str
    width: int
    height: int
    orientation: int = 1


def measure(file: BinaryIO, *, alone: bool = False) -> ImageInfo:
    """Decode the picture in ``file``, from its beginning, and say what it is.

    ``alone`` also refuses a file that goes on after its picture: something else may hide there.
    (Cameras and phones append data of their own, so photos of people are not asked for that.)
    Blocking: CPU for as long as the decoding takes. Raises UnusableImage or one of its kinds.
    """
    with _opened(file) as (content_type, picture):
        width, height = picture.size
        orientation = orientation_of(picture)
        # Everything is read and nothing is kept at full size; other decoders ignore it.
        picture.draft(None, (max(1, width // 8), max(1, height // 8)))
        picture.load()
    if alone and not _ends_with_its_picture(file, content_type):
        raise UnusableImage("the file goes on after its picture")
    if orientation in _SIDEWAYS:
        width, height = height, width
    return ImageInfo(content_type=content_type, width=width, height=height, orientation=orientation)


def decode(data: bytes, *, edge: int | None = None) -> Image.Image:
    """The picture in ``data`` (the first of an animation) as it was written: not yet upright, in
    colours of its own.

    ``edge`` is the shortest side that the caller has use for, in pixels: a JPEG is then decoded at
    the last halving above that. Raises UnusableImage or one of its kinds.
    """
    with _opened(io.BytesIO(data)) as (_, picture):
        if edge is not None:
            picture.draft(None, (edge, edge))
        picture.load()
    return picture


def plain(picture: Image.Image) -> Image.Image:
    """The same pixels in one of L, RGB, CMYK or, where something shows through, RGBA: 8 bits each,
    fit to be scaled and to be looked at through a profile."""
    if picture.mode.startswith("I"):  # 16 bits a channel, which the other modes would clip
        return picture.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if picture.has_transparency_data:
        return picture if picture.mode == "RGBA" else picture.convert("RGBA")
    return picture if picture.mode in ("L", "RGB", "CMYK") else picture.convert("RGB")


def strips(picture: Image.Image, rows: int) -> Iterator[tuple[int, Image.Image]]:
    """``picture`` from top to bottom, ``rows`` at a time: the first row, and the strip made plain.

    What a large picture is turned into on the way is then never there as a whole.
    """
    for top in range(0, picture.height, rows):
        bottom = min(top + rows, picture.height)
        yield top, plain(picture.crop((0, top, picture.width, bottom)))


def smaller(picture: Image.Image, factor: int) -> Image.Image:
    """A plain picture ``factor`` times smaller: each pixel the mean of a square. 1 keeps the size."""
    if factor == 1:
        return plain(picture)
    rows = 64 * factor
    pieces = [strip.reduce(factor) for _, strip in strips(picture, rows)]
    whole = Image.new(pieces[0].mode, (pieces[0].width, sum(piece.height for piece in pieces)))
    for number, piece in enumerate(pieces):
        whole.paste(piece, (0, number * 64))
    return whole


def screen_colours(profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """What turns plain pictures whose numbers ``profile`` (ICC) explains into RGB, or RGBA, as
    screens mean it. Without a profile, or with a broken one, the numbers stand as they are."""
    made: dict[str, ImageCms.ImageCmsTransform | None] = {}

    def transform(mode: str, wanted: str) -> ImageCms.ImageCmsTransform | None:
        try:
            theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
            return ImageCms.buildTransform(theirs, ImageCms.createProfile("sRGB"), mode, wanted)
        except (ImageCms.PyCMSError, OSError, ValueError):
            return None

    def converted(picture: Image.Image) -> Image.Image:
        wanted = "RGBA" if picture.mode == "RGBA" else "RGB"
        if profile and picture.mode not in made:
            made[picture.mode] = transform(picture.mode, wanted)
        known = made.get(picture.mode)
        return picture.convert(wanted) if known is None else known.apply(picture)

    return converted


def on_white(picture: Image.Image) -> Image.Image:
    """RGB: where something shows through an RGBA picture, it is paper."""
    if picture.mode != "RGBA":
        return picture
    paper = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(paper, picture).convert("RGB")


def orientation_of(picture: Image.Image) -> int:
    """How the camera was held (EXIF, 1 to 8); upright where the note is missing, odd or broken."""
    try:
        held = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a broken note does not make the picture unusable
        return 1
    return held if held in range(1, 9) else 1


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """``picture`` as people see it, if its camera was held so."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


@contextmanager
def _opened(file: BinaryIO) -> Iterator[tuple[str, Image.Image]]:
    """The content type and the picture in ``file``, not yet decoded, by the one decoder for it."""
    file.seek(0)
    content_type = sniff(file.read(ENOUGH))
    decoder = _DECODERS.get(content_type or "")
    if content_type is None or decoder is None:
        raise UnusableImage(f"it is {content_type or 'no file that we know'}, not a picture")
    file.seek(0)
    with _hostile(), Image.open(file, formats=(decoder,)) as picture:
        width, height = picture.size
        if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
            raise TooLargeImage(
                f"the picture has {width} × {height} pixels; {MOST_PIXELS} are taken"
            )
        yield content_type, picture


@contextmanager
def _hostile() -> Iterator[None]:
    """Whatever a decoder raises on bytes that it does not like becomes one sentence of ours."""
    try:
        yield
    except (UnusableImage, MemoryError):  # too little memory here says nothing about the picture
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise TooLargeImage(f"the picture has more than {MOST_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise UnusableImage("it begins as a picture and is none") from error
    except (OSError, EOFError) as error:
        raise TruncatedImage("the picture is cut off or damaged") from error
    except Exception as error:  # decoders of hostile bytes raise whatever they trip over
        raise UnusableImage(f"the picture cannot be decoded ({type(error).__name__})") from error


def _ends_with_its_picture(file: BinaryIO, content_type: str) -> bool:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 64))
    tail = file.read()
    match content_type:
        case "image/png":
            return tail.endswith(b"\x00\x00\x00\x00IEND\xaeB`\x82")
        case "image/webp":
            file.seek(4)
            declared = int.from_bytes(file.read(4), "little") + 8
            return declared <= size <= declared + declared % 2
        case "image/jpeg":
            return tail.rstrip(b"\x00").endswith(b"\xff\xd9")
        case _:
            return tail.endswith(b"\x3b")
