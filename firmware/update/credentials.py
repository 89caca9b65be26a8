"""A device's own secret: made here, given to the host for one that was issued for one use."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from boards.schema import ConfigError, load_table
from firmware.status import write_whole
from firmware.update.client import HostClient, HostError
from firmware.wire.provisioning import SECRET, digest_of, is_secret, make_secret

_log = logging.getLogger("loopstart")


@dataclass(frozen=True, slots=True)
class _Secrets:
    url: str = ""
    """The host that knows it, which alone is told it."""
    own: str = ""
    pending: str = ""
    """One that the host may have taken, if its answer was lost."""
    used: str = ""
    """Digest of the one for one use that is of no use any more."""


class Credentials:
    """One device's at one host.

    Args:
        path: where they are kept, readable for their owner alone.
        url: of the host.
        given: what the configuration says; empty, one for one use, or a lasting one.
        random_octets: gives so many octets that nobody can guess.
    Raises:
        HostError: what is kept is another host's, and the configuration has none for this one.
    """

    def __init__(
        self, path: Path, url: str, given: str, random_octets: Callable[[int], bytes]
    ) -> None:
        self._path = path
        self._given = given
        self._random_octets = random_octets
        self._kept = self._load(url)

    def _load(self, url: str) -> _Secrets:
        try:
            read = json.loads(self._path.read_bytes())
            kept = load_table(_Secrets, read if isinstance(read, dict) else {"": ""})
        except FileNotFoundError:
            return _Secrets(url)
        except (OSError, ValueError, ConfigError, RecursionError) as error:
            what = {"file": str(self._path), "detail": str(error)[:200]}
            _log.warning("the secret is lost; let the host issue another", extra=what)
            return _Secrets(url)
        if kept.url != url and not is_secret(self._given):
            # Whoever answers DHCP may name any host: it is not told what another one knows.
            raise HostError(f"the secret is one of {kept.url}, and {url} is not told it")
        return kept if kept.url == url else _Secrets(url)

    @property
    def own(self) -> str:
        """The device's own secret; nothing is exchanged.

        Raises:
            HostError: it has none yet.
        """
        secret = self._given if is_secret(self._given, SECRET) else self._kept.own
        if not secret:
            raise HostError("this device has no secret of its own yet", 401)
        return secret

    def secret(self, client: HostClient) -> str:
        """The secret to ask with; exchanges one for one use first.

        Raises:
            HostError: there is none, or the host is away.
            OSError: it cannot be kept, so that it is not exchanged.
        """
        if is_secret(self._given, SECRET):
            return self._given
        kept = self._kept
        if self._given and digest_of(self._given) != kept.used:
            return self._exchange(client)
        if not kept.own:
            raise HostError("this device has no secret; let the host issue one for one use", 401)
        return kept.own

    def _exchange(self, client: HostClient) -> str:
        kept = self._kept
        new = kept.pending or make_secret(self._random_octets)
        if new != kept.pending:
            self._keep(replace(kept, pending=new))
        try:
            client.exchange(self._given, new)
        except HostError as error:
            if not error.refused:
                raise
            return self._after_refusal(client, new)
        self._keep(replace(self._kept, own=new, pending="", used=digest_of(self._given)))
        return new

    def _after_refusal(self, client: HostClient, new: str) -> str:
        """The one for one use is of no use: perhaps because it was used, by us."""
        for secret in (new, self._kept.own):
            if not secret:
                continue
            try:
                client.ask(secret)
            except HostError as error:
                if not error.refused:
                    raise
                continue
            self._keep(replace(self._kept, own=secret, pending="", used=digest_of(self._given)))
            return secret
        raise HostError("the host takes this device's secret no more: let it issue another", 401)

    def _keep(self, kept: _Secrets) -> None:
        write_whole(self._path, json.dumps(asdict(kept)))
        self._kept = kept
