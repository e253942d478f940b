"""A page's copies of pictures: the small copies of ``shared.media``, and what areas of colour they
are made of, where they are."""

import io

from PIL import Image

from services.report.view import Picture, Share
from shared.media.images import UnusableImage, decode, orientation_of, plain
from shared.media.sniff import sniff
from shared.media.thumbnail import thumbnail

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
    colours: tuple[Share, ...] = ()
    try:
        if sniff(data) != "image/jpeg":  # which has no areas of one colour, whatever it shows
            picture = decode(data)
            colours = _few_colours(picture)
            # Scaled down, areas get edges in colours of their own: a picture like any other.
            exact = _exact(picture) if colours and max(picture.size) <= edge else None
            if exact is not None:
                return Picture(
                    content_type="image/webp",
                    data=exact,
                    width=picture.width,
                    height=picture.height,
                    colours=colours,
                )
        made = thumbnail(data, edge=edge)
    except UnusableImage as error:
        raise Undisplayable(str(error)) from error
    return Picture(
        content_type=made.content_type,
        data=made.data,
        width=made.width or 0,
        height=made.height or 0,
        colours=colours,
    )


def _few_colours(picture: Image.Image) -> tuple[Share, ...]:
    """The colours of a picture that has few and hides nothing; none of any other."""
    if picture.has_transparency_data or picture.mode not in ("RGB", "P", "L", "1"):
        return ()
    counted: list[tuple[int, tuple[int, int, int]]] | None
    counted = picture.convert("RGB").getcolors(FEW_COLOURS)  # type: ignore[assignment]
    whole = picture.width * picture.height
    return tuple(
        Share(colour="#" + bytes(colour).hex(), part=count / whole)
        for count, colour in sorted(counted or (), reverse=True)
    )


def _exact(picture: Image.Image) -> bytes | None:
    """Without loss; None where it would be too much for a page, or its numbers need a profile."""
    if orientation_of(picture) != 1 or picture.info.get("icc_profile"):
        return None
    copy = plain(picture).copy()
    copy.info.clear()
    file = io.BytesIO()
    copy.save(file, "WEBP", lossless=True, quality=40, method=3)
    return file.getvalue() if file.tell() <= EXACT_MAX_BYTES else None
