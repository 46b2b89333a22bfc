"""Where a plugin may send requests: the services that its manifest declares, one entry for each.

    api.acme.example                       GET and HEAD, https, port 443
    POST,DELETE api.acme.example:8443      these methods and no others
    http://127.0.0.1:8080                  without encryption, where `[net]` opens that as well
    *.acme.example                         every sub-domain and not the domain
    *                                      every host

What is left out is the narrowest that it can mean. Entries add up; none of them is nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ASKING: Final = frozenset({"GET", "HEAD"})
"""Methods that only ask (RFC 9110 §9.2.1)."""

ANY: Final = "*"
PORTS: Final = {"https": 443, "http": 80}

_ENTRY: Final = re.compile(
    r"(?:(?P<methods>[A-Z]+(?:,[A-Z]+)*) )?(?:(?P<scheme>https?)://)?"
    r"(?P<host>\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Service:
    """One entry. `host` is in lower case, without brackets; `*.` in front stands for one or more labels, `*` for every host."""

    host: str
    methods: frozenset[str] = ASKING
    scheme: str = "https"
    port: int = 443

    @classmethod
    def parse(cls, text: str) -> Service:
        """The entry that a text is; ValueError with the rest of the sentence."""
        # Methods are words in capitals, all else means the same in either case.
        head, space, rest = text.rpartition(" ")
        # Some letters of other alphabets become ASCII ones in lower case: nobody would see whose host that is.
        found = _ENTRY.fullmatch(f"{head}{space}{rest.lower()}") if text.isascii() else None
        if found is None:
            raise ValueError(
                "must be a host, like `api.example.com`, `*.example.com` or `POST,DELETE http://127.0.0.1:8080`"
            )
        scheme = found["scheme"] or "https"
        methods = frozenset(found["methods"].split(",")) if found["methods"] else ASKING
        unknown = methods.difference(METHODS)
        if unknown:
            raise ValueError(f"must have methods of {', '.join(METHODS)}, and `{min(unknown)[:20]}` is none")
        port = int(found["port"] or PORTS[scheme])
        if not 1 <= port <= 65535:
            raise ValueError("must have a port between 1 and 65535")
        host = found["host"]
        if host.startswith("["):
            import ipaddress  # it takes milliseconds, and few have such an entry

            try:
                host = str(ipaddress.IPv6Address(host[1:-1]))
            except ValueError:
                raise ValueError("must have an IPv6 address between its brackets") from None
        return cls(host, methods, scheme, port)

    def names(self, host: str) -> bool:
        """Whether a host, as a checked address has it, is this entry's."""
        if self.host == ANY:
            return True
        return (
            host.endswith(self.host[1:]) and len(host) > len(self.host) - 1
            if self.is_wild
            else host == self.host
        )

    @property
    def is_wild(self) -> bool:
        """Whether it names more than one host."""
        return self.host.startswith(ANY)

    def fits(self, method: str, scheme: str, host: str, port: int) -> bool:
        """Whether it lets such a request through."""
        return method in self.methods and (scheme, port) == (self.scheme, self.port) and self.names(host)

    def __str__(self) -> str:
        """The entry with everything said: `GET,HEAD https://api.example.com`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        methods = ",".join(one for one in METHODS if one in self.methods)
        return f"{methods} {self.scheme}://{host}{port}"


@dataclass(frozen=True, slots=True)
class Reach:
    """Everywhere that one plugin's calls may send requests."""

    plugin: str
    services: tuple[Service, ...]

    @classmethod
    def of(cls, plugin: str, declared: tuple[str, ...]) -> Reach:
        """The reach that a manifest declares. An entry that is none reaches nothing: it was refused where it was written."""
        found = []
        for text in declared:
            try:
                found.append(Service.parse(text))
            except ValueError:
                continue
        return cls(plugin, tuple(found))

    def allows(self, method: str, scheme: str, host: str, port: int) -> bool:
        """Whether any entry lets such a request through."""
        return any(service.fits(method, scheme, host, port) for service in self.services)
