"""IAX2 (RFC 5456, AST-2009-006, and what chan_iax2 adds), without I/O: `Endpoint` is all of it.

Both ends are here: caller and callee, registrant and registrar. Time is an argument, random octets
and AES are functions passed in; an endpoint leaves datagrams in `outgoing` and events in `events`.

Frames (S sent, U understood and acted on, A acknowledged and ignored, R refused):

===================  ====  ========  ====================================================
full frame           what  RFC 5456  remarks
===================  ====  ========  ====================================================
DTMF (end)           S U   8.2       a digit; RFC 5456 knows no begin
DTMF begin (12)      S U   -         chan_iax2; the length is the difference of timestamps
VOICE                S U   8.2       first, on change of format, every 65.536 s
VIDEO                A     8.2
CONTROL HANGUP       A     8.3       HANGUP of IAX ends calls
CONTROL RING         A     8.3
CONTROL RINGING      S U   8.3
CONTROL ANSWER       S U   8.3
CONTROL BUSY         S U   8.3
CONTROL CONGESTION   S U   8.3
CONTROL FLASH        S U   8.3
CONTROL OPTION, WINK A     8.3
CONTROL KEY, UNKEY   A     8.3
CONTROL PROGRESS     S U   8.3
CONTROL PROCEEDING   S U   8.3
CONTROL HOLD, UNHOLD S U   8.3
CONTROL 18 and more  A     -         video and source updates, T.38, connected line
NULL                 A     8.2
TEXT                 S U   8.2       up to 1024 octets
IMAGE, HTML          A     8.2
COMFORT NOISE        A     8.2
MODEM                A     -
IAX NEW              S U   6.2.2
IAX PING, PONG       S U   6.7.2     PONG with RR elements
IAX ACK              S U   6.9.1
IAX HANGUP           S U   6.2.9
IAX REJECT           S U   6.2.4
IAX ACCEPT           S U   6.2.3
IAX AUTHREQ, AUTHREP S U   6.2.5     MD5 alone; plain and RSA end the call
IAX INVAL            S U   6.9.2
IAX LAGRQ, LAGRP     S U   6.7.4
IAX REGREQ           S U   6.1.2
IAX REGAUTH          S U   6.1.3
IAX REGACK, REGREJ   S U   6.1.4
IAX REGREL           S U   6.1.6
IAX VNAK             S U   6.9.3
IAX DPREQ, DIAL      R     6.8       UNSUPPORT: numbers are dialled whole
IAX DPREP            A     6.8
IAX TXREQ            S U   6.5       between two calls with one peer; else TXREJ
IAX TXCNT, TXACC     A     6.5       media always goes through us
IAX TXREADY, TXREL   S U   6.5
IAX TXREJ            S U   6.5       of a failed TRANSFER, too
IAX QUELCH, UNQUELCH S U   6.6
IAX POKE             S U   6.7.1
IAX PAGE, MWI        R     8.4       UNSUPPORT
IAX UNSUPPORT        S U   6.10      of TRANSFER and TXREQ
IAX TRANSFER         S U   6.4       where `EndpointSettings.transfers`; else UNSUPPORT
IAX PROVISION        R     8.4       UNSUPPORT
IAX FWDOWNL, FWDATA  R     8.4       UNSUPPORT
IAX TXMEDIA, RTKEY   R     -         UNSUPPORT; key rotation is never agreed on
IAX CALLTOKEN        S U   -         AST-2009-006
===================  ====  ========  ====================================================

Mini frames are sent and understood (8.1.2). Meta trunk frames are sent with timestamps (without, if
so set) and understood with and without (8.1.3.1). Meta video is dropped and counted (8.1.3.2).

Information elements (S sent, U understood, P parsed and handed to nobody):

====================  ====  ============  ==================================================
element               what  RFC 5456      remarks
====================  ====  ============  ==================================================
CALLED NUMBER         S U   8.6.1
CALLING NUMBER        S U   8.6.2
CALLING ANI           S U   8.6.3
CALLING NAME          S U   8.6.4
CALLED CONTEXT        S U   8.6.5
USERNAME              S U   8.6.6
PASSWORD              P     8.6.7         refused: never asked for, never looked at
CAPABILITY            S U   8.6.8
FORMAT                S U   8.6.9
LANGUAGE              S U   8.6.10
VERSION               S U   8.6.11        2
ADSICPE               P     8.6.12
DNID                  S U   8.6.13
AUTHMETHODS           S U   8.6.14
CHALLENGE             S U   8.6.15
MD5 RESULT            S U   8.6.16
RSA RESULT            P     8.6.17
APPARENT ADDR         S U   8.6.18        IPv4 and IPv6
REFRESH               S U   8.6.19
DPSTATUS              P     8.6.20
CALLNO                S U   8.6.21
CAUSE                 S U   8.6.22
IAX UNKNOWN           S P   8.6.23
MSGCOUNT              S U   8.6.24
AUTOANSWER            S U   8.6.25
MUSICONHOLD           P     8.6.26
TRANSFERID            S U   8.6.27
RDNIS                 S U   8.6.28
DATETIME              S U   8.6.29
CALLINGPRES           S U   8.6.30
CALLINGTON            S U   8.6.31
CALLINGTNS            S U   8.6.32
SAMPLINGRATE          P     8.6.33
CAUSECODE             S U   8.6.34
ENCRYPTION            S U   8.6.35        AES-128
ENCKEY                P     8.6.36
CODEC PREFS           S U   8.6.37
RR JITTER to RR OOO   S U   8.6.38 to 43
OSPTOKEN              P     8.6.44
CALLTOKEN             S U   AST-2009-006
CAPABILITY2, FORMAT2  S U   -             64 bits; go before CAPABILITY and FORMAT
provisioning,         P     -             29, 30, 32 to 37
firmware, device
VARIABLE              P     -
all others            P     -             kept as octets
====================  ====  ============  ==================================================
"""

