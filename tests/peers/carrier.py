"""A carrier: answers calls as its plan says for each number, and brings calls for DIDs.

As a process:  python -m tests.peers.carrier --listen 127.0.0.3:5070 --control SOCKET --seconds 60
Each line to the control socket is one JSON request, answered by one line:
    {"do": "plan", "number": "+15145550100", "ring_s": 0.1, "hz": 1500}
    {"do": "call", "number": "+12125550100", "host": "127.0.0.2:5060", "caller": "+15145550111"}
    {"do": "calls"}, {"do": "hang_up", "call": 0}, {"do": "save", "call": 0, "file": "a.wav"}
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tests.peers.call import Call
from tests.peers.endpoint import Endpoint, Where
from tests.peers.tones import write_wav


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of calls to one number."""

    ring_s: float = 0.05
    """From the first provisional answer to the final one; negative: it rings for ever."""
    provisional: int = 180
    """180, 183 (with early media), or 0 for none."""
    status: int = 200
    """The final answer; 0: not a word, as from a carrier that is dead."""
    cause: int | None = None
    """Q.850 cause of a refusal."""
    hz: float | None = None
    """Tone that is sent; None: silence, as from somebody who listens."""
    dbm0: float = -10.0
    mute: bool = False
    """True sends no RTP at all."""
    talk_s: float = 0.0
    """Hangs up after so long; 0: never."""


class Carrier(Endpoint):
    """An endpoint with a plan for each number that it is called for."""

    def __init__(self, address: str, port: int = 0) -> None:
        super().__init__(address, port)
        self.default = Plan()
        self.plans: dict[str, Plan] = {}
        self.on_call = self._play

    def calls_to(self, number: str) -> list[Call]:
        """Calls that came for a number, in order."""
        return [call for call in self.calls if call.number == number]

    async def _play(self, call: Call) -> None:
        plan = self.plans.get(call.number, self.default)
        if plan.status == 0:
            return
        call.trying()
        if plan.hz is not None:
            call.media.say(plan.hz, plan.dbm0)
        if plan.mute:
            call.media.source = None
        if plan.provisional:
            call.ring(early_media=plan.provisional == 183)
        if plan.ring_s < 0:
            return
        await asyncio.sleep(plan.ring_s)
        if plan.status >= 300:
            call.reject(plan.status, plan.cause)
            return
        call.answer()
        if plan.talk_s:
            await asyncio.sleep(plan.talk_s)
            call.hang_up()


def describe(call: Call) -> dict[str, Any]:
    """A call as plain values."""
    names = ("number", "caller", "state", "status", "cause", "ended_by", "cancelled")
    row = {name: getattr(call, name) for name in names}
    return {**row, "heard_s": round(call.media.heard_s, 2), "digits": call.media.digits}


class Control:
    """Carries out what comes over the control socket."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes."""
        while line := await reader.readline():
            try:
                answer = await self._do(json.loads(line))
            except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _do(self, request: dict[str, Any]) -> Any:
        carrier, what = self._carrier, request["do"]
        if what == "plan":
            known = {field.name for field in fields(Plan)}
            plan = Plan(**{name: value for name, value in request.items() if name in known})
            carrier.plans[request["number"]] = plan
            return asdict(plan)
        if what == "call":
            host = parse_where(request["host"])
            call = await carrier.call(
                request["number"], host, caller=request.get("caller", ""), hz=request.get("hz")
            )
            return {"call": carrier.calls.index(call)}
        if what == "calls":
            return [describe(call) for call in carrier.calls]
        if what == "hang_up":
            carrier.calls[request["call"]].hang_up()
            return {}
        if what == "save":
            write_wav(Path(request["file"]), carrier.calls[request["call"]].media.samples())
            return {}
        raise ValueError("do is plan, call, calls, hang_up or save")


def parse_where(text: str) -> Where:
    """`host:port` as an address."""
    host, _, port = text.rpartition(":")
    return Where(host, int(port))


async def _main(listen: Where, control: str, seconds: float) -> None:
    async with Carrier(listen.host, listen.port) as carrier:
        if control:
            server = await asyncio.start_unix_server(Control(carrier).serve, control)
            async with server:
                await asyncio.sleep(seconds)
        else:
            await asyncio.sleep(seconds)


def main() -> None:
    """Run one carrier for a bounded time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--listen", type=parse_where, default=Where("127.0.0.3", 5070))
    parser.add_argument("--control", default="", help="path of a UNIX socket")
    parser.add_argument("--seconds", type=float, default=600.0, help="then it ends")
    options = parser.parse_args()
    asyncio.run(_main(options.listen, options.control, options.seconds))


if __name__ == "__main__":
    main()
