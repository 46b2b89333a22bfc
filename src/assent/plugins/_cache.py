"""Manifests that were made already, by the bytes that they were made of."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

import msgspec

from assent.plugins._reading import PluginText
from assent.plugins.manifest import SCANNER_REVISION, Manifest
from assent.plugins.scan import scan
from assent.spec.canonical import canonical_json

MANIFESTS_MAX: Final = 128
"""Manifests that one cache keeps; the one that was not asked for the longest goes first."""


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """How often a cache had the answer, and how many it holds."""

    hits: int
    misses: int
    size: int
    limit: int


class ManifestCache:
    """Makes manifests, and keeps the last ones. Safe to share between threads.

    Equal bytes, declaration and kind give the same manifest; any changed byte gives a new one. Faults are not kept.
    """

    def __init__(self, limit: int = MANIFESTS_MAX) -> None:
        self._limit = max(limit, 0)
        self._kept: OrderedDict[str, Manifest] = OrderedDict()
        self._hits = self._misses = 0
        self._lock = Lock()

    def manifest(self, text: PluginText) -> Manifest:
        """The manifest of a plugin; raises what `scan` raises."""
        key = content_key(text)
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                self._hits += 1
                return known
            self._misses += 1
        made = scan(text.files, text.declaration, text.kind)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget every manifest; the counts stay."""
        with self._lock:
            self._kept.clear()

    @property
    def statistics(self) -> CacheStatistics:
        """The counts so far."""
        with self._lock:
            return CacheStatistics(self._hits, self._misses, len(self._kept), self._limit)


def content_key(text: PluginText) -> str:
    """64 hex digits that name everything a manifest follows from."""
    digest = hashlib.sha256(f"{SCANNER_REVISION}\0{text.kind}\0".encode())
    digest.update(hashlib.sha256(canonical_json(msgspec.to_builtins(text.declaration))).digest())
    for path in sorted(text.files):
        digest.update(hashlib.sha256(path.encode()).digest())
        digest.update(hashlib.sha256(text.files[path]).digest())
    return digest.hexdigest()
