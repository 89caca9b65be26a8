"""`python -m host`: the process that carries calls, its SIP core as machine code where it is made.

Started by `loopstart-host serve`.
"""

from __future__ import annotations

from host import compiled


def main() -> int:
    compiled.prefer()
    from host.main import main as carry

    return carry()


if __name__ == "__main__":
    raise SystemExit(main())
