"""Writes `_speexdsp_abi.py`: the functions of libspeexdsp (1.2) that are called, for cffi.

Run `python -m hal.dsp.build_speexdsp` after changing the declarations.
"""

from __future__ import annotations

from pathlib import Path

from hal.dsp.build_spandsp import write

DECLARATIONS = """
typedef struct SpeexEchoState_ SpeexEchoState;
SpeexEchoState *speex_echo_state_init(int frame_size, int filter_length);
void speex_echo_state_destroy(SpeexEchoState *st);
void speex_echo_cancellation(SpeexEchoState *st, const int16_t *rec, const int16_t *play,
                             int16_t *out);
void speex_echo_state_reset(SpeexEchoState *st);
int speex_echo_ctl(SpeexEchoState *st, int request, void *ptr);
"""

if __name__ == "__main__":
    write(DECLARATIONS, Path(__file__).with_name("_speexdsp_abi.py"))
