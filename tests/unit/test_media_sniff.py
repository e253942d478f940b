"""What a file is, by its first bytes."""

import pytest

from shared.domain.keys import EXTENSIONS
from shared.media.sniff import sniff

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"\xff\xd8\xff\xe1\x00\x10Exif", "image/jpeg"),
        (b"\xff\xd8\xff\xdb\x00\x43", "image/jpeg"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8L", "image/webp"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8X", "image/webp"),
        (b"GIF87a\x01\x00", "image/gif"),
        (b"GIF89a\x01\x00", "image/gif"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04\x00\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf3\x40\xc4", "audio/mpeg"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (b"OggS\x00\x02", "audio/ogg"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        (b"\x00\x00\x00\x20ftypisom", "video/mp4"),
    ],
)
def test_a_file_is_known_by_its_magic_bytes(head: bytes, content_type: str) -> None:
    assert sniff(head + bytes(64)) == content_type
    assert content_type in EXTENSIONS


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n" + bytes(16),  # no header chunk
        b"\xff\xd8",
        b"\xff\xff\xff\xff",  # no frame of sound: its bit rate is none
        b"\xff\xfb\x00\x64",
        b"RIFF\x24\x00\x00\x00AVI LIST",
        b"RIFF\x24\x00\x00\x00WEBPnone",
        b"<!doctype html><title>Not found</title>",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<?xml version='1.0'?><svg/>",
        b"\xef\xbb\xbf<html>",
        b"   \n<html>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"BM\x36\x00",
        b"II*\x00",
        b"MM\x00*",
        b"8BPS\x00\x01",
        b"%!PS-Adobe-3.0 EPSF",
        b"\x00\x00\x00\x0cjP  \r\n\x87\n",
        b"\x00\x00\x00\x1cftypheic",
        b"\x00\x00\x00\x1cftypavif",
        b"SIMPLE  =                    T",
        b"\x7fELF\x02",
        b"MZ\x90\x00",
        b"#!/bin/sh\n",
        b"GIF88a",
        b"a text that says it is a .png",
    ],
)
def test_what_we_do_not_keep_is_nothing_whatever_it_claims(head: bytes) -> None:
    assert sniff(head) is None