from __future__ import annotations

from firmware.wire.iax2.auth import Access, Authority, Credentials, Encryption, Purpose
from firmware.wire.iax2.call import Call
from firmware.wire.iax2.crypto import Crypto
from firmware.wire.iax2.endpoint import Endpoint
from firmware.wire.iax2.events import (
    Accepted,
    Address,
    Answered,
    Busy,
    CallOffered,
    Congestion,
    DigitBegan,
    DigitEnded,
    Ended,
    Event,
    Flash,
    Hold,
    JoinAsked,
    Proceeding,
    Progress,
    Quelched,
    Reachable,
    RegisterAccepted,
    Registering,
    RegisterRefused,
    RegisterReleased,
    Releasing,
    Ringing,
    Text,
    TransferAsked,
    TransferReady,
    TransferRefused,
    Unhold,
    Unquelched,
    Unreachable,
)
from firmware.wire.iax2.formats import FORMATS, Format, FormatRow
from firmware.wire.iax2.offer import DateTime, NewCall
from firmware.wire.iax2.registration import Registration
from firmware.wire.iax2.settings import Counters, EndpointSettings
from firmware.wire.iax2.states import State
from firmware.wire.iax2.voice import Statistics

__all__ = [
    "FORMATS", "Accepted", "Access", "Address", "Answered", "Authority", "Busy", "Call",
    "CallOffered", "Congestion", "Counters", "Credentials", "Crypto", "DateTime", "DigitBegan",
    "DigitEnded", "Encryption", "Ended", "Endpoint", "EndpointSettings", "Event", "Flash",
    "Format", "FormatRow", "Hold", "JoinAsked", "NewCall", "Proceeding", "Progress", "Purpose",
    "Quelched", "Reachable", "RegisterAccepted", "RegisterRefused", "RegisterReleased",
    "Registering", "Registration", "Releasing", "Ringing", "State", "Statistics", "Text",
    "TransferAsked", "TransferReady", "TransferRefused", "Unhold", "Unquelched", "Unreachable",
]  # fmt: skip
