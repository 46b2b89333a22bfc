"""The manifest document: frozen, canonical, and as its published schema says."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from assent.errors import InputError, Json
from assent.plugins import Declaration, Manifest, manifest_schema
from assent.plugins.manifest import File, SourceKind
from tools.write_schemas import SCHEMAS, text


def manifest() -> Manifest:
    file = File(path="notes.py", size=3, sha256="0" * 64, kind="python")
    return Manifest(kind=SourceKind.FILE, declaration=Declaration(name="notes"), files=(file,))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_the_one_of_the_types(name: str, repository: Path) -> None:
    assert (repository / "docs" / "schemas" / name).read_text(encoding="utf-8") == text(name)


def test_a_manifest_fits_its_schema() -> None:
    validator = jsonschema_rs.Draft202012Validator(manifest_schema())
    data = manifest().to_json()
    assert validator.is_valid(data)
    assert not validator.is_valid({**data, "more": 1})
    assert not validator.is_valid({**data, "manifest_version": 2})


def test_a_manifest_survives_a_round_trip() -> None:
    found = Manifest.parse(manifest().canonical())
    assert found == manifest()
    assert found.fingerprint == manifest().fingerprint


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        manifest().kind = SourceKind.WHEEL  # type: ignore[misc]  # what the test is about


def test_a_lock_pins_everything_but_data() -> None:
    kinds = ("python", "bytecode", "native", "data")
    files = tuple(msgspec.structs.replace(manifest().files[0], path=kind, kind=kind) for kind in kinds)
    found = msgspec.structs.replace(manifest(), files=files)
    assert [file.path for file in found.importable] == ["python", "bytecode", "native"]
    assert found.name == "notes"


@pytest.mark.parametrize("data", [[], {"kind": "file"}, {**manifest().to_json(), "kind": "tar"}])
def test_what_is_no_manifest_is_refused(data: Json) -> None:
    with pytest.raises(InputError) as raised:
        Manifest.from_json(data)
    assert raised.value.code == "MANIFEST_INVALID"
