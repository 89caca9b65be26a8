"""Runs in the clients' own environment: calls their functions as it is told, says what came.

Standard input: `{"client": ..., "address": ..., "username": ..., "password": ..., "calls":
[[path, [arguments], {options}], ...]}`; standard output: a list of what each answered, or of
`{"raised": [kind, text]}`.
"""

from __future__ import annotations

import contextlib
import io
import json
import operator
import sys
from typing import Any


def voipms(asked: dict[str, Any]) -> Any:
    from voipms import VoipMs  # type: ignore[import-not-found]

    client = VoipMs(asked["username"], asked["password"])
    client.post_url = asked["address"]
    client.base_url = (
        f"{asked['address']}?api_username={asked['username']}&api_password={asked['password']}&"
    )
    return lambda path: operator.attrgetter(path)(client)


def voipms_api(asked: dict[str, Any]) -> Any:
    import voipms_api as package  # type: ignore[import-not-found]

    def find(path: str) -> Any:
        kind, _, name = path.partition(".")
        client = getattr(package, kind)(asked["username"], asked["password"])
        client.voipms_url = asked["address"]
        return getattr(client, name)

    return find


def moxad(asked: dict[str, Any]) -> Any:
    """It has no address to set: a proxy answers for the name."""
    from voip_ms_moxad import functions  # type: ignore[import-not-found]

    def find(method: str) -> Any:
        def send(**parameters: str) -> Any:
            url = (
                "https://voip.ms/api/v1/rest.php"
                f"?api_username={asked['username']}&api_password={asked['password']}"
                f"&method={method}"
            )
            return functions.send_request(
                url + "".join(f"&{name}={value}" for name, value in parameters.items())
            )

        return send

    return find


def main() -> None:
    asked = json.load(sys.stdin)
    find = {"voipms": voipms, "voipms-api": voipms_api, "voip-ms-moxad": moxad}[asked["client"]](
        asked
    )
    answers: list[Any] = []
    for path, arguments, options in asked["calls"]:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                answers.append(find(path)(*arguments, **options))
        except Exception as error:
            answers.append({"raised": [type(error).__name__, str(error)]})
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
