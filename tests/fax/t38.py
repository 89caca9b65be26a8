"""What a fax machine or gateway says that would rather have T.38 (ITU-T T.38, Annex D.2)."""


def t38_offer(address: str, port: int = 6_000) -> bytes:
    """A session description that wants fax over UDPTL in place of audio."""
    return (
        f"v=0\r\no=- 7 9 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        f"m=image {port} udptl t38\r\n"
        "a=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"
        "a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:262\r\n"
        "a=T38FaxMaxDatagram:176\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
    ).encode()
