"""Acceptance: of every built-in capability, what is read from its source is what is registered when it is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.capabilities._builtin import builtin_capabilities
from assent.plugins import Manifest, PluginText, agree, read_plugin, scan


@pytest.fixture(scope="module")
def text(repository: Path) -> PluginText:
    return read_plugin(repository / "src" / "assent" / "capabilities")


@pytest.fixture(scope="module")
def manifest(text: PluginText) -> Manifest:
    return scan(text.files, text.declaration, text.kind)


def test_manifests_and_registrations_of_all_built_in_capabilities_agree(manifest: Manifest) -> None:
    registered = [(one.spec, one.handler) for one in builtin_capabilities()]
    assert len(registered) == len(manifest.capabilities) >= 13
    assert [str(one) for one in agree(manifest, registered)] == []


def test_nothing_about_them_is_unknown(manifest: Manifest) -> None:
    assert {one.id: one.unknown for one in manifest.capabilities if one.unknown} == {}
    assert all(
        one.parameters is not None and one.parameters.fields is not None for one in manifest.capabilities
    )


def test_their_manifest_is_the_same_wherever_they_are_read(text: PluginText, manifest: Manifest) -> None:
    shuffled = dict(sorted(text.files.items(), key=lambda item: item[0][::-1]))
    assert scan(shuffled, text.declaration, text.kind).canonical() == manifest.canonical()
    assert str(Path.cwd()).encode() not in manifest.canonical()
