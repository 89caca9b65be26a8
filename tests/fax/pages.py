"""Dense pages made by a seed, and TIFF files of pages, written and read by libtiff.

A page is 1728 pixels wide, at T.4's fine resolution. Part of it is small print, part is a picture
in dots, which no compression of T.4 or T.6 makes small.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.fax.libraries import tiff

Page = NDArray[np.bool_]
"""Rows of pixels; True is black."""

WIDTH = 1_728
A4_ROWS = 2_287
_GLYPHS, _GLYPH_ROWS, _GLYPH_COLUMNS, _STROKE = 64, 24, 16, 4
_LINE_ROWS, _MARGIN = 44, 96
_IMAGE_WIDTH, _IMAGE_LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _SAMPLES, _ROWS_PER_STRIP = 266, 277, 278
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_SUBFILE, _PAGE_NUMBER = 254, 297
_GROUP_4, _WHITE_IS_ZERO, _LEFT_FIRST, _INCH, _IS_PAGE = 4, 0, 1, 2, 2


def page(seed: int, rows: int = A4_ROWS) -> Page:
    """A page of small print with a dotted picture in its lower part."""
    rng = np.random.default_rng(seed)
    paper = np.zeros((rows, WIDTH), np.bool_)
    # Letters of two millimetres: one of 64 at each place, or a space.
    coarse = rng.random((_GLYPHS, _GLYPH_ROWS // _STROKE, _GLYPH_COLUMNS // _STROKE)) < 0.4
    glyphs = coarse.repeat(_STROKE, axis=1).repeat(_STROKE, axis=2)
    picture = rows - rows // 16
    for top in range(_LINE_ROWS, picture - _LINE_ROWS, _LINE_ROWS):
        for left in range(_MARGIN, WIDTH - _MARGIN, _GLYPH_COLUMNS + 4):
            which = int(rng.integers(0, _GLYPHS + 12))
            if which < _GLYPHS:
                paper[top : top + _GLYPH_ROWS, left : left + _GLYPH_COLUMNS] = glyphs[which]
    shade = np.linspace(0.05, 0.5, WIDTH - 2 * _MARGIN)
    dots = rng.random((rows - picture, shade.size)) < shade
    paper[picture:, _MARGIN : WIDTH - _MARGIN] = dots
    return paper


def write_pages(path: Path, pages: list[Page]) -> None:
    """Write a TIFF file as fax machines use it (TIFF class F; RFC 2306), compressed by T.6.

    Raises:
        OSError: libtiff could not write it.
    """
    ffi, lib = tiff()
    file = lib.TIFFOpen(str(path).encode(), b"w")
    if file == ffi.NULL:
        raise OSError(f"libtiff cannot write {path}")
    for number, paper in enumerate(pages):
        rows, width = paper.shape
        whole = {
            _SUBFILE: _IS_PAGE, _IMAGE_WIDTH: width, _IMAGE_LENGTH: rows, _BITS: 1,
            _COMPRESSION: _GROUP_4, _PHOTOMETRIC: _WHITE_IS_ZERO, _FILL_ORDER: _LEFT_FIRST,
            _SAMPLES: 1, _ROWS_PER_STRIP: rows, _RESOLUTION_UNIT: _INCH,
        }  # fmt: skip
        for tag, value in whole.items():
            lib.TIFFSetField(file, tag, ffi.cast("int", value))
        lib.TIFFSetField(file, _X_RESOLUTION, ffi.cast("double", 204.0))
        lib.TIFFSetField(file, _Y_RESOLUTION, ffi.cast("double", 196.0))
        lib.TIFFSetField(file, _PAGE_NUMBER, ffi.cast("int", number), ffi.cast("int", len(pages)))
        packed = np.packbits(paper, axis=1)
        for row in range(rows):
            octets = ffi.new("uint8_t[]", packed[row].tobytes())
            if lib.TIFFWriteScanline(file, octets, row, 0) < 0:
                raise OSError(f"libtiff cannot write row {row} of {path}")
        lib.TIFFWriteDirectory(file)
    lib.TIFFClose(file)


def read_pages(path: Path) -> list[Page]:
    """The pages of a TIFF file.

    Raises:
        OSError: libtiff cannot read it.
    """
    ffi, lib = tiff()
    file = lib.TIFFOpen(str(path).encode(), b"r")
    if file == ffi.NULL:
        raise OSError(f"libtiff cannot read {path}")
    pages: list[Page] = []
    try:
        while True:
            pages.append(_read(ffi, lib, file))
            if not lib.TIFFReadDirectory(file):
                return pages
    finally:
        lib.TIFFClose(file)


def _read(ffi: object, lib: object, file: object) -> Page:
    width, rows = _number(ffi, lib, file, _IMAGE_WIDTH), _number(ffi, lib, file, _IMAGE_LENGTH)
    row_octets = (width + 7) // 8
    line = ffi.new("uint8_t[]", row_octets)  # type: ignore[attr-defined]
    paper = np.zeros((rows, width), np.bool_)
    for row in range(rows):
        if lib.TIFFReadScanline(file, line, row, 0) < 0:  # type: ignore[attr-defined]
            raise OSError(f"libtiff cannot decode row {row}")
        octets = np.frombuffer(bytes(ffi.buffer(line)), np.uint8)  # type: ignore[attr-defined]
        paper[row] = np.unpackbits(octets)[:width]
    return paper


def _number(ffi: object, lib: object, file: object, tag: int) -> int:
    found = ffi.new("uint32_t *")  # type: ignore[attr-defined]
    if not lib.TIFFGetField(file, tag, found):  # type: ignore[attr-defined]
        raise OSError(f"the page has no tag {tag}")
    return int(found[0])
