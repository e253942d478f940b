"""Photos to upload in tests, drawn anew each time: no test carries a binary file."""

import io

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from deploy.local.photos import as_jpeg, landscape

LIES_ON_ITS_SIDE = 6  # the EXIF orientation of a camera held upright


def a_photo(*, seed: int = 1, size: tuple[int, int] = (512, 512)) -> bytes:
    """A plain JPEG. Another seed, another scene."""
    return as_jpeg(landscape(seed, size))


def a_camera_photo(*, seed: int = 2, size: tuple[int, int] = (900, 1200)) -> bytes:
    """A JPEG as a camera writes it when held upright.

    The pixels lie on their side and EXIF says so; `size` is what a viewer shows, upright.
    """
    upright = landscape(seed, size)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = LIES_ON_ITS_SIDE
    exif[ExifTags.Base.Make] = "Hikari"
    exif[ExifTags.Base.Model] = "Hikari D40"
    exif[ExifTags.Base.Software] = "Ver.1.02"
    exif[ExifTags.Base.DateTime] = "2026:05:17 18:42:05"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = "2026:05:17 18:42:05"
    details[ExifTags.Base.ExposureTime] = IFDRational(1, 250)
    details[ExifTags.Base.FNumber] = IFDRational(40, 10)
    details[ExifTags.Base.ISOSpeedRatings] = 200
    return as_jpeg(upright.transpose(Image.Transpose.ROTATE_90), quality=92, exif=exif)


def a_tiny_photo(*, seed: int = 3) -> bytes:
    """A PNG of 24 × 16, for tests in which only the bytes count."""
    out = io.BytesIO()
    landscape(seed, (24, 16)).save(out, "PNG")
    return out.getvalue()


def a_text_called_jpg() -> bytes:
    """What somebody uploads by mistake."""
    return b"Dear photo service, I could not find the picture. Best regards\n" * 20
