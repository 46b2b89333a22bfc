"""What trusted plugins declare, held against the configuration: which of their services `[net]` would not let them reach.

Nobody is asked for it: no host is looked up. So a name that means a private address shows only when something is sent there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assent.errors import AssentError, Json
from assent.invocation import NoEffectError
from assent.spec.reach import ANY, METHODS, Reach, Service

if TYPE_CHECKING:
    from assent.capabilities.net import Egress, EgressRule
    from assent.plugins.manifest import Manifest
    from assent.runtime.settings.effective import Settings

_LOOPBACK: Final = ipaddress.IPv4Address("127.0.0.1")
_LOCALHOST: Final = "localhost"
"""What is on this machine without anybody being asked (RFC 6761 §6.3)."""

_LABEL: Final = "x"
"""Any label of a name, where a pattern leaves it open."""


@dataclass(frozen=True, slots=True)
class Shut:
    """A part of a service that would be refused: `what` it is, `why`, and the line of the configuration that would open it."""

    what: str
    why: str
    hint: str


def trusted_manifests(settings: Settings) -> Mapping[str, Manifest]:
    """What each trusted plugin was trusted as, by name; those that can't be read are told by whoever loads them."""
    if not settings.plugin_lock.exists():
        return {}
    from assent.plugins import Lock, Manifest

    try:
        entries = Lock.load(settings.plugin_lock).plugins
    except AssentError:
        return {}
    found: dict[str, Manifest] = {}
    for name, entry in sorted(entries.items()):
        try:
            found[name] = Manifest.from_json(entry.manifest)  # type: ignore[arg-type]  # it was read as JSON
        except AssentError:
            continue
    return found


def shut_services(plugin: str, declared: tuple[str, ...], settings: Settings) -> list[Shut]:
    """The parts of what a plugin declares that `[net]` would refuse, whoever calls it."""
    if not declared:
        return []
    from assent.capabilities.net.area import http_of

    egress = http_of(settings.areas["net"]).egress
    callers = dict.fromkeys(
        [str(settings.principal), *(one for rule in egress.rules for one in rule.principals)]
    )
    places = {one.name: one.source for one in settings.effective}
    found = []
    for service in Reach.of(plugin, declared).services:
        refused = {
            method: _refusal(egress, service, method, callers)
            for method in METHODS
            if method in service.methods
        }
        shut = {method: error for method, error in refused.items() if error is not None}
        if shut:
            error = next(iter(shut.values()))
            what = str(Service(service.host, frozenset(shut), service.scheme, service.port))
            why = error.message.partition(" may not leave: ")[2]
            wanted: dict[str, Json] = {**_rule(error), "methods": [*shut]}
            if service.is_wild:
                wanted["hosts"] = [service.host]
            found.append(
                Shut(what, why, f"if it should: {_opening(egress, service, wanted, plugin, places)}")
            )
    return found


def _refusal(egress: Egress, service: Service, method: str, callers: Iterable[str]) -> NoEffectError | None:
    """Why no host of the service would be reached, by no caller; None when one would."""
    from assent.capabilities.net._url import Target

    told: NoEffectError | None = None
    for host in _hosts(egress, service):
        target = Target(service.scheme, host, service.port, "/")
        is_here = host == _LOCALHOST or host.endswith(f".{_LOCALHOST}")
        address = _LOOPBACK if is_here else target.address
        for caller in callers:
            try:
                opened = egress.admit(target, method, caller)
                egress.require_reachable(target, method, caller, [address] if address else [], opened)
            except NoEffectError as error:
                # The refusal that came furthest says most: rules let it out, and its address is what is in the way.
                if told is None or len(_rule(error)) > len(_rule(told)):
                    told = error
            else:
                return None
    return told


def _hosts(egress: Egress, service: Service) -> Iterator[str]:
    """Hosts of a service that stand for all of them: its own, or those that a rule and its pattern have in common."""
    if not service.is_wild:
        yield service.host
        return
    yield f"{_LABEL}.{service.host.removeprefix('*.')}" if service.host != ANY else f"{_LABEL}.example"
    for rule in egress.rules:
        for pattern in rule.hosts:
            host = pattern.replace("*", _LABEL)
            if service.names(host):
                yield host


def _opening(
    egress: Egress, service: Service, wanted: Mapping[str, Json], plugin: str, places: Mapping[str, str]
) -> str:
    """The line that would open what is `wanted`: in the rule that names the host already, or in one of its own."""
    from assent.capabilities.net._rules import written

    near = [rule for rule in egress.rules if any(rule.names(host) for host in _hosts(egress, service))]
    if near:
        pairs = ((rule, _lacks(rule, wanted, service)) for rule in near)
        rule, lacks = min(pairs, key=lambda pair: len(pair[1]))
        place = places.get(f"net.rules.{rule.name}", "assent.toml")
        return f"{written(lacks)} in `[net.rules.{rule.name}]` ({place})"
    alone = "" if egress.rules else "; once there is a rule, only what rules name may leave"
    return f"`[net.rules.{plugin}]` in assent.toml with {written(wanted)}{alone}"


def _lacks(rule: EgressRule, wanted: Mapping[str, Json], service: Service) -> dict[str, Json]:
    """The keys of a rule that do not open what is wanted, each as it would have to be."""
    from assent.capabilities.net._addresses import is_opened_by

    lacks: dict[str, Json] = {}
    methods = [*rule.methods, *(str(one) for one in _listed(wanted, "methods"))]
    if not rule.methods.issuperset(methods):
        lacks["methods"] = [one for one in METHODS if one in methods]
    if service.scheme not in rule.schemes:
        lacks["schemes"] = [*sorted({*rule.schemes, service.scheme})]
    if service.port not in rule.ports:
        lacks["ports"] = [*sorted({*rule.ports, service.port})]
    private = map(ipaddress.ip_network, map(str, _listed(wanted, "private")))
    closed = [one for one in private if not any(is_opened_by(one.network_address, it) for it in rule.private)]
    if closed:
        lacks["private"] = [str(one) for one in (*rule.private, *closed)]
    return lacks


def _rule(error: NoEffectError) -> dict[str, Json]:
    """The rule that would have let a refused request out."""
    rule = error.details["rule"]
    assert isinstance(rule, dict)  # INVARIANT: as `Egress` refuses
    return rule


def _listed(table: Mapping[str, Json], key: str) -> list[Json]:
    value = table.get(key)
    return value if isinstance(value, list) else []
