"""`[serve]` of assent.toml: which doors `assent serve` opens, and what may come through each. Kept as plain values.

[serve]
http = "127.0.0.1:8420"
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec

from assent.errors import Json
from assent.spec.documents.settings import (
    DURATION,
    Duration,
    Matching,
    Named,
    Setting,
    Table,
    Texts,
    Whole,
    capabilities,
    fields,
    flag,
    label,
    listed,
    path,
    principals,
    some_of,
    tables,
)
from assent.spec.documents.settings import text as plain_text
from assent.spec.ids import LABEL
from assent.spec.scopes import SCOPES


def split_address(written: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8420` or `[::1]:8420`. ValueError with the rest of a sentence."""
    host, colon, port = written.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 1 << 16:
        raise ValueError('must be an address and a port from 1 to 65535: `"127.0.0.1:8420"`')
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it; a name is looked up by nobody, and only `localhost` counts."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(value: object) -> Json:
    if not isinstance(value, str):
        raise ValueError('must be an address and a port: `"127.0.0.1:8420"`')  # noqa: TRY004 - a fault
    split_address(value)
    return value


def _metrics(value: object) -> Json:
    if isinstance(value, bool):
        return value
    try:
        host, _ = split_address(str(value))
    except ValueError:
        raise ValueError('must be true, false or an address and a port: `"127.0.0.1:9464"`') from None
    # Nobody is asked who they are there.
    if not is_loopback(host):
        raise ValueError("must be an address that only this machine reaches; with `true`, keys may read them")
    return str(value)


def _log(value: object) -> Json:
    if value not in ("text", "json"):
        raise ValueError("must be `text` or `json`")
    return str(value)


def _socket(value: object) -> Json:
    found = plain_text(value)
    # A service manager's file names it too, and that knows no folder of ours.
    if not str(found).startswith("/"):
        raise ValueError("must be an absolute path")
    if len(str(found).encode()) > SOCKET_BYTES_MAX:
        raise ValueError(
            f"must be a path of at most {SOCKET_BYTES_MAX} bytes: the system takes no longer one"
        )
    return found


SUITES: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""The cipher suites of TLS 1.3 that are offered and taken, and no others: each is as good as the next."""


def _versions(value: object) -> Json:
    if value != ["TLSv1.3"]:
        raise ValueError('must be `["TLSv1.3"]`: no older version is spoken')
    return ["TLSv1.3"]


def _suites(value: object) -> Json:
    """Fewer are refused too: that locks clients out, and mostly somebody had TLS 1.2 in mind."""
    found = value if isinstance(value, list) and all(isinstance(one, str) for one in value) else []
    if sorted(found) != [*SUITES]:
        raise ValueError(f"must be exactly {', '.join(SUITES)}")
    return [*SUITES]


ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures of tokens that can be allowed: whoever checks one can't make one."""


def _keys_at(value: object) -> Json:
    found = plain_text(value)
    if not str(found).startswith(("https://", "/")):
        raise ValueError("must be an `https` address or an absolute path")
    return found


def _words(value: object) -> Json:
    """What a claim says, each with what it is here."""
    if not isinstance(value, dict) or not all(
        isinstance(some, list) and all(isinstance(one, str) and LABEL.match(one) for one in some)
        for some in value.values()
    ):
        raise ValueError('must be a table of lists: `{ "build-admins" = ["operator"] }`')
    return {str(word): [*map(str, some)] for word, some in value.items()}


def _scope_words(value: object) -> Json:
    found = _words(value)
    if any(one not in SCOPES for some in found.values() for one in some):  # type: ignore[union-attr]  # a table of lists
        raise ValueError(f"must lead to scopes: {', '.join(SCOPES)}")
    return found


_ISSUER: Final = {
    "issuer": Setting(plain_text, "what tokens say in `iss`", is_required=True),
    "audience": Setting(plain_text, "what they say in `aud`: this service", is_required=True),
    "jwks": Setting(_keys_at, "its public keys: an `https` address, or a file", is_required=True),
    "algorithms": Setting(
        some_of(ALGORITHMS, "algorithms"),
        "signatures that count",
        ["ES256", "EdDSA", "RS256"],
        "`ES256`, `EdDSA`, `RS256`",
    ),
    "kind": Setting(
        Matching("must be `user`, `agent` or `service`", ("user", "agent", "service").__contains__),
        "what its principals are",
        "user",
        "`user`",
    ),
    "claim": Setting(label, "the claim that names the principal", "sub", "`sub`"),
    "roles_claim": Setting(label, "the claim that `roles` reads", "roles", "`roles`"),
    "roles": Setting(_words, 'roles for what stands there: `{ admins = ["operator"] }`', {}, "none"),
    "scopes": Setting(
        _scope_words,
        'scopes for words of the claim `scope`: `{ "jobs:write" = ["call"] }`',
        unless="each word is a scope",
    ),
}

_TLS: Final = {
    "certificate": Setting(
        path, "the certificate of `http` in PEM form, with those up to its authority", unless="plain HTTP"
    ),
    "key": Setting(path, "its private key", unless="in the certificate's file"),
    "authorities": Setting(
        path,
        "who vouches for [certificates of clients](identity.md#certificates)",
        unless="clients show none",
    ),
    "socket": Setting(
        flag, "speak TLS at the Unix socket, too; its certificate is for `localhost`", default=False
    ),
    "versions": Setting(_versions, "may be said, and only so", ["TLSv1.3"], '`["TLSv1.3"]`'),
    "suites": Setting(_suites, "may be said, and only as all three", [*SUITES], "all three of TLS 1.3"),
}

REQUESTS_MAX: Final = 1_000_000
_PARTS: Final = ("principal", "source", "capability", "door")
_DOORS: Final = ("http", "socket", "pipe")


