"""Messages that the tests share."""

from __future__ import annotations

INVITE = (
    b"INVITE sip:15145550123@127.0.0.1:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.2:5061;branch=z9hG4bK-4711-1-0;rport\r\n"
    b'From: "Alice" <sip:alice@127.0.0.1>;tag=4711SIPpTag001\r\n'
    b"To: <sip:15145550123@127.0.0.1>\r\n"
    b"Call-ID: 1-4711@127.0.0.2\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:alice@127.0.0.2:5061>\r\n"
    b"Max-Forwards: 70\r\n"
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"
    b"Supported: timer\r\n"
    b"User-Agent: handset/1.0\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 150\r\n"
    b"\r\n"
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
    b"m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
)
assert len(INVITE.partition(b"\r\n\r\n")[2]) == 150

OK = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.2:5061;branch=z9hG4bK-4711-1-0;rport=5061;received=127.0.0.2\r\n"
    b'From: "Alice" <sip:alice@127.0.0.1>;tag=4711SIPpTag001\r\n'
    b"To: <sip:15145550123@127.0.0.1>;tag=host1\r\n"
    b"Call-ID: 1-4711@127.0.0.2\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:127.0.0.1:5060>\r\n"
    b"Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n"
    b"Content-Length: 0\r\n"
    b"\r\n"
)

REGISTER = (
    b"REGISTER sip:host.example SIP/2.0\r\n"
    b"v: SIP/2.0/TCP [2001:db8::9]:5061;branch=z9hG4bKk1,"
    b" SIP/2.0/TLS b.example;branch=z9hG4bKk2\r\n"
    b"f: sip:bob@host.example;tag=a1\r\n"
    b"t: Bob B <sip:bob@host.example>\r\n"
    b"i: reg-1@b.example\r\n"
    b"CSeq: 9 REGISTER\r\n"
    b'm: "Bob, at home" <sip:bob@192.0.2.4:5070;transport=tcp>;expires=60;q=0.7,\r\n'
    b"   <tel:+15145550123>;expires=0\r\n"
    b"Max-Forwards: 70\r\n"
    b'Authorization: Digest username="bob", realm="loopstart", nonce="n,1", uri="sip:host.example",'
    b' response="00112233445566778899aabbccddeeff", algorithm=SHA-256, cnonce="c", qop=auth,'
    b" nc=00000001\r\n"
    b"l: 0\r\n"
    b"\r\n"
)


def with_line(message: bytes, line: bytes) -> bytes:
    """The message with one more header field."""
    head, end, rest = message.partition(b"\r\nMax-Forwards")
    return head + b"\r\n" + line + end + rest


def without(message: bytes, name: bytes) -> bytes:
    """The message without the fields of a name."""
    head, end, body = message.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(name + b":")]
    return b"\r\n".join(lines) + end + body
