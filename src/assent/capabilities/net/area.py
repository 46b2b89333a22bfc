"""`[net]` of assent.toml: what a request may cost, and the rules for where it may go.

[net.rules.github]
hosts = ["api.github.com", "*.githubusercontent.com"]
methods = ["GET", "HEAD", "POST"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from assent._lazy import compiled_when_asked
from assent.capabilities.area import check_authorities
from assent.errors import Json
from assent.spec.documents import settings
from assent.spec.documents.settings import DURATION, Named, Setting, Table, Texts, Whole, listed, some_of
from assent.spec.values.json_fields import Object, number, text
from assent.spec.words.sizes import size_text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.capabilities.net import EgressRule, Http
    from assent.invocation import GlobalContext
    from assent.invocation.context.outbound import Tracing

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PORTS: Final = {"https": 443, "http": 80}

_PART: Final = r"(?=[^.]{1,63}(?:\.|\Z))[a-z0-9_*](?:[a-z0-9_*-]*[a-z0-9_*])?"
_HOST: Final = compiled_when_asked(rf"{_PART}(?:\.{_PART})*")


def _address(text: str) -> str | None:
    import ipaddress

    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


def _ports(value: object) -> Json:
    if (
        not isinstance(value, list)
        or not value
        or not all(type(one) is int and 1 <= one <= 65535 for one in value)
    ):
        raise ValueError("must be a list of ports between 1 and 65535: `[443]`")
    return sorted(set(value))


_NETWORKS: Final = Texts('must be a list of networks: `["10.1.0.0/16", "127.0.0.1/32"]`')


def _private(value: object) -> Json:
    import ipaddress

    written = _NETWORKS(value)
    try:
        return [str(ipaddress.ip_network(str(one))) for one in written]
    except ValueError as error:
        raise ValueError(f"{_NETWORKS.form}; {error}") from None


_RULES: Final = Named(
    "name of a rule",
    {
        "hosts": Setting(
            Texts(
                'must be a list of hosts: `["api.example.org", "*.example.net"]`',
                lambda one: _address(one) is not None or _HOST.fullmatch(one),
                "a host is a name, an address without a port, or either with `*` in it",
                normal=lambda one: _address(one) or one.lower().removesuffix("."),
            ),
            "names and addresses, with `*`",
            is_required=True,
        ),
        "methods": Setting(some_of(METHODS, "methods"), "that may be used", ["GET", "HEAD"]),
        "schemes": Setting(some_of(("https", "http"), "schemes"), "`https`, `http`", ["https"]),
        "ports": Setting(_ports, "that may be used", unless="those of the schemes"),
        "private": Setting(_private, "private networks that may be reached"),
        "principals": Setting(settings.PRINCIPALS, "patterns of principals who may", ["*"], "everybody"),
    },
    unless="public hosts at ports 80 and 443",
)

SECTION: Final[Table] = {
    "timeout": Setting(DURATION, "all of a request, redirects included", 60_000),
    "connect_timeout": Setting(DURATION, "one connection with its TLS", 10_000),
    "idle_timeout": Setting(DURATION, "one wait for the other side", 30_000),
    "redirects": Setting(Whole(0, 20), "that are followed", 5),
    "header_bytes": Setting(Whole(1024, 96 << 10), "headers of an answer", 64 << 10),
    "request_bytes": Setting(Whole(0, 1 << 30), "the body that is sent", 16 << 20),
    "answer_bytes": Setting(Whole(0, 1 << 30), "an answer's body, unpacked", 16 << 20),
    "inline_bytes": Setting(Whole(0, 64 << 20), "from which on a body is kept beside the output", 256 << 10),
    "download_bytes": Setting(Whole(0, 1 << 40), "a file that is downloaded", 256 << 20),
    "ratio": Setting(Whole(2, 100_000), "what an answer unpacks to, as a multiple of what came", 100),
    "connections": Setting(Whole(1, 1024), "open at once", 64),
    "ca_bundle": Setting(
        settings.path,
        "a file of further authorities, in PEM form",
        unless="the system's authorities",
        check_file=check_authorities,
    ),
    "rules": _RULES,
}


def _answer(output: Object) -> str:
    from http import HTTPStatus

    status = number(output, "status") or 0
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    said = f"{status} {phrase}".rstrip()
    kind = text(output, "body_type")
    if kind in {"", "none"}:
        return said
    words = {"json": " of JSON", "text": " of text"}
    return f"{said}, {size_text(number(output, 'size') or 0)}{words.get(kind, '')}"


WORDS: Final[Words] = {frozenset({"url", "status", "headers"}): _answer}
PROJECTION: Final = None


def offer(app: GlobalContext, ground: Ground) -> None:
    """The one client of all requests, the way out that plugins' requests take, and nobody who traces them."""

    def outgoing() -> object:
        from assent.capabilities.net import Http, Outgoing

        return Outgoing(app.get(Http))

    def http() -> object:
        from assent.invocation.context.outbound import Tracing

        return http_of(ground.said, app.get(Tracing))

    def tracing() -> object:
        from assent.invocation.context.outbound import Tracing

        return Tracing()

    async def close(http: Http) -> None:
        await http.close()

    app.offer("assent.capabilities.net._client.Http", http, close=close)
    app.offer("assent.invocation.context.outbound.Outbound", outgoing)
    app.offer("assent.invocation.context.outbound.Tracing", tracing)


def checks(_ground: Ground) -> Iterator[Check]:
    """Nothing: no host is asked."""
    yield from ()


def http_of(said: Mapping[str, Json], tracing: Tracing | None = None) -> Http:
    """The one client of a runtime with this section; nothing is opened."""
    from assent.capabilities.net import Egress, Http, NetLimits

    rules = settings.tables(said, "rules")
    egress = Egress([_rule(*one) for one in rules.items()])
    return Http(egress, NetLimits(**settings.fields(said, SECTION)), tracing=tracing)


def _rule(name: str, said: Mapping[str, Json]) -> EgressRule:
    import ipaddress

    from assent.capabilities.net import EgressRule

    schemes = listed(said, "schemes")
    return EgressRule(
        name=name,
        hosts=listed(said, "hosts"),
        methods=frozenset(listed(said, "methods")),
        schemes=frozenset(schemes),
        ports=frozenset(map(int, listed(said, "ports"))) or frozenset(PORTS[scheme] for scheme in schemes),
        private=tuple(map(ipaddress.ip_network, listed(said, "private"))),
        principals=listed(said, "principals"),
    )
