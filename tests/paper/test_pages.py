"""The paper's pages as pictures."""

import struct
import zlib

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.paper.pages import page_images, png

PDF = b"""%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R 4 0 R] /Count 2>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 5 0 R>> endobj
4 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 100 200]>> endobj
5 0 obj <</Length 29>> stream
1 0 0 rg 0 0 100 100 re f    
endstream endobj
trailer <</Root 1 0 R>>
"""  # fmt: skip


def pixels(image: bytes) -> np.ndarray:
    """A PNG without filters, read by hand."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    at, parts = 8, {}
    while at < len(image):
        (length,) = struct.unpack(">I", image[at : at + 4])
        name, body = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        assert struct.unpack(">I", image[at + 8 + length : at + 12 + length]) == (zlib.crc32(name + body),)
        parts[name], at = body, at + 12 + length
    columns, rows, depth, kind = struct.unpack(">IIBB", parts[b"IHDR"][:10])
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(rows, -1)
    assert depth == 8 and not lines[:, 0].any()
    return lines[:, 1:].reshape(rows, columns, {0: 1, 2: 3}[kind])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_holds_its_pixels(channels):
    drawn = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    assert np.array_equal(pixels(png(drawn)), drawn)
    assert np.array_equal(pixels(png(drawn[:, ::-1])), drawn[:, ::-1])


def test_every_page_is_drawn_in_its_colours(tmp_path):
    (tmp_path / "main.pdf").write_bytes(PDF)
    first, second = (pixels(image) for image in page_images(tmp_path / "main.pdf", width=60))
    assert first.shape[:2] == (30, 60) and second.shape[:2] == (120, 60)
    assert list(first[15, 10]) == [255, 0, 0] and list(first[15, 50]) == [255, 255, 255]
    assert (second == 255).all()


def test_what_is_no_pdf_is_refused(tmp_path):
    (tmp_path / "main.pdf").write_bytes(b"%PD")
    with pytest.raises(HmlcoreError, match=r"main\.pdf cannot be read as a PDF"):
        page_images(tmp_path / "main.pdf")
