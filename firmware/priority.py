"""Sound goes before the board's other programs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICE = -10
"""A frame of sound waits for no update that is unpacked beside it; system services come first."""


def prefer_sound() -> None:
    """Ask for more of the processor; without leave to (CAP_SYS_NICE, root) this is as any program.

    Threads that are started later, those of pjsua2 among them, have it too.
    """
    with suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) > NICE:
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        if os.getsid(0) == os.getpid():
            # Linux weighs sessions against each other first (sched(7), autogroup); one that has
            # others in it, a terminal's, is not ours to raise.
            Path("/proc/self/autogroup").write_text(str(NICE))
