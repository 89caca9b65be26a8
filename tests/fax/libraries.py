"""spandsp's fax terminal and libtiff, by cffi: neither is ours, and the product needs neither."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cffi import FFI

_SPANDSP = """
typedef struct fax_state_s fax_state_t;
typedef struct t30_state_s t30_state_t;
typedef void (*phase_e_t)(t30_state_t *s, void *user_data, int completion_code);
fax_state_t *fax_init(fax_state_t *s, int calling_party);
int fax_free(fax_state_t *s);
int fax_rx(fax_state_t *s, int16_t *amp, int len);
int fax_tx(fax_state_t *s, int16_t *amp, int max_len);
void fax_set_transmit_on_idle(fax_state_t *s, int transmit_on_idle);
t30_state_t *fax_get_t30_state(fax_state_t *s);
void t30_set_tx_file(t30_state_t *s, const char *file, int start_page, int stop_page);
void t30_set_rx_file(t30_state_t *s, const char *file, int stop_page);
int t30_set_ecm_capability(t30_state_t *s, int enabled);
int t30_set_supported_modems(t30_state_t *s, int supported_modems);
int t30_set_supported_compressions(t30_state_t *s, int supported_compressions);
int t30_set_supported_resolutions(t30_state_t *s, int supported_resolutions);
int t30_set_supported_image_sizes(t30_state_t *s, int supported_image_sizes);
void t30_set_phase_e_handler(t30_state_t *s, phase_e_t handler, void *user_data);
void t30_get_transfer_statistics(t30_state_t *s, int t[]);
const char *t30_completion_code_to_str(int result);
"""
_TIFF = """
typedef struct tiff TIFF;
TIFF *TIFFOpen(const char *name, const char *mode);
void TIFFClose(TIFF *tif);
int TIFFSetField(TIFF *tif, uint32_t tag, ...);
int TIFFGetField(TIFF *tif, uint32_t tag, ...);
int TIFFWriteScanline(TIFF *tif, void *buf, uint32_t row, uint16_t sample);
int TIFFReadScanline(TIFF *tif, void *buf, uint32_t row, uint16_t sample);
int TIFFWriteDirectory(TIFF *tif);
int TIFFReadDirectory(TIFF *tif);
"""


def _open(declarations: str, names: tuple[str, ...]) -> tuple[Any, Any]:
    ffi = FFI()
    ffi.cdef(declarations)
    for name in names:
        try:
            return ffi, ffi.dlopen(name)
        except OSError:
            continue
    raise OSError(f"none of {', '.join(names)} is installed; run `apt install libspandsp2`")


@lru_cache(maxsize=1)
def spandsp() -> tuple[Any, Any]:
    """cffi's interface, and the library.

    Raises:
        OSError: it is not installed.
    """
    return _open(_SPANDSP, ("libspandsp.so.2", "libspandsp.so.3", "libspandsp.so"))


@lru_cache(maxsize=1)
def tiff() -> tuple[Any, Any]:
    """libtiff, which spandsp itself reads and writes pages with.

    Raises:
        OSError: it is not installed.
    """
    return _open(_TIFF, ("libtiff.so.6", "libtiff.so.5", "libtiff.so"))
