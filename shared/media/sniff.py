"""What a file is, by its first bytes. Names, extensions and headers are claims: not asked."""

ENOUGH = 4096  # bytes of a file's head that settle it

# What one is never mistaken for another by: (offset, bytes) that must all be there.
_MAGIC: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...] = (
    ("image/png", ((0, b"\x89PNG\r\n\x1a\n"), (12, b"IHDR"))),
    ("image/jpeg", ((0, b"\xff\xd8\xff"),)),
    ("image/webp", ((0, b"RIFF"), (8, b"WEBPVP8"))),
    ("image/gif", ((0, b"GIF87a"),)),
    ("image/gif", ((0, b"GIF89a"),)),
    ("audio/wav", ((0, b"RIFF"), (8, b"WAVE"))),
    ("audio/flac", ((0, b"fLaC"),)),
    ("audio/ogg", ((0, b"OggS\x00"),)),
    ("audio/mpeg", ((0, b"ID3"),)),
)
# Brands of ISO media that are films (ftyp also heads HEIC and AVIF pictures, which we do not keep).
_FILM_BRANDS = frozenset(
    {b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"dash"}
)


def sniff(head: bytes) -> str | None:
    """The content type of a file that begins with ``head``, or None: nothing that we keep.

    Only says how the file begins; whether the rest keeps the promise is for the decoder.
    """
    for content_type, marks in _MAGIC:
        if all(head[at : at + len(mark)] == mark for at, mark in marks):
            return content_type
    if head[4:8] == b"ftyp" and head[8:12] in _FILM_BRANDS:
        return "video/mp4"
    if _is_mpeg_audio(head):
        return "audio/mpeg"
    return None


def _is_mpeg_audio(head: bytes) -> bool:
    """A bare MP3 frame: sync word, layer III, and no reserved version, bit rate or sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 0b11, head[1] >> 1 & 0b11
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 0b11
    return version != 0b01 and layer == 0b01 and bit_rate not in (0, 15) and sample_rate != 0b11
