"""A page's copies of pictures: the small copies of ``shared.media``, as the page's view has them."""

from services.report.view import Picture
from shared.media.images import UnusableImage
from shared.media.thumbnail import thumbnail


class Undisplayable(Exception):
    """The file is no picture, is damaged, or is too large to open; the sentence says which."""


def for_page(data: bytes, *, edge: int) -> Picture:
    """A copy of the picture in ``data`` whose longer side is ``edge`` pixels at most. Blocking."""
    try:
        made = thumbnail(data, edge=edge)
    except UnusableImage as error:
        raise Undisplayable(str(error)) from error
    return Picture(
        content_type=made.content_type,
        data=made.data,
        width=made.width or 0,
        height=made.height or 0,
    )
