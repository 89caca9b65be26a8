"""Digest authentication against the numbers of RFC 7616 and RFC 2617, and against mischief."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.wire.sip import digest
from firmware.wire.sip.errors import SipPeerError

# RFC 7616, 3.9.1: the same exchange in two algorithms.
RFC7616 = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


def rfc7616(algorithm: str, response: str) -> str:
    return (
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,'
        ' cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
        f'response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )


@pytest.mark.parametrize("algorithm", RFC7616)
def test_the_vectors_of_rfc_7616(algorithm: str) -> None:
    ha1 = digest.ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
    credentials = digest.parse_authorization(rfc7616(algorithm, RFC7616[algorithm]))
    assert digest.verify(credentials, "GET", {algorithm: ha1})
    assert not digest.verify(credentials, "POST", {algorithm: ha1})
    assert not digest.verify(credentials, "GET", {algorithm: ha1[::-1]})
    assert not digest.verify(credentials, "GET", {"SHA-512-256": ha1})
    value = digest.respond(
        [
            f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
        ],
        username="Mufasa",
        password="Circle of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        nc=1,
    )
    assert value is not None
    assert digest.parse_authorization(value).response == RFC7616[algorithm]


def test_the_vector_of_rfc_2617_with_quality_and_rfc_2069_without() -> None:
    ha1 = digest.ha1("Mufasa", "testrealm@host.com", "Circle Of Life", "MD5")
    head = (
        'Digest username="Mufasa", realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", '
    )
    new = digest.parse_authorization(
        head + 'qop=auth, nc=00000001, cnonce="0a4f113b", '
        'response="6629fae49393a05397450978507c4ef1"'
    )
    assert digest.verify(new, "GET", {"MD5": ha1})
    old = digest.parse_authorization(head + 'response="670fd8c2df070c60b045671b8b24ff02"')
    assert digest.verify(old, "GET", {"MD5": ha1}, allow_no_qop=True)
    assert not digest.verify(old, "GET", {"MD5": ha1})


@pytest.mark.parametrize("qop", ["auth", "auth-int", ""])
@pytest.mark.parametrize(
    "algorithm", ["MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess", "SHA-512-256-sess"]
)
def test_client_and_server_agree(algorithm: str, qop: str) -> None:
    [value] = digest.challenge('the "realm"', "nonce1", [algorithm], opaque="o", qop=qop)
    answer = digest.respond(
        [value],
        username="bob",
        password="pä",
        method="REGISTER",
        uri="sip:h",
        cnonce="c1",
        nc=2,
        body=b"x",
    )
    assert answer is not None
    credentials = digest.parse_authorization(answer)
    assert (credentials.realm, credentials.opaque) == ('the "realm"', "o")
    base = algorithm.removesuffix("-sess")
    secrets = {base: digest.ha1("bob", 'the "realm"', "pä", base)}
    assert digest.verify(credentials, "REGISTER", secrets, b"x", allow_no_qop=True)
    assert digest.verify(credentials, "REGISTER", secrets, b"y", allow_no_qop=True) is (
        qop != "auth-int"
    )


def test_the_strongest_is_offered_first_and_the_first_known_taken() -> None:
    values = digest.challenge("r", "n", ["SHA-256", "MD5"], stale=True)
    assert [digest.parse_challenge(v).algorithm for v in values] == ["SHA-256", "MD5"]
    assert digest.parse_challenge(values[0]).stale
    strange = ["Bearer x", 'Digest realm="r", nonce="n", algorithm=SHA-3', *values]
    answer = digest.respond(
        strange, username="u", password="p", method="BYE", uri="sip:h", cnonce="c", nc=1
    )
    assert answer is not None
    assert digest.parse_authorization(answer).algorithm == "SHA-256"
    assert (
        digest.respond(
            strange[:2], username="u", password="p", method="BYE", uri="sip:h", cnonce="c", nc=1
        )
        is None
    )


def test_names_beyond_ascii() -> None:
    value = rfc7616("MD5", "0" * 32).replace(
        'username="Mufasa"', "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"
    )
    assert digest.parse_authorization(value).username == "Jäsøn Doe"


GOOD = rfc7616("MD5", "0" * 32)


@pytest.mark.parametrize(
    "value",
    [
        "Basic eDp5",
        "Digest",
        GOOD.replace("uri=", "url="),
        GOOD.replace("nc=00000001", "nc=xyz"),
        GOOD.replace("nc=00000001, ", ""),
        GOOD + ', realm="again"',
        GOOD.replace('Mufasa"', "Mufasa"),
        GOOD + ", " + ", ".join(f"p{n}=1" for n in range(40)),
        GOOD + ", username*=UTF-8''x",
    ],
)
def test_malformed_credentials(value: str) -> None:
    with pytest.raises(SipPeerError):
        digest.parse_authorization(value)


@settings(max_examples=500)
@given(st.text(max_size=80), st.integers(0, len(GOOD)), st.integers(0, 20))
def test_any_text_is_credentials_or_a_peer_error(text: str, place: int, cut: int) -> None:
    for value in (text, "Digest " + text, GOOD[:place] + text[:5] + GOOD[place + cut :]):
        for read in (digest.parse_authorization, digest.parse_challenge):
            try:
                found = read(value)
            except SipPeerError:
                continue
            if isinstance(found, digest.Credentials):
                assert not digest.verify(found, "GET", {"MD5": "0" * 32})


def test_nonces_prove_age_and_source() -> None:
    factory = digest.NonceFactory(b"k" * 16)
    nonce = factory.make(1000.0, "192.0.2.1")
    assert nonce != factory.make(1000.0, "192.0.2.1")
    assert factory.check(nonce, 1059.0, "192.0.2.1", 60) == "ok"
    assert factory.check(nonce, 1061.0, "192.0.2.1", 60) == "stale"
    assert factory.check(nonce, 1001.0, "192.0.2.2", 60) == "bad"
    assert digest.NonceFactory(b"j" * 16).check(nonce, 1001.0, "192.0.2.1", 60) == "bad"
    for forged in ("", "-", "zz-1-00", nonce[:-1], "f" + nonce, "é-\udcff-x"):
        assert factory.check(forged, 1001.0, "192.0.2.1", 60) == "bad"
