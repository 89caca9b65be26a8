"""What the SIP user agent tells pjsua2: settings, and parameters of operations on calls."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pjsua2 as pj

from firmware.config import Server, SipConfig
from firmware.legs import MOST_LEGS
from hal.values import RATE_HZ

TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
_REFRESH_BEFORE_S = 5
_LOST_PROBES = 3
"""So many without an answer: the connection is gone."""
_G711 = ("PCMU", "PCMA")
_MOVED = 302


def choose_codecs(endpoint: Any, wanted: tuple[str, ...]) -> None:
    """Offer these alone, in this order."""
    for codec in endpoint.codecEnum2():
        name = codec.codecId.partition("/")[0]
        priority = 255 - wanted.index(name) if name in wanted else 0
        endpoint.codecSetPriority(codec.codecId, priority)


def mark_g711(endpoint: Any, mark: bool) -> None:
    """Let the next stream of G.711 differ from one that has the other mark, so that a re-INVITE
    makes it anew. G.711 has no perceptual enhancement: nothing else depends on the mark.

    PJSUA_CALL_REINIT_MEDIA would do as well, but takes the old stream away before the far end has
    agreed; one that refuses would leave the call mute.
    """
    for name in _G711:
        codec = f"{name}/{RATE_HZ}/1"
        settings = endpoint.codecGetParam(codec)
        settings.setting.penh = mark
        endpoint.codecSetParam(codec, settings)


@contextmanager
def g711_alone(endpoint: Any, wanted: tuple[str, ...]) -> Iterator[None]:
    """Offers that are made meanwhile name G.711 alone, of the codecs wanted what there is of it."""
    names = tuple(name for name in wanted if name in _G711) or _G711
    choose_codecs(endpoint, names)
    try:
        yield
    finally:
        choose_codecs(endpoint, wanted)


def endpoint_config(settings: SipConfig, debug: bool) -> Any:
    """Of the library."""
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.maxCalls = MOST_LEGS
    config.uaConfig.mwiUnsolicitedEnabled = settings.message_waiting != "off"
    config.uaConfig.userAgent = "loopstart-ata"
    config.logConfig.level = config.logConfig.consoleLevel = 4 if debug else 0
    config.medConfig.clockRate = 8_000
    config.medConfig.noVad = True
    config.medConfig.ecTailLen = 0
    return config


@lru_cache(maxsize=1)
def no_discard() -> Any:
    """For a jitter buffer that throws nothing away to become shorter (PJMEDIA_JB_DISCARD_NONE).

    pjsua2's Python has no names for this enumeration; but it reads a configuration's numbers.
    """
    config, written, changed = pj.EpConfig(), pj.JsonDocument(), pj.JsonDocument()
    written.writeObject(config)
    changed.loadString(re.sub(r'("jbDiscardAlgo":\s*)\d+', r"\g<1>0", written.saveString()))
    changed.readObject(config)
    value = config.medConfig.jbDiscardAlgo
    value.disown()  # else its end is reported on standard output as a leak
    return value


def transport_config(settings: SipConfig, name: str) -> Any:
    """Of UDP, TCP or TLS."""
    config = pj.TransportConfig()
    config.boundAddress = settings.address
    shift = 1 if name == "tls" and settings.port else 0
    config.port = settings.port + shift
    if name != "udp" and settings.keep_alive_s:
        options = ((socket.SO_KEEPALIVE, 1, socket.SOL_SOCKET), *_probes(settings.keep_alive_s))
        for option, value, level in options:
            config.sockOptParams.sockOpts.append(pj.SockOpt(level, option, value))
            config.tlsConfig.sockOptParams.sockOpts.append(pj.SockOpt(level, option, value))
    if name == "tls":
        config.tlsConfig.method = pj.PJSIP_TLSV1_2_METHOD
        config.tlsConfig.CaListFile = settings.tls_ca_file
        config.tlsConfig.verifyServer = settings.tls_verify
    return config


def _probes(every_s: int) -> tuple[tuple[int, int, int], ...]:
    """The system's own signs of life on a connection (RFC 1122, 4.2.3.6): a NAT sees traffic, and
    one that has forgotten us shows, though no message is due for long."""
    level = socket.IPPROTO_TCP
    return (
        (socket.TCP_KEEPIDLE, every_s, level),
        (socket.TCP_KEEPINTVL, every_s, level),
        (socket.TCP_KEEPCNT, _LOST_PROBES, level),
    )


def account_config(settings: SipConfig, server: Server) -> Any:
    """Of the account at one server."""
    config = pj.AccountConfig()
    user = settings.username
    address = f"<sip:{escape(user)}@{server.host}>"
    shown = settings.display_name.replace("\\", "").replace('"', "")
    config.idUri = f'"{shown}" {address}' if shown else address
    config.regConfig.registrarUri = f"sip:{server.host}:{server.port}{parameter(server)}"
    config.regConfig.timeoutSec = settings.expires_s
    config.regConfig.delayBeforeRefreshSec = _REFRESH_BEFORE_S
    config.regConfig.retryIntervalSec = 0
    config.regConfig.firstRetryIntervalSec = 0
    config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, settings.password))
    if settings.message_waiting == "subscribe":
        # A subscription goes to our own address, which names no port: by way of the server.
        config.mwiConfig.enabled = True
        route = f"<sip:{server.host}:{server.port};lr{parameter(server)}>"
        config.sipConfig.proxies.append(route)
        config.regConfig.proxyUse = 0
    config.natConfig.udpKaIntervalSec = settings.keep_alive_s
    config.natConfig.sipOutboundUse = 0
    config.mediaConfig.lockCodecEnabled = False
    config.mediaConfig.transportConfig.boundAddress = settings.address
    config.mediaConfig.transportConfig.port = settings.rtp_port
    return config


def operation(status: int, q850: int = 0) -> Any:
    """pjsua2's parameter of an operation on a call, with a `Reason` where there is one."""
    made = pj.CallOpParam(True)
    if status:
        made.statusCode = status
    if q850:
        add_header(made, "Reason", f"Q.850;cause={q850}")
    return made


def moved(to: str) -> Any:
    """Redirection to another address (RFC 3261, 21.3.3)."""
    changed = operation(_MOVED)
    add_header(changed, "Contact", f"<{to}>")
    return changed


def withhold(changed: Any, user: str, server: Server) -> None:
    """Who calls is told to our own server alone (RFC 3323, 4.1; RFC 3325, 9.2)."""
    changed.txOption.localUri = '"Anonymous" <sip:anonymous@anonymous.invalid>'
    add_header(changed, "Privacy", "id")
    add_header(changed, "P-Preferred-Identity", f"<sip:{escape(user)}@{server.host}>")


def add_header(changed: Any, name: str, value: str) -> None:
    header = pj.SipHeader()
    header.hName, header.hValue = name, value
    changed.txOption.headers.append(header)


def parameter(server: Server) -> str:
    return "" if server.transport == "udp" else f";transport={server.transport}"


def uri(number: str, server: Server) -> str:
    return f"sip:{escape(number)}@{server.host}:{server.port}{parameter(server)}"


def escape(user: str) -> str:
    """User part of a SIP URI (RFC 3261, 25.1: `#` and `%` are not allowed as they are)."""
    return user.replace("%", "%25").replace("#", "%23")


@contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """Keep pjlib's greeting, which comes before its log level can be set, off our output."""
    if not silent:
        yield
        return
    sys.stdout.flush()
    saved = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)
