"""What rescue has to know of its board: made when its image is built, read on the board.

JSON: `board`, `key` (the public key of images, 64 hexadecimal digits), `disk` (the block device),
`console`, where this system chooses a slot and starts it `starts` (the command line of its kernel),
and in octets `slot_octets`, `a`, `b` and the two places of `state`. Runs under
MicroPython, too.
"""

import json

_NUMBERS = ("slot_octets", "a", "b")
_WORDS = ("board", "key", "disk", "console")


class LayoutError(Exception):
    """The file is not as it was built."""


def loads(text: str) -> dict:  # type: ignore[type-arg]
    """Read and check it.

    Raises:
        LayoutError: with the key that is wrong.
    """
    try:
        layout = json.loads(text)
    except ValueError:
        raise LayoutError("no JSON: build the rescue image anew") from None
    for key in _WORDS:
        if not isinstance(layout.get(key), str) or not layout[key]:
            raise LayoutError(f"{key} is missing: build the rescue image anew")
    places = layout.get("state")
    numbers = [layout.get(key) for key in _NUMBERS]
    numbers += places if isinstance(places, list) and len(places) == 2 else [None]
    if any(not isinstance(one, int) or one < 0 for one in numbers):
        raise LayoutError("a place in the flash is missing: build the rescue image anew")
    if len(layout["key"]) != 64:
        raise LayoutError("the key is none: build the rescue image anew")
    return layout  # type: ignore[no-any-return]
