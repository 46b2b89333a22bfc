"""What is built in is registered from what was written down, which is exactly what the descriptions say."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from assent.capabilities import builtin_capabilities, builtin_catalog
from assent.capabilities._builtin import catalogs
from assent.errors import InputError, Json
from assent.invocation import BoundCapability, DeferredHandler, Handler
from assent.plugins import _scaffold
from assent.spec.states import Undo
from tools import write_catalog

WRITTEN = {spec.reference: (spec, handler) for spec, handler in builtin_catalog()}


def test_catalogue_is_what_the_descriptions_say() -> None:
    """In every byte; nothing of a spec, a fingerprint or an order of parameters depends on which of the two is read."""
    stale = [path.parent.name for path, _ in write_catalog.old()]
    assert stale == [], "run python -m tools.write_catalog"


def test_capability_from_the_catalogue_is_the_described_one() -> None:
    described = {one.spec.reference: one for one in builtin_capabilities()}
    assert set(WRITTEN) == set(described)
    for reference, (spec, handler) in WRITTEN.items():
        one = described[reference]
        assert spec == one.spec
        assert json.dumps(spec.to_json()) == json.dumps(one.spec.to_json())
        assert (spec.fingerprint, handler.fingerprint()) == (one.spec.fingerprint, one.handler.fingerprint())
        assert (handler.parts, handler.rehearsable) == (one.handler.parts, one.handler.rehearsable)
        assert handler.loaded() is one.handler


def test_capabilities_are_described_where_the_catalogue_looks_for_them(repository: Path) -> None:
    source = repository / "src"
    found = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in (source / "assent" / "capabilities").glob("*/*.py")
        if "CAPABILITIES: Final = (" in path.read_text(encoding="utf-8")
    }
    assert found == set(catalogs().values())


def test_start_imports_no_behaviour_of_what_is_built_in(tmp_path: Path) -> None:
    """The modules behind capabilities come with the first call; until then nothing that a start needs may ask for them."""
    asked = """
import sys
from assent.runtime import Runtime
rt = Runtime.open(sys.argv[1])
rt._core.prepare_to_plan()
rt.registry.snapshot().fingerprint
print(*sorted(name for name in sys.modules if name.startswith("assent.capabilities.") and name in sys.argv[2:]))
rt._core.capabilities.current().find("sys.noop").parse({})
print(*sorted(name for name in sys.modules if name.startswith("assent.capabilities.") and name in sys.argv[2:]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", asked, str(tmp_path), *catalogs().values()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split("\n") == ["", "assent.capabilities.sys._capabilities", ""]


def test_catalogue_and_sample_are_part_of_the_wheel(tmp_path: Path, repository: Path) -> None:
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    made = next(iter(hatchling.WheelBuilder(str(repository)).build(directory=str(tmp_path))))
    inside = zipfile.ZipFile(made).namelist()
    assert {path.relative_to(repository / "src").as_posix() for path in catalogs()} <= set(inside)
    assert {f"assent/plugins/sample/{path}" for path in _scaffold._FILES} <= set(inside)


class Loading:
    """A handler that counts how often its code was asked for."""

    def __init__(self, reference: str) -> None:
        self.spec, written = WRITTEN[reference]
        self.handler: Handler = written.loaded()
        self.times = 0
        self.deferred = DeferredHandler(
            written.parts, written.rehearsable, written.in_plans, written.known_fingerprint, self
        )
        self.bound = BoundCapability(self.spec, self.deferred)

    def __call__(self) -> Handler:
        self.times += 1
        return self.handler


@pytest.fixture
def write_file() -> Loading:
    return Loading("io.fs.write_file@1.0.0")


def test_what_is_known_of_a_handler_imports_nothing(write_file: Loading) -> None:
    bound = write_file.bound
    assert bound.parts == {"execute", "prepare", "compensate", "reconcile", "preview"}
    assert (bound.undo, bound.rehearsable) == (Undo.AUTOMATIC, True)
    assert bound.handler_fingerprint == write_file.handler.fingerprint()
    assert write_file.times == 0


def test_handler_is_loaded_once_and_validates_as_the_described_one(write_file: Loading) -> None:
    bound, described = write_file.bound, BoundCapability(write_file.spec, write_file.handler)
    inputs = {"path": "a.txt", "content": "x"}
    assert bound.parse(inputs) == described.parse(inputs)
    faulty: list[dict[str, Json]] = [
        {"path": "a.txt", "content": 1},
        {"path": "a.txt", "content": "x", "more": 1},
    ]
    for wrong in faulty:
        told = []
        for one in (bound, described):
            with pytest.raises(InputError) as refused:
                one.parse(wrong)
            told.append(refused.value.to_dict())
        assert told[0] == told[1]
    assert bound.handler.execute is write_file.handler.execute
    assert write_file.times == 1


def test_handler_that_is_not_what_was_written_down_is_not_used(write_file: Loading) -> None:
    write_file.handler = Handler(lambda _context, _parameters: None, revision="another")
    with pytest.raises(AssertionError, match=r"tools\.write_catalog"):
        _ = write_file.bound.handler


def test_tool_says_what_is_old_and_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sys" / "catalog.json"
    path.parent.mkdir()
    monkeypatch.setattr(write_catalog, "catalogs", lambda: {path: "assent.capabilities.sys._capabilities"})
    assert write_catalog.main(["--check"]) == 1
    assert "sys/catalog.json" in capsys.readouterr().out
    path.write_text("<<<<<<< two sides of a merge", encoding="utf-8")
    assert write_catalog.main(["--check"]) == 1
    assert write_catalog.main([]) == 0
    assert write_catalog.main(["--check"]) == 0
    assert path.read_text() == import_module("assent.capabilities._builtin")._HOME.joinpath(
        "sys", "catalog.json"
    ).read_text(encoding="utf-8")
