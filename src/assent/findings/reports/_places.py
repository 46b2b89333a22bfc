"""Places as SARIF has them: an address that every reader takes, and beside it what the place really is."""

from __future__ import annotations

import re
from posixpath import normpath
from typing import Any, Final, TypeAlias

from msgspec import UNSET

from assent.findings.finding import Finding, Location

Object: TypeAlias = dict[str, Any]  # `Any`: JSON

_ADDRESS: Final = re.compile(r"(?i)https?://[a-z0-9._-]+(?::[0-9]{1,5})?(?:[/?#].*)?", re.DOTALL)
"""Addresses that are taken as they are; others (with a user, of other schemes) are told and not linked."""
_KEPT: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
_OF_ADDRESSES: Final = _KEPT | frozenset(b"!$&'()*+,;=:@?")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def address_of(url: str) -> str | None:
    """A URL as RFC 3986 has it, escaped where it must be; None where it is none of the web."""
    if _ADDRESS.fullmatch(url) is None:
        return None
    before, sharp, after = url.partition("#")
    whole = _escaped(_ESCAPE.sub("%25", before), _OF_ADDRESSES | {ord("%")})
    return f"{whole}{sharp}{_escaped(_ESCAPE.sub('%25', after), _OF_ADDRESSES | {ord('%')})}"


def file_uri(path: str) -> str:
    """A file as a relative URI that stays below where it is read from, or with `file://` where its path begins at the root.

    Whoever opens a report may go where it points: so no path becomes that of another machine (`//HOST/SHARE`).
    """
    found = _escaped(_local(path), _KEPT)
    return f"file://{found}" if found.startswith("/") else found


def _local(path: str) -> str:
    path = path.replace("\\", "/")
    if path.startswith("/") and not path.startswith("//"):
        return normpath(path)
    kept: list[str] = []
    depth = 0
    for part in path.split("/"):
        if part != "..":
            depth += part not in ("", ".")
        elif depth:
            depth -= 1
        else:
            continue
        kept.append(part)
    return "/".join(kept).lstrip("/") or "."


def _escaped(text: str, kept: frozenset[int]) -> str:
    data = text.encode("utf-8", "replace")
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in data)


def places_of(finding: Finding) -> list[Object]:
    """Every place of a finding; its resource where it names none. A blank is no place, to whoever reads it."""
    found = [_place(at) for at in finding.locations if _first(at).strip()]
    if found or not finding.resource.strip():
        return found
    address = address_of(finding.resource) or file_uri(finding.resource)
    return [_physical(address, "resource", finding.resource)]


def _first(at: Location) -> str:
    """What a place's address is made of."""
    return at.path or at.url or at.host or at.package or at.name or ""


def _place(at: Location) -> Object:
    if at.path:
        found = _physical(file_uri(at.path))
        region = _region(at)
        if region:
            found["physicalLocation"]["region"] = region
    elif at.url:
        address = address_of(at.url)
        found = _physical(address or file_uri(at.url), "" if address else "resource", at.url)
    elif at.host:
        port = "" if at.port is UNSET else f":{at.port}"
        found = _physical(file_uri(f"{at.host}{port}"), "resource", f"{at.host}{port}")
    else:
        name = at.package or at.name or ""
        found = _physical(file_uri(name))
    logical = found.setdefault("logicalLocations", [])
    if at.name:
        logical.insert(0, {"fullyQualifiedName": at.name})
    if at.package:
        version = f"@{at.version}" if at.version else ""
        logical.append({"fullyQualifiedName": f"{at.package}{version}", "kind": "package"})
    if not logical:
        del found["logicalLocations"]
    about = {
        key: value
        for key in ("method", "parameter", "host", "port", "protocol", "package", "version")
        if (value := getattr(at, key)) is not UNSET
    }
    if at.path and at.url:
        about["url"] = at.url
    if at.path and _local(at.path) != at.path.replace("\\", "/"):
        about["path"] = at.path
    if about:
        found["properties"] = {"assent": about}
    return found


def _physical(uri: str, kind: str = "", name: str = "") -> Object:
    """A place with an address. Readers for code refuse a whole file for one result without it, so hosts and packages have one."""
    found: Object = {"physicalLocation": {"artifactLocation": {"uri": uri}}}
    if kind:
        found["logicalLocations"] = [{"fullyQualifiedName": name, "kind": kind}]
    return found


def _region(at: Location) -> Object | None:
    """The lines. Line 0 means the whole file, which is what no region means."""
    if not at.line:
        return None
    region: Object = {"startLine": at.line}
    if at.end_line and at.end_line >= at.line:
        region["endLine"] = at.end_line
    if at.column:
        region["startColumn"] = at.column
    if at.snippet:
        region["snippet"] = {"text": at.snippet}
    return region
