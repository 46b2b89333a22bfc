"""Egress: which requests may leave, and to which addresses. What no rule names stays inside.

Without rules, public hosts may be reached at the web's own ports; the gate has decided about the call before. With rules, only
what one of them names. Private addresses are reached only where a rule names their network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from assent.capabilities.net._addresses import Address, Network, is_opened_by, why_not_public
from assent.capabilities.net._url import DEFAULT_PORTS, Target
from assent.errors import Json
from assent.invocation import NoEffectError
from assent.spec.words.globs import glob_matches

ANY: Final = "*"


@dataclass(frozen=True)
class EgressRule:
    """What may be reached: every field has to fit. `private` are the networks beyond the public ones that it opens.

    In `hosts`, `*` stands for a part of one label, a leading `*.` for one or more labels before the rest, and `*` alone for every
    host. `principals` are patterns over `user:NAME`, `agent:NAME` …
    """

    name: str
    hosts: tuple[str, ...]
    methods: frozenset[str] = frozenset({"GET", "HEAD"})
    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] = frozenset({443})
    private: tuple[Network, ...] = ()
    principals: tuple[str, ...] = (ANY,)

    @cached_property
    def _hosts(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_host_pattern, self.hosts)))

    def names(self, host: str) -> bool:
        """Whether the rule is about a host; what it allows there is another question."""
        return self._hosts.fullmatch(host) is not None

    def fits(self, target: Target, method: str, principal: str) -> bool:
        """Whether the rule allows such a request; its addresses are looked at apart."""
        return (
            method in self.methods
            and target.scheme in self.schemes
            and target.port in self.ports
            and self.names(target.host)
            and any(glob_matches(pattern, principal) for pattern in self.principals)
        )


def _host_pattern(pattern: str) -> str:
    if pattern == ANY:
        return ".+"
    head, rest = (r"(?:[^.]+\.)+", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    return head + "[^.]*".join(map(re.escape, rest.split("*")))


class Egress:
    """The rules of one runtime; without any, `rules` is empty."""

    def __init__(self, rules: Sequence[EgressRule] = ()) -> None:
        self.rules = tuple(rules)

    def admit(self, target: Target, method: str, principal: str) -> tuple[Network, ...]:
        """The private networks that such a request may reach besides the public ones. `NoEffectError` EGRESS_DENIED."""
        if not self.rules:
            if target.port != DEFAULT_PORTS[target.scheme] and target.port not in DEFAULT_PORTS.values():
                raise _denied(
                    target,
                    method,
                    principal,
                    is_first=not self.rules,
                    because=f"port {target.port} is none of the web's own",
                )
            return ()
        fitting = [rule for rule in self.rules if rule.fits(target, method, principal)]
        if not fitting:
            raise _denied(
                target, method, principal, is_first=not self.rules, because="no rule of `[net]` names it"
            )
        return tuple(network for rule in fitting for network in rule.private)

    def foresee(self, target: Target, method: str, principal: str) -> None:
        """Do nothing, or raise what such a request is known to raise whatever its host's name is resolved to."""
        opened = self.admit(target, method, principal)
        if target.address is not None:
            self.require_reachable(target, method, principal, [target.address], opened)

    def require_sealed(self, target: Target, method: str, principal: str) -> None:
        """Do nothing, or raise `NoEffectError` EGRESS_DENIED: secrets go out unencrypted only where a rule opens `http`."""
        if target.scheme != "https" and not self.rules:
            raise _denied(
                target,
                method,
                principal,
                is_first=not self.rules,
                because="its secrets could be read on the way",
            )

    def require_reachable(
        self,
        target: Target,
        method: str,
        principal: str,
        addresses: Iterable[Address],
        opened: Sequence[Network],
    ) -> None:
        """Do nothing, or raise `NoEffectError` EGRESS_DENIED: every address of the host must be public, or opened by name."""
        for address in addresses:
            why = why_not_public(address)
            if why is not None and not any(is_opened_by(address, network) for network in opened):
                raise _denied(
                    target,
                    method,
                    principal,
                    is_first=not self.rules,
                    because=f"its address `{address}` is not a public one: {why}",
                    address=address,
                )


def _denied(
    target: Target,
    method: str,
    principal: str,
    *,
    because: str,
    is_first: bool,
    address: Address | None = None,
) -> NoEffectError:
    rule: dict[str, Json] = {"hosts": [target.host], "methods": [method]}
    if target.scheme != "https":
        rule["schemes"] = [target.scheme]
    if target.port != DEFAULT_PORTS[target.scheme]:
        rule["ports"] = [target.port]
    address = address or target.address
    if address is not None and why_not_public(address) is not None:
        rule["private"] = [f"{address}/{address.max_prefixlen}"]
    alone = "; once there is a rule, only what rules name may leave" if is_first else ""
    return NoEffectError(
        "EGRESS_DENIED",
        f"`{method} {target.origin}` may not leave: {because}",
        path="url",
        hint=f"an operator can allow it in `assent.toml`: `[net.rules.NAME]` with {written(rule)}{alone}",
        details={"origin": target.origin, "method": method, "principal": principal, "rule": rule},
    )


def written(rule: Mapping[str, Json]) -> str:
    """Keys of a rule as they stand in `assent.toml`."""
    return ", ".join(f"{key} = {_toml(value)}" for key, value in rule.items())


def _toml(value: Json) -> str:
    assert isinstance(value, list)
    return "[" + ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in value) + "]"
