"""Writes `_spandsp_abi.py`: the functions of libspandsp (0.0.6) that are called, for cffi.

Run `python -m hal.dsp.build_spandsp` after changing the declarations. The result is kept with the
sources, so that the device needs neither a C compiler nor cffi's C parser.
"""

from __future__ import annotations

from pathlib import Path

DECLARATIONS = """
typedef struct dtmf_tx_state_s dtmf_tx_state_t;
dtmf_tx_state_t *dtmf_tx_init(dtmf_tx_state_t *s, void *callback, void *user_data);
int dtmf_tx_free(dtmf_tx_state_t *s);
int dtmf_tx(dtmf_tx_state_t *s, int16_t amp[], int max_samples);
size_t dtmf_tx_put(dtmf_tx_state_t *s, const char *digits, int len);
void dtmf_tx_set_level(dtmf_tx_state_t *s, int level, int twist);
void dtmf_tx_set_timing(dtmf_tx_state_t *s, int on_time, int off_time);
void vec_mulf(float z[], const float x[], const float y[], int n);
float vec_dot_prodf(const float x[], const float y[], int n);
typedef struct g711_state_s g711_state_t;
typedef struct g722_encode_state_s g722_encode_state_t;
typedef struct g722_decode_state_s g722_decode_state_t;
typedef struct gsm0610_state_s gsm0610_state_t;
typedef struct plc_state_s plc_state_t;
typedef struct adsi_tx_state_s adsi_tx_state_t;
adsi_tx_state_t *adsi_tx_init(adsi_tx_state_t *s, int standard);
int adsi_tx_free(adsi_tx_state_t *s);
int adsi_tx(adsi_tx_state_t *s, int16_t amp[], int max_len);
void adsi_tx_set_preamble(adsi_tx_state_t *s, int preamble_len, int preamble_ones_len,
                          int postamble_ones_len, int stop_bits);
int adsi_tx_put_message(adsi_tx_state_t *s, const uint8_t *msg, int len);
g711_state_t *g711_init(g711_state_t *s, int mode);
int g711_free(g711_state_t *s);
int g711_encode(g711_state_t *s, uint8_t g711_data[], const int16_t amp[], int len);
int g711_decode(g711_state_t *s, int16_t amp[], const uint8_t g711_data[], int g711_bytes);
g722_encode_state_t *g722_encode_init(g722_encode_state_t *s, int rate, int options);
int g722_encode_free(g722_encode_state_t *s);
int g722_encode(g722_encode_state_t *s, uint8_t g722_data[], const int16_t amp[], int len);
g722_decode_state_t *g722_decode_init(g722_decode_state_t *s, int rate, int options);
int g722_decode_free(g722_decode_state_t *s);
int g722_decode(g722_decode_state_t *s, int16_t amp[], const uint8_t g722_data[], int len);
gsm0610_state_t *gsm0610_init(gsm0610_state_t *s, int packing);
int gsm0610_free(gsm0610_state_t *s);
int gsm0610_encode(gsm0610_state_t *s, uint8_t code[], const int16_t amp[], int len);
int gsm0610_decode(gsm0610_state_t *s, int16_t amp[], const uint8_t code[], int len);
plc_state_t *plc_init(plc_state_t *s);
int plc_free(plc_state_t *s);
int plc_rx(plc_state_t *s, int16_t amp[], int len);
int plc_fillin(plc_state_t *s, int16_t amp[], int len);
typedef struct modem_connect_tones_tx_state_s modem_connect_tones_tx_state_t;
typedef struct modem_connect_tones_rx_state_s modem_connect_tones_rx_state_t;
modem_connect_tones_tx_state_t *modem_connect_tones_tx_init(modem_connect_tones_tx_state_t *s,
                                                            int tone_type);
int modem_connect_tones_tx_free(modem_connect_tones_tx_state_t *s);
int modem_connect_tones_tx(modem_connect_tones_tx_state_t *s, int16_t amp[], int len);
modem_connect_tones_rx_state_t *modem_connect_tones_rx_init(modem_connect_tones_rx_state_t *s,
                                                            int tone_type, void *tone_callback,
                                                            void *user_data);
int modem_connect_tones_rx_free(modem_connect_tones_rx_state_t *s);
int modem_connect_tones_rx(modem_connect_tones_rx_state_t *s, const int16_t amp[], int len);
int modem_connect_tones_rx_get(modem_connect_tones_rx_state_t *s);
"""


def write(declarations: str, target: Path) -> None:
    """Write the module `target` of `hal.dsp`, which opens a library by these declarations."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(declarations)
    ffi.set_source(f"hal.dsp.{target.stem}", None)
    ffi.emit_python_code(str(target))
    target.write_text("# ruff: noqa\n# mypy: ignore-errors\n" + target.read_text("utf-8"), "utf-8")


if __name__ == "__main__":
    write(DECLARATIONS, Path(__file__).with_name("_spandsp_abi.py"))
