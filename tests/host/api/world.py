"""A host's store, an API over it in this process, and customers and operators who ask it."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from host.api import access
from host.api.app import make_app
from host.api.services import Services
from host.api.store import Store
from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import (
    USD,
    BilledLeg,
    CallFacts,
    Ending,
    Money,
    Now,
    Tariff,
)
from host.control_client import Unreachable
from host.numbering import provisioning
from host.settings import ApiSettings, ChargingSettings, Listener, Settings
from host.store.opening import open_writer
from tests.stores import database_at

NOON = 1_800_014_400_000
"""2027-01-15 12:00:00 UTC."""
HOME, ELSEWHERE = "203.0.113.5", "198.51.100.9"
PASSWORD = "api password of alice"
PATH = "/api/v1/rest.php"


class ApiWorld:
    """One host at two POPs; alice is a customer with ten dollars, a sub-account and two DIDs."""

    def __init__(self, folder: Path, noon: int = NOON, **api: Any) -> None:
        self.database = folder / "host.sqlite"
        self.now_ms = self.noon = noon
        self.live_answers: dict[str, Any] = {}
        """What the process that carries calls says; what is not here is not answered."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        listeners = (
            Listener("toronto1", "192.0.2.10", 5060, advertised="toronto1.example"),
            Listener("newyork7", "192.0.2.11", 5060),
        )
        self.settings = Settings(
            database=database_at(self.database), listeners=listeners, api=ApiSettings(**api)
        )
        self.services = Services(
            self.settings, Store(database_at(self.database)), now=self.now, ask=self._ask
        )
        self.app = make_app(self.services)
        self.conn = open_writer(self.database)
        provisioning.seed(self.conn)
        for pop in ("toronto1", "newyork7", "montreal"):
            provisioning.add_pop(self.conn, pop)
        self.alice = self.account("alice", PASSWORD, "10")
        self.account("alice_home", parent="alice", international=1, route="value")
        provisioning.add_did(
            self.conn, "+12125550100", plan="per-minute", pop="newyork7", account="alice"
        )
        provisioning.add_did(
            self.conn, "+12125550101", plan="flat", pop="newyork7", account="alice_home"
        )
        self._calls = 0

    def close(self) -> None:
        self.conn.close()

    def now(self) -> Now:
        return Now(self.now_ms, self.now_ms)

    def _ask(self, path: str, do: str, **values: Any) -> Any:
        self.asked.append((do, values))
        answer = self.live_answers.get(do)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            raise Unreachable(f"nobody at {path}")
        return answer(**values) if callable(answer) else answer

    def account(self, name: str, api_password: str = "", usd: str = "0", **columns: Any) -> int:
        number = provisioning.add_account(
            self.conn, name, realm="loopstart", password="sip password", **columns
        )
        if api_password:
            access.set_password(self.conn, name, api_password)
            access.enable(self.conn, name, True)
            access.set_addresses(self.conn, name, [HOME])
        if amount := round(float(usd) * USD):
            ledger.pay(
                self.conn,
                Now(self.noon - 86_400_000, 0),
                number,
                Money(amount),
                "manual",
                f"pay-{name}",
            )
        return number

    def call(
        self,
        at_ms: int,
        talk_ms: int,
        *,
        account: str = "alice",
        disposition: Any = "answered",
        direction: Any = "out",
        callee: str = "+15145550100",
    ) -> str:
        """A call that is over; 10^-8 USD: 520,000 a minute."""
        self._calls += 1
        call_id, now = f"c{self._calls}", Now(at_ms, at_ms)
        charging = Charging("host1", "boot", ChargingSettings(quota_s=3_600))
        number = provisioning.account_row(self.conn, account)[0]
        facts = CallFacts(call_id, account, number, direction, "+12125550100", callee)
        leg = BilledLeg(
            0, direction, self.alice, Tariff(Money(520_000)), "value 1514", "value", deck=1
        )
        self.conn.execute("BEGIN IMMEDIATE")
        charging.authorize(self.conn, now, facts, (leg,), 3_600_000)
        if talk_ms:
            charging.answered(self.conn, now, call_id, "north")
        end = Now(at_ms + talk_ms, at_ms + talk_ms)
        charging.settle(self.conn, end, call_id, talk_ms, Ending(disposition, 16, "caller"))
        self.conn.execute("COMMIT")
        return call_id

    @contextlib.contextmanager
    def client(self, address: str = HOME) -> Iterator[TestClient]:
        with TestClient(self.app, client=(address, 4711), base_url="http://api.example") as client:
            yield client

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """The application behind a real socket; answers its address."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(self.app, log_level="error", lifespan="off", ws="none")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            server.should_exit = True
            thread.join(10)

    def http(self, verb: str, *, address: str = HOME, **request: Any) -> Any:
        """The raw answer of the contract's endpoint."""
        with self.client(address) as client:
            return client.request(verb, PATH, **request)

    def ask(
        self,
        method: str,
        *,
        api_username: str = "alice",
        api_password: str = PASSWORD,
        address: str = HOME,
        **parameters: Any,
    ) -> dict[str, Any]:
        """What a method answers, checked by the rules that hold for all of them."""
        who = {"api_username": api_username, "api_password": api_password}
        asked = {**who, "method": method, **parameters}
        answer = self.http("GET", address=address, params=asked)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        told: dict[str, Any] = answer.json()
        assert isinstance(told["status"], str)
        assert_strings(told)
        return told

    def succeeds(self, method: str, **parameters: Any) -> dict[str, Any]:
        told = self.ask(method, **parameters)
        assert told.pop("status") == "success", told
        return told

    def status(self, method: str, **parameters: Any) -> str:
        told = self.ask(method, **parameters)
        assert told["status"] == "success" or set(told) == {"status"}
        return str(told["status"])


class Program:
    """An operator's program with a token."""

    def __init__(self, api: ApiWorld, client: TestClient, token: str) -> None:
        self.api = api
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    def raw(self, verb: str, path: str, **request: Any) -> Any:
        headers = {**self.headers, **request.pop("headers", {})}
        return self.client.request(verb, f"/api/v2{path}", headers=headers, **request)

    def does(self, verb: str, path: str, status: int = 200, **request: Any) -> Any:
        answer = self.raw(verb, path, **request)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.does("GET", path, params=params)

    def problem(self, verb: str, path: str, status: int, **request: Any) -> str:
        answer = self.raw(verb, path, **request)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["status"] == status
        assert told["title"]
        return " ".join([told["detail"], *told["errors"]])

    def every(self, path: str, **params: Any) -> list[Any]:
        items, after = [], {}
        while True:
            part = self.get(path, **params, **after)
            items += part["items"]
            if part["next"] is None:
                return items
            after = {"after": part["next"]}


def assert_strings(value: Any) -> None:
    """Every scalar is a string, none is null."""
    if isinstance(value, dict):
        for one in value.values():
            assert_strings(one)
    elif isinstance(value, list):
        for one in value:
            assert_strings(one)
    else:
        assert isinstance(value, str), value


def sql(conn: sqlite3.Connection, query: str, *values: Any) -> Any:
    return conn.execute(query, values).fetchone()
