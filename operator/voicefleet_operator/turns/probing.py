"""Probing providers from one place for the whole fleet: an address at a time, never more often than it is to be asked.

A probe is a GET without a key. It follows no redirect and reads no answer: whoever may write a pool learns from it
whether somebody answers at an address, and nothing of what is said there.
"""

import asyncio
import errno
import logging
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import aiohttp

from voicefleet.providers.probing import Probed, ProbeRule, merge_rules, problem_of_answer
from voicefleet_operator.turns.workqueue import Key

logger = logging.getLogger(__name__)

_AT_ONCE = 8
_LOOKUPS_AT_ONCE = 64
# A thousand pools that are new to a leader are not asked about all at once.
_FIRST_WITHIN_SECONDS = 2.0
_SPREAD = 0.1
_LOOK_SECONDS = 0.5

Ask = Callable[[str, float], Awaitable[str | None]]
"""Asks an address, for so many seconds at most, and returns what is wrong with it."""


@dataclass(slots=True)
class _Target:
    rule: ProbeRule
    due_at: float
    probed: Probed | None = None
    under_way: asyncio.Task[None] | None = None


class Prober:
    """What is known of addresses outside, and who wants to know."""

    def __init__(
        self,
        changed: Callable[[Key], None] = lambda _key: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._changed = changed
        self._clock = clock
        self._chance = chance
        self._wishes: dict[Key, tuple[ProbeRule, ...]] = {}
        self._targets: dict[str, _Target] = {}
        self._is_planned = True
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    def want(self, key: Key, rules: tuple[ProbeRule, ...]) -> None:
        """Have these addresses probed for a pool from now on, and no others."""
        if self._wishes.get(key, ()) == rules:
            return
        self._wishes[key] = rules
        if not rules:
            del self._wishes[key]
        self._is_planned = False

    @property
    def addresses(self) -> list[str]:
        """Return whom somebody wants to be asked."""
        return sorted({rule.address for rules in self._wishes.values() for rule in rules})

    def found(self, addresses: Iterable[str]) -> Mapping[str, Probed]:
        """Return what the probes of some addresses have found."""
        targets = ((address, self._targets.get(address)) for address in addresses)
        return {address: target.probed for address, target in targets if target and target.probed}

    async def run(self, ask: Ask | None = None) -> None:
        """Probe for ever; only who leads does, so that nobody is asked twice."""
        if ask is not None:
            await self._run(ask)
        else:
            async with Outside() as outside:
                await self._run(outside.ask)

    async def _run(self, ask: Ask) -> None:
        try:
            while True:
                try:
                    self.begin_due(ask)
                except Exception:
                    # One pool that nobody expected must not end the probing for all others.
                    logger.exception("planning probes failed")
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            tasks = [target.under_way for target in self._targets.values() if target.under_way]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def begin_due(self, ask: Ask) -> None:
        """Begin the probes whose time has come."""
        if not self._is_planned:
            self._plan()
        now = self._clock()
        for address, target in self._targets.items():
            if target.due_at <= now and target.under_way is None:
                target.under_way = asyncio.create_task(self._probe(target, ask), name=f"probe {address}")

    def _plan(self) -> None:
        """Keep a target for each address that somebody wants to be probed; it is asked as often as the most eager."""
        rules = merge_rules(rule for wishes in self._wishes.values() for rule in wishes)
        for gone in self._targets.keys() - {rule.address for rule in rules}:
            target = self._targets.pop(gone)
            if target.under_way is not None:
                target.under_way.cancel()
        for rule in rules:
            target = self._targets.setdefault(rule.address, self._new(rule))
            if rule.interval_seconds < target.rule.interval_seconds:
                target.due_at = min(target.due_at, self._clock() + rule.interval_seconds)
            target.rule = rule
        self._is_planned = True

    def _new(self, rule: ProbeRule) -> _Target:
        return _Target(rule, self._clock() + _FIRST_WITHIN_SECONDS * self._chance())

    async def _probe(self, target: _Target, ask: Ask) -> None:
        try:
            async with self._at_once:
                # From its beginning: between two of them lies never less than the interval.
                spread = 1 + _SPREAD * self._chance()
                target.due_at = self._clock() + target.rule.interval_seconds * spread
                problem = await ask(target.rule.address, target.rule.timeout_seconds)
            before, target.probed = target.probed, (target.probed or Probed()).after(problem)
            if before is None or before.why_unreachable != target.probed.why_unreachable:
                self._tell(target.rule.address)
        except Exception:
            # One address that nobody expected must not end the probing of all others.
            logger.exception("probing failed")
        finally:
            target.under_way = None

    def _tell(self, address: str) -> None:
        for key, rules in self._wishes.items():
            if any(rule.address == address for rule in rules):
                self._changed(key)


class Outside:
    """The world of providers, by way of the proxy that the environment names, if it does."""

    async def __aenter__(self) -> Self:
        # A name that no server resolves holds a thread for a minute, long after its probe has given up. By default one
        # core has five, and with all of them held every other provider would look out of reach.
        threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="lookup")
        asyncio.get_running_loop().set_default_executor(threads)
        connector = aiohttp.TCPConnector(limit=_AT_ONCE, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, trust_env=True, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, address: str, timeout_seconds: float) -> str | None:
        """Ask an address, and return what is wrong with it."""
        patience = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with self._session.get(address, allow_redirects=False, timeout=patience) as answer:
                return problem_of_answer(answer.status)
        except TimeoutError:
            return f"no answer within {timeout_seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _in_words(error)


def _in_words(error: Exception) -> str:
    """Say what went wrong without what the other side wrote."""
    match error:
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "its name is not known"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientSSLError():
            return "no TLS is spoken there"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "the connection breaks off"
        case OSError(errno=int(number)) if number in errno.errorcode:
            return os.strerror(number).lower()
        case _:
            return f"no HTTP is spoken there ({type(error).__name__})"
