"""Small copies of pictures: upright, in the colours that screens mean, and with nothing of what a
camera or a program wrote beside them (its owner, its place, its prompt)."""

import io

from PIL import Image

from shared.media.images import decode, orientation_of, screen_colours, smaller, upright
from shared.media.made import Made

QUALITY = 84


def thumbnail(data: bytes, *, edge: int) -> Made:
    """A copy of the picture in ``data`` whose longer side is ``edge`` pixels at most; a smaller
    picture keeps its size.

    JPEG, or WebP where something shows through. Blocks for as long as it decodes. Raises
    UnusableImage or one of its kinds.
    """
    picture = decode(data, edge=edge)
    profile, orientation = picture.info.get("icc_profile"), orientation_of(picture)
    # Scaled first: there is less to turn, and to look at through a profile.
    copy = smaller(picture, max(1, max(picture.size) // (2 * edge)))
    copy.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _written(upright(screen_colours(profile)(copy), orientation))


def _written(picture: Image.Image) -> Made:
    # What is left in `info` would be written again: comments, profiles, EXIF.
    picture.info.clear()
    file = io.BytesIO()
    if picture.mode == "RGBA":
        picture.save(file, "WEBP", quality=QUALITY, method=2)
        content_type = "image/webp"
    else:
        picture.save(file, "JPEG", quality=QUALITY, progressive=True)
        content_type = "image/jpeg"
    return Made(
        data=file.getvalue(),
        content_type=content_type,
        width=picture.width,
        height=picture.height,
    )
