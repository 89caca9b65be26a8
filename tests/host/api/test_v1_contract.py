"""The rules that hold for every method of /api/v1/rest.php."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from host.api import access
from host.api.v1.methods import METHODS
from tests.host.api.world import ELSEWHERE, HOME, PASSWORD, PATH, ApiWorld
from tests.stores import octets

CREDENTIALS = {"api_username": "alice", "api_password": PASSWORD}
ASKED = {**CREDENTIALS, "method": "getBalance", "advanced": "1"}


@pytest.mark.parametrize("verb", ["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "PURGE"])
def test_any_verb_with_a_query_string(api: ApiWorld, verb: str) -> None:
    answer = api.http(verb, params=ASKED)
    assert (answer.status_code, answer.json()["status"]) == (200, "success")


def test_forms_of_both_kinds_and_the_form_counts_more(api: ApiWorld) -> None:
    urlencoded = api.http("POST", data=ASKED).json()
    multipart = api.http("POST", files={name: (None, text) for name, text in ASKED.items()}).json()
    mixed = api.http("POST", params={**ASKED, "method": "nonsense"}, data={"method": "getBalance"})
    assert urlencoded == multipart
    assert urlencoded["balance"]["calls_total"] == "0"
    assert mixed.json()["status"] == "success"


def test_a_body_of_another_kind_is_passed_over(api: ApiWorld) -> None:
    headers = {"content-type": "application/json"}
    assert api.http("GET", params=ASKED, content=b"", headers=headers).json()["status"] == "success"
    assert api.http("POST", params=ASKED, json={"method": "x"}).json()["status"] == "success"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", None),
        (b"nonsense", "multipart/form-data", None),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", "request_too_large"),
        (b"&".join(b"a=1" for _ in range(300)), "application/x-www-form-urlencoded", None),
        (b"method=%ff%fe&api_username=%00", "application/x-www-form-urlencoded", "invalid_method"),
    ],
)
def test_bodies_that_are_no_form_are_answered_too(
    api: ApiWorld, body: bytes, kind: str, status: str | None
) -> None:
    answer = api.http("POST", content=body, headers={"content-type": kind})
    assert answer.status_code == 200
    said = answer.json()["status"]
    assert said == status if status else said in ("invalid_request", "missing_method")


@pytest.mark.parametrize("yes", ["1", "true", "True", "yes"])
def test_booleans_as_clients_write_them(api: ApiWorld, yes: str) -> None:
    assert "calls_today" in api.succeeds("getBalance", advanced=yes)["balance"]


@pytest.mark.parametrize("no", ["0", "false", "False", "no", ""])
def test_no_as_clients_write_it_and_an_empty_value(api: ApiWorld, no: str) -> None:
    assert set(api.succeeds("getBalance", advanced=no)["balance"]) == {"current_balance"}


def test_what_is_missing_or_unknown(api: ApiWorld) -> None:
    assert api.http("GET").json() == {"status": "missing_method"}
    assert api.http("GET", params={"method": "getNonsense"}).json() == {"status": "invalid_method"}
    assert api.http("GET", params={"method": "getBalance"}).json() == {
        "status": "missing_credentials"
    }
    assert api.status("getBalance", api_username="") == "missing_credentials"
    assert api.status("getBalance", api_password="") == "missing_credentials"
    assert api.status("getBalance", advanced="perhaps") == "invalid_advanced"


def test_every_method_of_the_contract_is_there() -> None:
    asked = (
        "getBalance getServersInfo getRegistrationStatus getCDR getTerminationRates "
        "getTransactionHistory getDIDsInfo setDIDPOP setDIDRouting setDIDBillingType orderDID "
        "createSubAccount setSubAccount delSubAccount getSubAccounts setClientThreshold "
        "getForwardings setForwarding delForwarding getRingGroups setRingGroup delRingGroup "
        "getCallerIDFiltering setCallerIDFiltering delCallerIDFiltering"
    )
    assert set(asked.split()) <= set(METHODS)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_without_its_parameters_says_which_is_missing(api: ApiWorld, method: str) -> None:
    status = api.status(method)
    first = next((p for p in METHODS[method].parameters if p.required), None)
    if first is None:
        assert status == "success" or status.startswith(("no_", "missing_"))
    else:
        assert status == f"missing_{first.word or first.name}"


# --- who may ask -------------------------------------------------------------------------------


def test_an_unknown_name_and_a_wrong_password_look_the_same(api: ApiWorld) -> None:
    assert api.status("getBalance", api_password="wrong") == "invalid_credentials"
    assert api.status("getBalance", api_username="nobody") == "invalid_credentials"
    assert api.status("getBalance", api_username="alice_home") == "invalid_credentials"


def test_the_password_of_the_account_is_not_that_of_its_api(api: ApiWorld) -> None:
    assert api.status("getBalance", api_password="sip password") == "invalid_credentials"
    api.account("bob")
    for password in ("sip password", PASSWORD):
        assert (
            api.status("getBalance", api_username="bob", api_password=password)
            == "invalid_credentials"
        )


def test_nobody_else_learns_that_the_api_is_off_or_the_address_not_enabled(api: ApiWorld) -> None:
    assert api.status("getBalance", address=ELSEWHERE) == "ip_not_enabled"
    assert api.status("getBalance", address=ELSEWHERE, api_password="x") == "invalid_credentials"
    access.enable(api.conn, "alice", False)
    assert api.status("getBalance") == "api_not_enabled"
    assert api.status("getBalance", api_password="x") == "invalid_credentials"


@pytest.mark.parametrize("enabled", ["203.0.113.0/24", "0.0.0.0", "0.0.0.0/0"])
def test_addresses_networks_and_everywhere(api: ApiWorld, enabled: str) -> None:
    access.set_addresses(api.conn, "alice", ["192.0.2.1", enabled])
    assert api.status("getBalance", address=HOME) == "success"
    access.set_addresses(api.conn, "alice", [])
    assert api.status("getBalance", address=HOME) == "ip_not_enabled"


def test_addresses_of_ipv6_and_ipv4_within_it(api: ApiWorld) -> None:
    access.set_addresses(api.conn, "alice", ["2001:db8::/32", HOME])
    assert api.status("getBalance", address="2001:db8::7") == "success"
    assert api.status("getBalance", address=f"::ffff:{HOME}") == "success"
    assert api.status("getBalance", address="2001:db9::7") == "ip_not_enabled"


def test_a_blocked_account_has_no_api(api: ApiWorld) -> None:
    api.conn.execute("UPDATE account SET status = 'blocked' WHERE username = 'alice'")
    assert api.status("getBalance") == "api_not_enabled"


def test_a_new_password_takes_the_place_of_the_old_one_at_once(api: ApiWorld) -> None:
    assert api.status("getBalance") == "success"
    access.set_password(api.conn, "alice", "another")
    assert api.status("getBalance") == "invalid_credentials"
    assert api.status("getBalance", api_password="another") == "success"


def test_too_many_requests_a_minute_are_refused_and_time_lets_them_in_again(
    apis: Callable[..., ApiWorld],
) -> None:
    api = apis(requests_per_minute=3)
    assert [api.status("getBalance") for _ in range(4)] == ["success"] * 3 + ["api_limit_exceeded"]
    api.now_ms += 20_000
    assert [api.status("getBalance") for _ in range(2)] == ["success", "api_limit_exceeded"]


def test_a_source_that_guesses_is_locked_out_and_others_are_not(
    apis: Callable[..., ApiWorld],
) -> None:
    api = apis(lockout_failures=3, lockout_s=60)
    for guess in range(3):
        wrong = api.status("getBalance", api_username=f"user{guess}", address=ELSEWHERE)
        assert wrong == "invalid_credentials"
    assert api.status("getBalance", api_username="user9", address=ELSEWHERE) == "api_limit_exceeded"
    assert api.status("getBalance") == "success"
    api.now_ms += 60_000
    assert (
        api.status("getBalance", api_username="user9", address=ELSEWHERE) == "invalid_credentials"
    )


def test_a_name_that_is_guessed_at_is_locked_out_but_not_for_who_came_in_before(
    apis: Callable[..., ApiWorld],
) -> None:
    api = apis(lockout_failures=3, lockout_s=60)
    assert api.status("getBalance") == "success"
    api.account("bob", "password of bob")
    for name in ("alice", "bob", "nobody"):
        for guess in range(3):
            said = api.status(
                "getBalance", api_username=name, api_password="x", address=f"10.0.{guess}.1"
            )
            assert said == ("invalid_credentials" if name != "nobody" else said)
    # From addresses that have not guessed yet:
    assert api.status("getBalance", api_username="bob", api_password="password of bob") == (
        "api_limit_exceeded"
    )
    assert api.status("getBalance", api_username="nobody") == "api_limit_exceeded"
    assert api.status("getBalance") == "success"


def test_strangers_leave_nothing_in_the_store_and_little_in_memory(
    apis: Callable[..., ApiWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    from host.api import limits

    lockout = limits.Lockout(3, 60, most=100)
    for number in range(1_000):
        lockout.failed(f"10.1.{number // 256}.{number % 256}", 0.0)
    assert len(lockout) == 100
    api = apis(lockout_failures=1_000)
    before = api.conn.total_changes, octets(api.conn, api.database)
    for number in range(5):
        api.status("createSubAccount", username=f"stranger{number}")
    assert (api.conn.total_changes, octets(api.conn, api.database)) == before


def test_a_failure_of_ours_is_a_status_too(api: ApiWorld) -> None:
    api.conn.execute("DROP VIEW cdr")
    asked = {"date_from": "2027-01-01", "date_to": "2027-01-02", "timezone": "0"}
    assert api.status("getCDR", **asked) == "internal_error"


def test_other_paths_are_not_found(api: ApiWorld) -> None:
    with api.client() as client:
        assert client.get("/api/v1/other.php").status_code == 404
        assert client.get(PATH).status_code == 200


def test_an_unknown_name_takes_the_work_of_a_wrong_password(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host.api import passwords

    worked: list[str] = []
    whole = passwords._scrypt
    monkeypatch.setattr(passwords, "_scrypt", lambda p, s: worked.append(p) or whole(p, s))
    for name in ("alice", "nobody", "alice_home"):
        assert (
            api.status("getBalance", api_username=name, api_password="guess")
            == "invalid_credentials"
        )
    assert worked == ["guess"] * 3
    api.status("getBalance")
    api.status("getBalance")
    assert worked[3:] == [PASSWORD]  # who was right once is known again without the work
