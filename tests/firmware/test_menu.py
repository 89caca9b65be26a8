"""The voice menu, as an ear and a speech synthesis apart know its words."""

from __future__ import annotations

import shutil
import threading
import time
import tomllib

import numpy as np
import pytest

from firmware.balance import Balance
from firmware.menu import own_address, sentences
from firmware.prompts import FOLDER, clip, languages, words_of_address
from tests.firmware.simulated import Desk

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng")


def words(language: str) -> dict[str, str]:
    rows = tomllib.loads((FOLDER / "words.toml").read_text("utf-8"))[language]
    return {word: text for word, text in rows.items() if word != "voice"}


def spoken_anew(language: str) -> dict[str, np.ndarray]:
    """Each word as espeak-ng speaks it now, apart from what is checked in."""
    from firmware.prompts.build import _spoken

    voice = tomllib.loads((FOLDER / "words.toml").read_text("utf-8"))[language]["voice"]
    return {word: _spoken(text, voice) for word, text in words(language).items()}


def understood(audio: bytes, known: dict[str, np.ndarray]) -> list[str]:
    """The words in some audio, in order: at each place the one that it is most like."""
    samples = np.frombuffer(audio, "<i2").astype(float)
    loud = np.flatnonzero(np.abs(samples) > 30)
    found = []
    for part in np.split(loud, np.flatnonzero(np.diff(loud) > 560) + 1):
        if len(part) < 400:
            continue
        word = samples[part[0] : part[-1] + 1]
        found.append(max(known, key=lambda name: _likeness(word, known[name])))
    return found


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    size = 1 << int(np.ceil(np.log2(len(one) + len(other))))
    crossed = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
    return float(np.abs(crossed).max() / np.sqrt((one**2).sum() * (other**2).sum()))


@needs_espeak
@pytest.mark.parametrize("language", languages())
def test_every_word_is_the_one_that_it_is_named(language: str) -> None:
    known = spoken_anew(language)
    for word in known:
        assert word in understood(clip(language, [word]), known), word


@needs_espeak
@pytest.mark.parametrize(("language", "country"), [("en", "CA"), ("fr", "FR"), ("es", "US")])
def test_the_menu_speaks_address_and_registration(
    language: str, country: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware.speaker.own_address", lambda server, bound: "192.168.1.70")
    desk = Desk(country=country, language=language if country == "US" else "")
    known = spoken_anew(language)
    desk.lift()
    desk.press("***")
    assert desk.state == ("in_call", "menu")
    said = understood(desk.heard(12_000), known)
    number = [{".": "point"}.get(one, one) for one in "192.168.1.70"]
    assert said == ["address", *number, "registered"]
    desk.press("2")
    assert understood(desk.heard(2_000), known) == ["registered"]
    assert desk.agent.commands == []
    desk.press("1")
    desk.put_back()
    desk.lift()
    assert desk.line.state()["tone"] == "dial"


def test_a_device_that_is_not_registered_says_so() -> None:
    assert sentences("registration", "", False) == ["not_registered"]
    assert sentences("all", "", False) == ["no_address", "", "not_registered"]
    desk = Desk(registered=False)
    desk.lift()
    desk.press("***")
    assert np.frombuffer(desk.heard(1_500), "<i2").any(), "it works without a server"


def test_a_flash_ends_the_menu() -> None:
    desk = Desk()
    desk.lift()
    desk.press("***")
    desk.handset.flash(desk.now_ms, 500)
    desk.run(1_000)
    assert desk.state == ("dial_tone", "seized")


@pytest.mark.parametrize(
    ("address", "spoken"),
    [
        ("10.0.0.5", ["address", *"10", "point", "0", "point", "0", "point", "5"]),
        ("fe80::1", ["address", "f", "e", "8", "0", "colon", "colon", "1"]),
        ("", ["no_address"]),
        ("host.example", ["no_address"]),
    ],
)
def test_how_an_address_is_spoken(address: str, spoken: list[str]) -> None:
    assert words_of_address(address) == spoken
    for language in languages():
        assert set(spoken) <= set(words(language))


def test_its_own_address() -> None:
    assert own_address("192.0.2.9:5060", "127.0.0.7") == "127.0.0.7"
    assert own_address("127.0.0.1:5060") == "127.0.0.1"


def test_all_sounds_are_small_enough_to_be_carried() -> None:
    octets = sum(one.stat().st_size for one in FOLDER.glob("*.ulaw"))
    assert octets < 3_000 * sum(len(words(language)) for language in languages())
    for language in languages():
        lengths = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
        assert list(lengths) == list(words(language)), "`tasks.py prompts` makes them anew"
        assert sum(lengths.values()) * 160 == (FOLDER / f"{language}.ulaw").stat().st_size


class Told(Balance):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__(lambda: "")
        self.asked = 0
        self.answer: str | None = None

    def ask(self) -> None:
        self.asked += 1

    def take(self) -> str | None:
        answer, self.answer = self.answer, None
        return answer


@needs_espeak
@pytest.mark.parametrize(("balance", "words_of"), [("-12.05", "- 1 2 . 0 5"), ("", "not_known")])
def test_the_menu_speaks_the_balance_once_it_is_known(balance: str, words_of: str) -> None:
    told = Told()
    desk = Desk(country="CA", balance=told)
    known = spoken_anew("en")
    desk.lift()
    desk.press("***")
    said = understood(desk.heard(12_000), known)
    assert said[0] == "address"
    assert said[-1] == "registered"
    assert told.asked == 1
    told.answer = balance
    names = {".": "point", "-": "minus"}
    wanted = ["balance", *(names.get(one, one) for one in words_of.split())]
    assert understood(desk.heard(6_000), known) == wanted
    desk.press("3")
    assert understood(desk.heard(1_000), known) == []
    assert told.asked == 2
    told.answer = "7"
    assert understood(desk.heard(3_000), known) == ["balance", "7"]


@needs_espeak
def test_a_balance_that_comes_after_the_menu_is_not_said() -> None:
    told = Told()
    desk = Desk(country="CA", balance=told)
    desk.lift()
    desk.press("***")
    desk.put_back()
    told.answer = "12.50"
    desk.lift()
    desk.heard(1_000)
    assert desk.line.state()["tone"] == "dial"


@needs_espeak
def test_without_anybody_to_ask_the_balance_is_not_known() -> None:
    desk = Desk(country="CA")
    known = spoken_anew("en")
    desk.lift()
    desk.press("***")
    desk.heard(12_000)
    desk.press("3")
    assert understood(desk.heard(3_000), known) == ["balance", "not_known"]


def test_the_host_is_asked_once_at_a_time_and_its_faults_are_no_answer() -> None:
    waiting, asked = threading.Event(), []

    def fetch() -> str:
        asked.append(1)
        waiting.wait(10)
        raise OSError("no way there")

    balance = Balance(fetch)
    balance.ask()
    balance.ask()
    assert balance.take() is None
    waiting.set()
    for _ in range(1_000):
        answer = balance.take()
        if answer is not None:
            break
        time.sleep(0.01)
    assert answer == ""
    assert asked == [1]
