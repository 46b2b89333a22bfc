"""What makes two findings one: the recipe of their fingerprints, version 1.

A fingerprint is SHA-256 over the JSON list `[recipe, kind, detector, part, …]`, in which the parts are those of the kind, each in
its normal form. What changes without the matter changing is in no part: line numbers, titles, severities, times, ids of tasks,
versions of packages, values of query parameters, and what a tool calls "fingerprint".

| kind         | parts                                                                        | for                       |
|--------------|------------------------------------------------------------------------------|---------------------------|
| `web`        | URL without values, parameter, name                                          | a request that shows it   |
| `site`       | scheme, host and port                                                        | an alert on a whole site  |
| `network`    | host, port, protocol                                                         | a service                 |
| `code`       | file, name, what stands there without white space                            | a rule on source          |
| `dependency` | file, package                                                                | an advisory on a package  |
| `setting`    | file, name                                                                   | a rule on configuration   |

A recipe never changes. A better one is a new version, and what is stored is given it by a migration, which tells what merged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

import idna
import msgspec
from msgspec import UNSET

from assent.findings.finding import Fingerprint, Location

RECIPE: Final = 1


class Kind(StrEnum):
    """What a detector looks at, which decides what its findings are told apart by."""

    WEB = "web"
    SITE = "site"
    NETWORK = "network"
    CODE = "code"
    DEPENDENCY = "dependency"
    SETTING = "setting"


class Place(NamedTuple):
    """A URL or a host in its normal form; `scheme`, `path` and `names` are empty for a host alone."""

    scheme: str
    host: str
    port: str
    path: str
    names: str

    @property
    def origin(self) -> str:
        """Scheme, host and port, as far as they are there."""
        before = f"{self.scheme}://" if self.scheme else ""
        return f"{before}{self.host}:{self.port}" if self.port else f"{before}{self.host}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}?{self.names}" if self.names else f"{self.origin}{self.path}"


_URL: Final = re.compile(
    r"""(?:([A-Za-z][A-Za-z0-9+.-]*):)?//    # scheme
        (?:[^/?#\\]*@)?                      # who: no part of the place
        (\[[^\]]*\]|[^/?#\\:]*)              # host
        (?::([0-9]*))?                       # port
        (/[^?#]*)?(?:\?([^#]*))?(?:\#.*)?""",
    re.VERBOSE | re.DOTALL,
)
_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
_ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")
_PLAIN_PATH: Final = re.compile(r"(?:/(?!\.)[A-Za-z0-9_~!$&'()*+,;=:@.-]*)*")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_~.-]*+")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_KEPT: Final = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/%")


@lru_cache(maxsize=512)
def place_of(text: str) -> Place:
    """A URL, `HOST`, `HOST:PORT` or `HOST/PATH` in its normal form. What is none of these stays as it is.

    Lower-case scheme and host, names in IDNA's ASCII, IPv6 as RFC 5952 has it, no default port, no user, no fragment; the path by
    RFC 3986 (dots resolved, only what must be is escaped); of the query only its names, each once, in order.
    """
    found = _URL.fullmatch(text if "//" in text else f"//{_bracketed(text)}")
    if found is None:
        return Place("", text, "", "", "")
    scheme, host, port, path, query = found.groups(default="")
    scheme = scheme.lower()
    port = port.lstrip("0") or port[:1]
    path = _normal_path(path)
    return Place(
        scheme,
        normal_host(host),
        "" if port == _PORTS.get(scheme) else port,
        "/" if scheme and not path else path,
        "&".join(sorted({_escaped(one.partition("=")[0]) for one in query.split("&")} - {""}))
        if query
        else "",
    )


def _bracketed(text: str) -> str:
    """An IPv6 address alone, whose colons are of no port."""
    try:
        return f"[{IPv6Address(text)}]"
    except AddressValueError:
        return text


@lru_cache(maxsize=4096)
def normal_host(host: str) -> str:
    """A host's name or address in its normal form; IPv6 in brackets."""
    bare = host.strip("[]")
    if ":" in bare:
        try:
            return f"[{IPv6Address(bare)}]"
        except AddressValueError:
            return f"[{bare.lower()}]"
    if host.isascii():
        return host.lower().removesuffix(".")
    try:
        return idna.encode(host, uts46=True, transitional=False).decode().removesuffix(".")
    except idna.IDNAError:
        return host.casefold().removesuffix(".")


def _normal_path(path: str) -> str:
    if _PLAIN_PATH.fullmatch(path):
        return path
    return _without_dots(_escaped(path))


def _escaped(text: str) -> str:
    """Escapes in upper case, and only where they must be."""
    if _PLAIN_NAME.fullmatch(text):
        return text

    def told(found: re.Match[str]) -> str:
        byte = int(found[1], 16)
        return chr(byte) if byte in _UNRESERVED else found[0].upper()

    once = _ESCAPE.sub(told, text)
    if once.isascii() and all(byte in _KEPT for byte in once.encode()):
        return once
    data = once.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _KEPT else f"%{byte:02X}" for byte in data)


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4, for paths that begin with a slash or are empty."""
    kept: list[str] = []
    for name in path.split("/"):
        if name == "..":
            kept = kept[:1] + kept[1:-1]
        elif name != ".":
            kept.append(name)
    return "/".join([*kept, ""] if path.endswith(("/.", "/..")) else kept)


def normal_file(path: str) -> str:
    """A file's path with `/` between folders, and without `.`, doubled slashes, `file:` and a drive's case.

    Whether two paths are one file is a question to a disk; here they are one where they are spelled alike. `..` stays.
    """
    plain = path.removeprefix("file://").replace("\\", "/")
    if len(plain) > 1 and plain[1] == ":":
        plain = plain[0].lower() + plain[1:]
    names = [name for name in plain.split("/") if name not in ("", ".")]
    return ("/" if plain.startswith("/") else "") + "/".join(names)


def _web(at: Location) -> list[str]:
    return [str(place_of(at.url or _service(at))), at.parameter or "", at.name or ""]


def _site(at: Location) -> list[str]:
    return [place_of(at.url or _service(at)).origin]


def network_parts(at: Location) -> list[str]:
    """What services are told apart by: host, port, protocol."""
    place = place_of(at.url) if at.url and not at.host else None
    host = place.host if place is not None else normal_host(at.host or "")
    port = _port_of(place) if at.port is UNSET else str(at.port)
    return [host, port, (at.protocol or "tcp").lower() if port else ""]


def _port_of(place: Place | None) -> str:
    return "" if place is None else place.port or _PORTS.get(place.scheme, "")


def _service(at: Location) -> str:
    host = normal_host(at.host or "")
    return host if at.port is UNSET else f"{host}:{at.port}"


def _file(at: Location) -> str:
    return normal_file(at.path or "")


def _code(at: Location) -> list[str]:
    return [_file(at), at.name or "", "".join((at.snippet or "").split())]


def _dependency(at: Location) -> list[str]:
    return [_file(at), at.package or at.name or ""]


def _setting(at: Location) -> list[str]:
    return [_file(at), at.name or ""]


_PARTS: Final[Mapping[Kind, Callable[[Location], list[str]]]] = {
    Kind.WEB: _web,
    Kind.SITE: _site,
    Kind.NETWORK: network_parts,
    Kind.CODE: _code,
    Kind.DEPENDENCY: _dependency,
    Kind.SETTING: _setting,
}


def fingerprint_of(kind: Kind, detector_id: str, at: Location) -> Fingerprint:
    """The identity of what a detector of a kind found at a place."""
    parts = [RECIPE, kind, detector_id, *_PARTS[kind](at)]
    return Fingerprint(recipe=RECIPE, value=sha256(msgspec.json.encode(parts)).hexdigest())


def derived_uuid(text: str) -> str:
    """A name that follows from a text alone, whoever makes it where (a UUID of version 8)."""
    digest = sha256(text.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{'89ab'[int(digest[16], 16) & 3]}{digest[17:20]}-{digest[20:32]}"


def finding_id(project_id: str, fingerprint: str) -> str:
    """A finding's own name: the same for the same matter in the same project, whoever reads it where."""
    return derived_uuid(f"{project_id} {fingerprint}")
