"""What the rescue system's Python consists of, in the terms of MicroPython's manifests.

`python3 tasks.py image --rescue` reads it (`boards/image/manifest.py`) and compiles what it names.
"""
# ruff: noqa: F821
# mypy: disable-error-code=name-defined

metadata(version="1.0.0", description="Loopstart's rescue system")

require("argparse")
require("logging")

package(
    "boards",
    (
        *("__init__.py", "environment.py", "slot.py"),
        *(
            f"rescue/{name}.py"
            for name in (
                *(
                    "__init__",
                    "filler",
                    "layout",
                    "main",
                    "starter",
                    "state",
                    "system",
                    "tftp",
                    "transfer",
                ),
                "ymodem",
            )
        ),
    ),
    base_path="../..",
)
package(
    "firmware",
    (
        "__init__.py",
        *(f"wire/{name}.py" for name in ("__init__", "ed25519", "errors", "image_check", "sha512")),
    ),
    base_path="../..",
)
