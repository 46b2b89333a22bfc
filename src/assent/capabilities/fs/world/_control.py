"""The control files: what of the workspace belongs to Assent itself, known by device and inode, and by name.

An inode says that a hard link, another spelling or a bind mount is the same file; a name protects a control file that does not
exist yet, or is being replaced by an editor at this moment. Both are looked up anew for every change, because a person may
replace a control file while a run is under way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from assent.capabilities.fs.world._paths import Zone, fold, reserved

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""

_STATE_ENTRIES_MAX: Final = 1_000_000
"""Files of the state directory that are compared with a hard link; beyond it, every hard link counts as hidden."""


class _Spot(msgspec.Struct, frozen=True):
    """One place of a control file: its path, the folder that holds it, its folded name, its zone."""

    path: str
    folder: str
    name: str
    zone: Zone


class ControlFiles:
    """Where the control files are. `hidden` ones (state, keys, secrets) are invisible, `read_only` may be read, nothing more.

    They need not exist yet. A folder counts with all that it holds, and what is hidden in a read-only one is hidden.
    """

    def __init__(self, *, hidden: Iterable[Path] = (), read_only: Iterable[Path] = ()) -> None:
        self.hidden = tuple(Path(os.path.abspath(path)) for path in hidden)
        self._zones = [(Path(os.path.abspath(path)), Zone.READ_ONLY) for path in read_only]
        self._zones += [(path, Zone.HIDDEN) for path in self.hidden]
        # Both ends of a link are the control file: `assent.toml` may point into a shared folder.
        self._places = [
            (place, zone) for path, zone in self._zones for place in {path, Path(os.path.realpath(path))}
        ]
        self._spots = [
            _Spot(str(place), str(place.parent), fold(place.name), zone) for place, zone in self._places
        ]

    def look(self) -> Sighting:
        """Their identities at this moment."""
        zones: dict[Identity, Zone] = {}
        names: dict[tuple[Identity, str], Zone] = {}
        folders: dict[str, Identity | None] = {}
        for spot in self._spots:
            for follow in (False, True):
                found = _identity(spot.path, follow=follow)
                if found is None:
                    break
                zones[found] = max(spot.zone, zones.get(found, Zone.FREE))
            if spot.folder not in folders:
                folders[spot.folder] = _identity(spot.folder, follow=True)
            folder = folders[spot.folder]
            if folder is not None:
                names[folder, spot.name] = max(spot.zone, names.get((folder, spot.name), Zone.FREE))
        return Sighting(self, zones, names)

    def zone_at(self, path: str) -> Zone:
        """The zone of what a full path means, be it there or not. Whoever asks has followed its links."""
        seen, parts = self.look(), [part for part in path.split("/") if part]
        written, folded = self.written_below(Path("/")), tuple(map(fold, parts))
        zones = [written.get(folded[:length], Zone.FREE) for length in range(len(folded) + 1)]
        folder, here = _identity("/"), ""
        for name in parts:
            here = f"{here}/{name}"
            zones.append(reserved(name) if folder is None else seen.zone_named(folder, name))
            folder = _identity(here, follow=True)
            zones += [] if folder is None else [seen.zone_of(folder)]
        if folder is not None and os.stat(here or "/").st_nlink > 1 and not os.path.isdir(here):
            zones += [Zone.HIDDEN] if seen.is_linked_inside(folder) else []
        return max(zones)

    def folders_above(self) -> set[Identity]:
        """Every folder above a control file: moving one would move that."""
        parents = {str(parent) for place, _ in self._places for parent in place.parents}
        return {found for parent in parents if (found := _identity(parent, follow=True)) is not None}

    def inner_identities(self) -> Iterator[Identity]:
        """Every file inside the hidden directories: what a hard link elsewhere may turn out to be."""
        for directory in self.hidden:
            found = _identity(directory, follow=True)
            if found is not None:
                yield from _inodes_below(directory, found[0])

    def written_below(self, root: Path) -> dict[tuple[str, ...], Zone]:
        """The zones by folded path below `root`: what protects a control file whose very folder does not exist yet."""
        zones: dict[tuple[str, ...], Zone] = {}
        for place, zone in self._places:
            if place.is_relative_to(root):
                folded = tuple(map(fold, place.relative_to(root).parts))
                zones[folded] = max(zone, zones.get(folded, Zone.FREE))
        return zones


class Sighting(msgspec.Struct, frozen=True):
    """The control files as they were seen at one moment."""

    _files: ControlFiles
    _zones: dict[Identity, Zone]
    _names: dict[tuple[Identity, str], Zone]

    def zone_of(self, identity: Identity) -> Zone:
        """The zone of the file or folder with this identity."""
        return self._zones.get(identity, Zone.FREE)

    def zone_named(self, directory: Identity, name: str) -> Zone:
        """The zone of a name in a folder, whether or not anything stands there."""
        return max(reserved(name), self._names.get((directory, fold(name)), Zone.FREE))

    def holds_control_files(self, identity: Identity) -> bool:
        """Whether the folder with this identity is above a control file, so that moving it would move that."""
        return identity in self._files.folders_above()

    def is_linked_inside(self, identity: Identity) -> bool:
        """Whether a file with several links has one of them inside the hidden directories."""
        for count, found in enumerate(self._files.inner_identities()):
            if found == identity or count >= _STATE_ENTRIES_MAX:
                return True
        return False


def _inodes_below(directory: Path, device: int) -> Iterator[Identity]:
    # No status is asked for, file by file: a state directory may hold many pre-images.
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _inodes_below(Path(entry.path), device)
                else:
                    yield device, entry.inode()
    except (FileNotFoundError, NotADirectoryError):
        return  # A pre-image that was collected meanwhile; or a hidden file, whose inode is known.


def _identity(path: str | Path, *, follow: bool = False) -> Identity | None:
    try:
        found = os.stat(path, follow_symlinks=follow)
    except OSError:
        return None
    return found.st_dev, found.st_ino
