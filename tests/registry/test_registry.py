"""Which capabilities exist: versions side by side, what a reference means, and snapshots that do not change."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.registry import CapabilityRegistry
from assent.spec import (
    CapabilitySpec,
    Compensation,
    Risk,
    RiskLevel,
    create_delete_capability,
    create_read_capability,
    create_write_capability,
)
from assent.spec.words.semver import precedence


def registry_of(*specs: CapabilitySpec) -> CapabilityRegistry:
    registry = CapabilityRegistry()
    for spec in specs:
        registry.register_capability(spec)
    return registry


def reading(ident: str = "a.b", version: str = "1.0.0") -> CapabilitySpec:
    return create_read_capability(ident, version=version)


def test_semver_precedence_is_that_of_the_specification() -> None:
    """The ordered example of Semantic Versioning 2.0.0 §11.4."""
    ordered = (
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 2.0.0 2.1.0 2.1.1"
    ).split()
    keys = [precedence(version) for version in ordered]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@given(st.permutations(["1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "1.10.0-beta", "0.9.9"]))
def test_the_latest_version_does_not_depend_on_registration_order(versions: list[str]) -> None:
    """`get` and a bare reference mean the highest release by precedence, whatever came first; no pre-release by itself."""
    registry = registry_of(*(reading(version=version) for version in versions))
    latest = registry.get("a.b")
    assert latest is not None
    assert latest.version == "1.10.0"
    assert registry.resolve("a.b") is latest
    assert registry.resolve("a.b@1.2.0").version == "1.2.0"
    assert [spec.version for spec in registry.list()] == sorted(versions, key=precedence)


def test_a_release_is_later_than_its_pre_releases() -> None:
    """`1.0.0` is newer than `1.0.0-rc.1`."""
    latest = registry_of(reading(version="1.0.0"), reading(version="1.0.0-rc.1")).get("a.b")
    assert latest is not None
    assert latest.version == "1.0.0"


def test_a_duplicate_names_both_origins() -> None:
    """Two registrations of one version are refused, even when equal, and the first one stays."""
    registry = CapabilityRegistry()
    spec = reading()
    registry.register_capability(spec, origin="builtin")
    with pytest.raises(InputError) as caught:
        registry.register_capability(reading(), origin="plugin:mine")
    assert caught.value.code == "CAPABILITY_DUPLICATE"
    assert "`builtin`" in caught.value.message
    assert "`plugin:mine`" in caught.value.message
    assert registry.get("a.b") is spec
    assert registry.origin("a.b@1.0.0") == "builtin"


def test_an_unknown_reference_is_refused_with_a_suggestion() -> None:
    """`get` answers None; `resolve` raises and proposes the nearest name, or the versions that exist."""
    registry = registry_of(reading("io.fs.read_file"))
    assert registry.get("io.fs.raed_file") is None
    with pytest.raises(InputError) as caught:
        registry.resolve("io.fs.raed_file")
    assert caught.value.code == "CAPABILITY_UNKNOWN"
    assert caught.value.hint == "did you mean `io.fs.read_file`?"
    with pytest.raises(InputError) as caught:
        registry.resolve("io.fs.read_file@2.0.0")
    assert caught.value.code == "VERSION_NOT_FOUND"
    assert "1.0.0" in str(caught.value.hint)


def test_a_snapshot_does_not_see_later_registrations() -> None:
    """A run keeps the capabilities it started with; an unchanged registry hands out the same snapshot."""
    registry = registry_of(reading())
    before = registry.snapshot()
    assert registry.snapshot() is before
    registry.register_capability(reading(version="2.0.0"))
    assert before.resolve("a.b").version == "1.0.0"
    assert len(before) == 1
    after = registry.snapshot()
    assert after.resolve("a.b").version == "2.0.0"
    assert after.fingerprint != before.fingerprint


@given(st.permutations(["a.b", "a.c", "x.y", "x.z.w"]))
def test_a_snapshots_fingerprint_depends_on_its_contents_only(idents: list[str]) -> None:
    """Registered in any order, equal contents have equal fingerprints and lists."""
    snapshot = registry_of(*(reading(ident) for ident in idents)).snapshot()
    reference = registry_of(*(reading(ident) for ident in sorted(idents))).snapshot()
    assert snapshot.fingerprint == reference.fingerprint
    assert snapshot.list() == reference.list()


def compensated_by(target: str) -> CapabilitySpec:
    compensation = Compensation(supported=True, strategy="call", capability_id=target)
    return create_write_capability("a.write", compensation=compensation)


def test_a_named_compensation_must_exist() -> None:
    """Sealing and snapshotting refuse a spec that is taken back by nothing; the registry stays open to mend it."""
    registry = registry_of(compensated_by("a.undo"))
    for check in (registry.seal, registry.snapshot):
        with pytest.raises(InputError) as caught:
            check()
        assert caught.value.code == "COMPENSATION_INVALID"
        assert "`a.undo`" in caught.value.message
    registry.register_capability(create_write_capability("a.undo"))
    assert registry.seal().get("a.undo") is not None


def test_a_named_compensation_must_be_reversible_itself() -> None:
    """An irreversible act can't be how another is taken back."""
    registry = registry_of(compensated_by("a.drop"), create_delete_capability("a.drop"))
    with pytest.raises(InputError, match="irreversible") as caught:
        registry.snapshot()
    assert caught.value.code == "COMPENSATION_INVALID"


def test_a_sealed_registry_refuses_more() -> None:
    """After `seal` nothing can be added; sealing twice is safe."""
    registry = registry_of(reading())
    assert registry.seal() is registry.seal()
    assert registry.is_sealed
    with pytest.raises(InputError) as caught:
        registry.register_capability(reading(version="2.0.0"))
    assert caught.value.code == "REGISTRY_SEALED"
    assert len(registry) == 1


def test_a_spec_that_was_never_checked_is_refused() -> None:
    """`model_copy` skips the risk rules; the registry asks them again."""
    sneaky = create_delete_capability("a.b").model_copy(update={"risk": Risk(level=RiskLevel.LOW)})
    with pytest.raises(InputError) as caught:
        registry_of(sneaky)
    assert caught.value.code == "RISK_INCONSISTENT"


def test_the_state_machine_can_be_imported_without_pydantic_or_yaml() -> None:
    """`assent.spec.states` and the errors load neither what users write nor what reads files."""
    code = (
        "import sys, json, assent.spec.states, assent.errors;"
        "print(json.dumps([name for name in ('pydantic', 'yaml', 'cel', 'jsonschema_rs') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
