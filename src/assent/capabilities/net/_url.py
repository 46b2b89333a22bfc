"""A web address, read strictly: what two readers could understand differently is refused, and nothing is repaired.

Every part that connects, checks or names a host works on the `Target` that is made here and never on the text again. So no
second parser can find another host in it. As text a target is the normal form that rules see (RFC 3986 §6.2.2 and §6.2.3).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias
from urllib.parse import quote, urljoin

from assent.invocation import NoEffectError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_CHARACTERS_MAX: Final = 8192
HOST_CHARACTERS_MAX: Final = 253
PORT_MAX: Final = 65535
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_PARTS: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
# Spaces and control characters of every kind, and the backslash, which browsers read as a slash and libraries don't.
_UNSAFE: Final = re.compile(
    r"[\x00-\x20\x7f-\xa0\\\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_OCTET: Final = r"(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_DOTTED: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
# The WHATWG's "ends in a number": what some reader takes for an IPv4 address, however it is written.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BROKEN_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRIPLET: Final = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = re.compile("[A-Za-z0-9._~-]")
_PLACEHOLDERS: Final = "{}"
_OTHER: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*):(?://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?)?(?P<rest>.*)",
    re.IGNORECASE,
)
_PATH_SAFE: Final = "%/:@!$&'()*+,;=-._~"
_QUERY_SAFE: Final = f"{_PATH_SAFE}?"


@dataclass(frozen=True)
class Target:
    """Where a request goes. `host` is in lower case, ASCII, without brackets and final dot; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @cached_property
    def address(self) -> Address | None:
        """The address that the host is written as; None when it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @cached_property
    def netloc(self) -> str:
        """The host as a `Host` header has it, with the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @cached_property
    def origin(self) -> str:
        """`SCHEME://HOST[:PORT]`."""
        return f"{self.scheme}://{self.netloc}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def parse_url(text: str, *, is_template: bool = False) -> Target:
    """The target that an `http` or `https` address names. Raises `NoEffectError` URL_INVALID.

    A template has `{NAME}` behind its host, which stays.
    """
    if len(text) > URL_CHARACTERS_MAX:
        raise _invalid(f"is longer than {URL_CHARACTERS_MAX} characters", text)
    if _UNSAFE.search(text):
        raise _invalid("has a space, a control character or a backslash in it", text, "percent-encode it")
    parts = _PARTS.fullmatch(text)
    if parts is None or (scheme := parts["scheme"].lower()) not in DEFAULT_PORTS:
        raise _invalid("is no `http://` or `https://` address", text)
    host, port = _authority(parts["authority"], text)
    more = _PLACEHOLDERS if is_template else ""
    path = _without_dots(_encoded(parts["path"] or "/", _PATH_SAFE + more, text))
    if parts["query"] is not None:
        path = f"{path}?{_encoded(parts['query'], _QUERY_SAFE + more, text)}"
    return Target(scheme, host, DEFAULT_PORTS[scheme] if port is None else port, path)


def normal_url(text: str) -> str:
    """The one spelling of an address, of whatever scheme. Raises `NoEffectError` URL_INVALID.

    Of the schemes that no request goes by, only what RFC 3986 says of all of them is known.
    """
    if _UNSAFE.search(text) or (parts := _OTHER.fullmatch(text)) is None:
        raise _invalid("is not an address", text, "it needs a scheme, like `https:`, and no spaces")
    scheme = parts["scheme"].lower()
    if scheme in DEFAULT_PORTS:
        return str(parse_url(text))
    if parts["authority"] is None:
        return f"{scheme}:{parts['rest']}"
    user, at, host = parts["authority"].rpartition("@")
    path = _without_dots(_encoded(parts["path"] or "/", _PATH_SAFE, text))
    return f"{scheme}://{user}{at}{host.lower()}{path}{_encoded(parts['rest'], _QUERY_SAFE + '#', text)}"


def normal_template(text: str) -> str:
    """The one spelling of an address with placeholders behind its host. Raises `NoEffectError` URL_INVALID.

    One without a host, or with a placeholder in it, stays: whoever would send the request refuses it.
    """
    parts = _PARTS.fullmatch(text)
    if parts is None or "{" in parts["authority"]:
        return text
    return str(parse_url(text, is_template=True))