def _shown_rate(said: Mapping[str, Json]) -> dict[str, Json]:
    return {("window_ms" if name == "window" else name): value for name, value in said.items()}


_RATE: Final = {
    "requests": Setting(
        Whole(1, REQUESTS_MAX), "how many may pass in each `window`, on average", is_required=True
    ),
    "window": Setting(Duration(1000, 86_400_000), "the time for these", is_required=True),
    "burst": Setting(Whole(1, REQUESTS_MAX), "how many may come at once", unless="`requests`"),
    "per": Setting(
        Texts(
            'must be a list of `"principal"`, `"source"`, `"capability"`, `"door"`, or nothing',
            _PARTS.__contains__,
            may_be_empty=True,
        ),
        'who has a count of their own: `"principal"`, `"source"` (an address, of IPv6 its network of 64 bits, or an account of '
        'this machine), `"capability"`, `"door"`, some of them together, or none',
        ["principal"],
        '`["principal"]`',
    ),
    "principal": Setting(principals, "pattern of principals that count", "*", "`*`"),
    "capability": Setting(
        capabilities,
        "pattern of ids: only requests count that call one of them, or add it to a session",
        "*",
        "every request",
    ),
    "door": Setting(
        Matching("must be `http`, `socket` or `pipe`", _DOORS.__contains__),
        "the door that counts: `http`, with TLS or without, `socket` or `pipe`",
        unless="every door",
    ),
}

SOCKET_BYTES_MAX: Final = 107
SOCKET_NAME: Final = "api.sock"

SERVE: Final[Table] = {
    "socket": Setting(_socket, "the Unix socket of the API", unless="`api.sock` in the state directory"),
    "http": Setting(_address, "address and port of the API", unless="not opened"),
    "remote": Setting(
        flag, "let `http` be an address that other machines reach; only with `[serve.tls]`", default=False
    ),
    "hosts": Setting(
        Texts('must be a list of names: `["assent.example.org"]`', may_be_empty=True, normal=str.lower),
        "names under which `http` may be asked beside `localhost` and its address",
        [],
        "none",
    ),
    "tls": _TLS,
    "issuers": Named("name of an issuer", _ISSUER),
    "rate": Named("name of a limit", _RATE, shown=_shown_rate),
    "metrics": Setting(
        _metrics,
        "[metrics](observability.md#metrics) at `/metrics`: `true` for callers of the API who may read, or a loopback address "
        "for everybody on this machine",
        default=False,
    ),
    "log": Setting(
        _log,
        "what is written to stderr: `text`, lines for people, or `json`, an object a line that tells of each request too",
        "text",
        "`text`",
    ),
    "wait": Setting(
        Duration(0, 600_000), "how long a request waits for its run before it is answered 202", 30_000
    ),
    "drain": Setting(DURATION, "how long SIGTERM lets runs under way go on", 30_000),
    "request": Setting(
        Duration(100, 600_000), "how long a request may take to arrive, head and body", 30_000
    ),
    "idle": Setting(Duration(100, 3_600_000), "how long a connection may be kept that asks nothing", 60_000),
    "head_bytes": Setting(Whole(1024, 1 << 20), "the first line and headers of a request", 32 << 10),
    "body_bytes": Setting(Whole(1024, 1 << 30), "the body of a request", 8 << 20),
    "connections": Setting(Whole(1, 100_000), "connections of one door at a time", 4096),
    "streams": Setting(Whole(1, 100_000), "watchers of runs at a time, of all doors", 2048),
}
"""What `[serve]` may hold."""


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `[serve.tls]` names."""

    certificate: Path
    key: Path | None = None
    authorities: Path | None = None
    socket: bool = False


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens count, and as what."""

    issuer: str
    audience: str
    jwks: str
    algorithms: list[str]
    kind: str
    claim: str
    roles_claim: str
    roles: dict[str, list[str]]
    scopes: dict[str, list[str]] | None = None


class DoorRate(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests may come in, and whose: a table `[serve.rate.NAME]`."""

    name: str
    requests: int
    window_ms: int
    burst: int
    per: tuple[str, ...] = ("principal",)
    principal: str = "*"
    capability: str = "*"
    door: str | None = None


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything under `[serve]`; None: that door is not opened, or is where it always is."""

    socket: str | None = None
    http: str | None = None
    remote: bool = False
    hosts: list[str] = []
    tls: TlsSettings | None = None
    issuers: tuple[Issuer, ...] = ()
    rates: tuple[DoorRate, ...] = ()
    metrics: bool | str = False
    log: str = "text"
    wait_ms: int = 30_000
    drain_ms: int = 30_000
    request_ms: int = 30_000
    idle_ms: int = 60_000
    head_bytes: int = 32 << 10
    body_bytes: int = 8 << 20
    connections: int = 4096
    streams: int = 2048


def serve_settings(said: Mapping[str, Json]) -> ServeSettings:
    """The settings from checked values."""
    tls = said.get("tls")
    found = fields(tls, _TLS) if isinstance(tls, dict) else {}
    named = {name: value for name, value in found.items() if name in TlsSettings.__struct_fields__}
    return ServeSettings(
        **fields(said, SERVE),
        tls=TlsSettings(**named) if "certificate" in named else None,
        issuers=tuple(Issuer(**fields(one, _ISSUER)) for one in tables(said, "issuers").values()),
        rates=tuple(_rate(name, one) for name, one in tables(said, "rate").items()),
    )


def _rate(name: str, said: Mapping[str, Json]) -> DoorRate:
    found = fields(said, _RATE)
    return DoorRate(name=name, **{"burst": found["requests"], **found, "per": listed(said, "per")})
