"""baresip 1.0 as a customer's phone, with a tone to speak and a port to be told what to do at."""

from __future__ import annotations

import json
import math
import socket
import struct
import wave
from pathlib import Path

from tests.host.sip.server_process import free_port
from tests.interop.programs import Program


def tone(path: Path, hz: int = 440) -> None:
    """Some seconds to speak with."""
    samples = [round(8_000 * math.sin(2 * math.pi * hz * n / 8_000)) for n in range(8_000 * 4)]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def start_baresip(
    folder: Path,
    server: str,
    address: str,
    login: tuple[str, str],
    *commands: str,
    control_port: int = 0,
) -> Program:
    """Start it.

    Args:
        server: address and port of its registrar.
        address: its own.
        login: user name and password.
        commands: typed at its start.
        control_port: where `tell` reaches it; 0: nowhere.
    """
    home = folder / f"baresip{len(commands)}"
    home.mkdir()
    tone(home / "tone.wav")
    modules = ("account", "menu", "g711", "aufile", "uuid")
    if control_port:
        modules += ("ctrl_tcp",)
    apps = ("account", "menu", "ctrl_tcp")
    (home / "config").write_text(
        "poll_method epoll\nsip_transports udp\n"
        f"sip_listen {address}:{free_port(address=address)}\n"
        f"net_interface {address}\n"
        f"ctrl_tcp_listen {address}:{control_port}\n"
        "rtp_ports 30000-30400\n"
        f"audio_source aufile,{home}/tone.wav\n"
        f"audio_player aufile,{home}/heard.wav\n"
        f"audio_alert aufile,{home}/alert.wav\n"
        "module_path /usr/lib/baresip/modules\n"
        + "".join(f"module{'_app' if m in apps else ''} {m}.so\n" for m in modules)
    )
    user, password = login
    (home / "accounts").write_text(
        f"<sip:{user}@{server}>;auth_user={user};auth_pass={password};regint=120;"
        "answermode=auto;audio_codecs=pcmu\n"
    )
    (home / "contacts").write_text("")
    words = [word for command in commands for word in ("-e", command)]
    return Program(folder, "baresip", "baresip", "-v", "-f", str(home), "-t", "40", *words)


def tell(address: str, port: int, command: str, params: str = "") -> None:
    """Have it do something, as if typed; its module speaks JSON in netstrings."""
    said = json.dumps({"command": command, "params": params}).encode()
    with socket.create_connection((address, port), 5) as control:
        control.sendall(b"%d:%s," % (len(said), said))
        control.recv(4_096)