def join_url(base: Target, location: str) -> Target:
    """The target that a `Location` means, seen from where it was sent. Raises as `parse_url`."""
    # The library's own joining drops some of these characters without a word, and what is left is another address.
    if len(location) > URL_CHARACTERS_MAX or _UNSAFE.search(location):
        raise _invalid("has a character in it that an address can't have", location)
    try:
        joined = urljoin(str(base), location)
    except ValueError:
        raise _invalid("is not an address", location) from None
    return parse_url(joined)


def with_query(target: Target, pairs: list[tuple[str, str]]) -> Target:
    """The same target with more in its query, encoded so that a value can't become anything but a value."""
    if not pairs:
        return target
    added = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    glue = "&" if "?" in target.path else "?"
    return Target(target.scheme, target.host, target.port, f"{target.path}{glue}{added}")


def _authority(authority: str, text: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise _invalid(
            "has a user name or a password in it",
            text.replace(authority.rpartition("@")[0], "***", 1),
            "send them in a header: `authorization`",
        )
    if authority.startswith("["):
        inner, bracket, rest = authority[1:].partition("]")
        if not bracket:
            raise _invalid("has a bracket that is not closed", text)
        return _ipv6(inner, text), _port(rest, text)
    host, colon, port = authority.partition(":")
    return _host(host, text), _port(f":{port}" if colon else "", text)


def _port(rest: str, text: str) -> int | None:
    if not rest:
        return None
    digits = rest.removeprefix(":")
    if not rest.startswith(":") or not re.fullmatch("[0-9]{1,5}", digits) or not 1 <= int(digits) <= PORT_MAX:
        raise _invalid(f"has no port between 1 and {PORT_MAX} behind its host", text)
    return int(digits)


def _ipv6(inner: str, text: str) -> str:
    if "%" in inner:
        raise _invalid("has a zone in its IPv6 address, which means something on one machine only", text)
    try:
        address = ipaddress.IPv6Address(inner)
    except ValueError:
        raise _invalid("has brackets around something that is not an IPv6 address", text) from None
    # A mapped address is the IPv4 address (RFC 4291 §2.5.5.2): a rule about that one has to see it.
    return str(address.ipv4_mapped or address)


def _host(written: str, text: str) -> str:
    if "%" in written:
        raise _invalid("has a percent sign in its host", text, "write the host out")
    host = (written if written.isascii() else _idna(written, text)).lower()
    host = host.removesuffix(".")  # the DNS's own way to end a name; rules and certificates are without it
    if not host:
        raise _invalid("names no host", text)
    labels = host.split(".")
    if len(host) > HOST_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise _invalid(f"has `{host[:80]}` as its host, which is not a name", text)
    if _NUMBER.fullmatch(labels[-1]) and not _DOTTED.fullmatch(host):
        raise _invalid(
            f"has `{host[:80]}` as its host, which some take for an address and others for a name",
            text,
            "write an IPv4 address as four decimal numbers without leading zeros",
        )
    return host


def _idna(host: str, text: str) -> str:
    import idna

    try:
        # Without the mapping of UTS 46: it would make `127.0.0.1` of full-width or circled digits.
        return idna.encode(host.removesuffix("."), strict=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _invalid(
            "has a host that is not an internationalised name", text, "write it in ASCII: `xn--…`"
        ) from None


def _encoded(part: str, safe: str, text: str) -> str:
    """A part with everything encoded that has to be and nothing that has not, in capital letters."""
    if _BROKEN_PERCENT.search(part):
        raise _invalid("has a `%` that is not followed by two hex digits", text, "write it as `%25`")
    try:
        encoded = quote(part, safe=safe)
    except UnicodeEncodeError:
        raise _invalid("has half of a character in it", text) from None
    return _TRIPLET.sub(_plain, encoded)


def _plain(triplet: re.Match[str]) -> str:
    mark = chr(int(triplet[0][1:], 16))
    return mark if _UNRESERVED.fullmatch(mark) else triplet[0].upper()


def _without_dots(path: str) -> str:
    """A path without `.` and `..` (RFC 3986 §5.2.4), encoded ones included: they were decoded before."""
    if "/." not in path:
        return path
    kept: list[str] = []
    *folders, last = path.split("/")[1:]
    for part in folders:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if last == "..":
        del kept[-1:]
    return "/".join(["", *kept, "" if last in (".", "..") else last])


def _invalid(fault: str, text: str, hint: str | None = None) -> NoEffectError:
    shown = "".join(mark if mark.isprintable() else "�" for mark in text[:200])
    return NoEffectError(
        "URL_INVALID",
        f"`{shown}` {fault}",
        path="url",
        hint=hint or "write it like `https://example.org/path?name=value`",
    )
