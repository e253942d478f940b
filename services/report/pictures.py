"""Copies of pictures for a page: small, upright, in the colours that screens mean, and with
nothing of what a camera wrote beside them (its owner, its place)."""

import io
from typing import Any

from PIL import Image, ImageCms, ImageOps

from services.report.view import Picture, Share
from shared.media.images import MOST_PIXELS

# What a page may be asked to show; other readers of the library stay closed.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")

QUALITY = 84

# A picture of so few colours is made of areas: counted, and kept exact where it fits as it is.
FEW_COLOURS = 64
EXACT_MAX_BYTES = 700_000


class Undisplayable(Exception):
    """The file is no picture, is damaged, or is too large to open; the sentence says which."""


def for_page(data: bytes, *, edge: int) -> Picture:
    """A copy of the picture in ``data`` whose longer side is ``edge`` pixels at most.

    JPEG, or WebP where something shows through or the colours are few. Blocks for as long as it
    decodes. Raises Undisplayable.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _bounded(opened)
            opened.draft("RGB", (edge, edge))  # a JPEG is decoded at the last halving above that
            colours = _few_colours(opened)
            # Scaled down, areas get edges in colours of their own: a picture like any other.
            exact = bool(colours) and max(opened.size) <= edge
            copy = ImageOps.exif_transpose(_reduced(opened, edge))
    except Undisplayable:
        raise
    except Exception as error:  # decoders of damaged bytes raise whatever they trip over
        raise Undisplayable(f"it cannot be decoded ({type(error).__name__})") from error
    return _written(copy, colours, exact=exact)


def _few_colours(picture: Image.Image) -> tuple[Share, ...]:
    """The colours of a picture that has few and hides nothing; none of any other."""
    if picture.format not in ("PNG", "WEBP", "GIF") or picture.has_transparency_data:
        return ()
    if picture.mode not in ("RGB", "P", "L", "1"):
        return ()
    plain = picture if picture.mode == "RGB" else picture.convert("RGB")
    counted: list[tuple[int, tuple[int, int, int]]] | None
    counted = plain.getcolors(FEW_COLOURS)  # type: ignore[assignment]
    whole = picture.width * picture.height
    return tuple(
        Share(colour="#" + bytes(colour).hex(), part=count / whole)
        for count, colour in sorted(counted or (), reverse=True)
    )


def _bounded(picture: Image.Image) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        raise Undisplayable(f"{picture.width} × {picture.height} pixels are too many")


def _reduced(picture: Image.Image, edge: int) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I"):  # 16 bits a channel, which the other modes would clip
        picture = picture.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    # Others cannot be scaled well, or keep what shows through beside the picture.
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("RGB", "L", "CMYK"):
        picture = picture.convert("RGB")
    picture.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _in_screen_colours(picture, profile)


def _in_screen_colours(picture: Image.Image, profile: bytes | None) -> Image.Image:
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    if not profile:
        return picture.convert(mode)
    try:
        converted = ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode=mode,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture.convert(mode)  # a broken profile says nothing: the numbers as they are
    return converted or picture.convert(mode)


def _written(picture: Image.Image, colours: tuple[Share, ...], *, exact: bool) -> Picture:
    # What is left in `info` would be written again: comments, profiles, EXIF.
    picture.info.clear()
    content_type, data = "image/webp", b""
    if exact:
        data = _bytes(picture, "WEBP", lossless=True, quality=40, method=3)
    if not data or len(data) > EXACT_MAX_BYTES:
        if picture.mode == "RGBA":
            data = _bytes(picture, "WEBP", quality=QUALITY, method=2)
        else:
            content_type, data = (
                "image/jpeg",
                _bytes(picture, "JPEG", quality=QUALITY, progressive=True),
            )
    return Picture(
        content_type=content_type,
        data=data,
        width=picture.width,
        height=picture.height,
        colours=colours,
    )


def _bytes(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()
