"""The pages of a PDF as pictures, for the book."""

import struct
import zlib
from pathlib import Path

import numpy as np

from hmlcore.errors import HmlcoreError
from hmlcore.optional import need

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def page_images(pdf: Path, width: int = 1000) -> list[bytes]:
    """A PNG of every page, `width` pixels wide; same file, same bytes.

    Raises: HmlcoreError where pypdfium2 is missing, or the file is no PDF.
    """
    need("pictures of the paper's pages", "book", "pypdfium2")
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(pdf)
    except pypdfium2.PdfiumError as error:
        raise HmlcoreError(f"{pdf} cannot be read as a PDF: {error}; make it again with: hml paper") from error
    with document:
        images = []
        for page in document:
            drawn = page.render(scale=width / page.get_width(), rev_byteorder=True, prefer_bgrx=False)
            images.append(png(drawn.to_numpy()))
        return images


def png(pixels: np.ndarray) -> bytes:
    """A PNG of `pixels`, [rows, columns, 3], red, green and blue in bytes; of one channel, grey.

    Source: the PNG specification, chunks of sections 11.2.2 to 11.2.5.
    """
    rows, columns, channels = pixels.shape
    kind = {1: 0, 3: 2}[channels]
    lines = b"".join(b"\0" + line.tobytes() for line in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    )
