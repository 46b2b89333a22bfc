"""A plugin's modules come from its checked bytes, whatever stands on the disk meanwhile."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.resources
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from assent.plugins.loading._importer import CheckedImporter
from assent.plugins.source._code import PluginCode, module_name, modules_of, native_files
from tests.support.plugins import interpreter_kept, refused, write


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with interpreter_kept():
        yield


def code_of(tmp_path: Path, files: Mapping[str, str | bytes], root: str = "plugged") -> PluginCode:
    return PluginCode.read([write(tmp_path, files) / root])


def test_what_was_read_is_what_is_imported(tmp_path: Path) -> None:
    """Between the check and the import the disk may change as it likes."""
    code = code_of(
        tmp_path, {"plugged/__init__.py": "from plugged._store import X\n", "plugged/_store.py": "X = 1\n"}
    )
    (tmp_path / "plugged" / "_store.py").write_text("X = 2\n")
    (tmp_path / "plugged" / "__init__.py").write_text("raise SystemExit\n")
    sys.path.insert(0, str(tmp_path))
    importer = CheckedImporter("plugged", code, native=False)
    importer.install()
    module = importlib.import_module("plugged")
    assert module.X == 1
    assert sorted(importer.imported()) == ["plugged", "plugged._store"]
    assert "X = 1" in inspect.getsource(sys.modules["plugged._store"])


def test_what_is_not_among_the_files_does_not_exist(tmp_path: Path) -> None:
    """No folder of the path is asked for a plugin's module, also one that appears after the check."""
    code = code_of(tmp_path, {"plugged/__init__.py": ""})
    write(tmp_path, {"plugged/later.py": "X = 1\n"})
    sys.path.insert(0, str(tmp_path))
    importer = CheckedImporter("plugged", code, native=False)
    importer.install()
    with pytest.raises(ModuleNotFoundError, match=r"hold no module `plugged\.later`"):
        importlib.import_module("plugged.later")
    assert importer.find_spec("json") is None


def test_bytecode_is_never_used(tmp_path: Path) -> None:
    """Neither beside the source, nor in the cache with a matching time, nor without a source."""
    import py_compile

    write(tmp_path, {"plugged/__init__.py": "", "plugged/a.py": "X = 'bytecode'\n", "gone.py": "Y = 1\n"})
    source = tmp_path / "plugged" / "a.py"
    py_compile.compile(
        str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True
    )
    py_compile.compile(str(tmp_path / "gone.py"), cfile=str(tmp_path / "plugged" / "gone.pyc"), doraise=True)
    source.write_text("X = 'source'\n")
    code = PluginCode.read([tmp_path / "plugged"])
    assert "plugged/gone.pyc" in code.digests
    CheckedImporter("plugged", code, native=False).install()
    assert importlib.import_module("plugged.a").X == "source"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("plugged.gone")


def test_a_folder_without_a_package_file_adds_no_modules(tmp_path: Path) -> None:
    code = code_of(tmp_path, {"plugged/__init__.py": "", "plugged/data/x.py": "X = 1\n"})
    assert sorted(modules_of(code)) == ["plugged"]


def test_two_files_may_not_claim_one_module(tmp_path: Path) -> None:
    """Python would take the package, or the compiled one, and say nothing."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    files: dict[str, str | bytes] = {
        "plugged/__init__.py": "",
        "plugged/a.py": "",
        "plugged/a/__init__.py": "",
        "plugged/b.py": "",
        f"plugged/b{suffix}": b"",
    }
    error = refused(lambda: modules_of(code_of(tmp_path, files)))
    assert error.code == "PLUGIN_INVALID"
    assert len(error.details["faults"]) == 2  # type: ignore[arg-type]  # a list


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("a.py", "a"),
        ("a/__init__.py", "a"),
        ("a/b/c.py", "a.b.c"),
        ("a/b.abi3.so", "a.b"),
        ("a/b.txt", None),
        ("a/not-a-name.py", None),
        ("a/.hidden.py", None),
        ("a/b.pyc", None),
    ],
)
def test_the_module_of_a_file(file: str, module: str | None) -> None:
    assert module_name(file) == module


def test_resources_come_from_the_checked_bytes(tmp_path: Path) -> None:
    code = code_of(tmp_path, {"plugged/__init__.py": "", "plugged/data/words.txt": "checked"})
    (tmp_path / "plugged" / "data" / "words.txt").write_text("changed")
    CheckedImporter("plugged", code, native=False).install()
    module = importlib.import_module("plugged")
    assert (importlib.resources.files(module) / "data" / "words.txt").read_text() == "checked"


def test_a_traceback_shows_the_line_that_ran(tmp_path: Path) -> None:
    code = code_of(tmp_path, {"plugged/__init__.py": "def fall():\n    raise ValueError('checked')\n"})
    (tmp_path / "plugged" / "__init__.py").write_text("# nothing\n# here\n")
    CheckedImporter("plugged", code, native=False).install()
    module = importlib.import_module("plugged")
    with pytest.raises(ValueError, match="checked") as raised:
        module.fall()
    frame = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (frame.filename, frame.lineno) == (str(tmp_path / "plugged" / "__init__.py"), 2)
    assert frame.line == "raise ValueError('checked')"


def test_unloading_forgets_the_modules(tmp_path: Path) -> None:
    code = code_of(tmp_path, {"plugged/__init__.py": ""})
    importer = CheckedImporter("plugged", code, native=False)
    importer.install()
    importlib.import_module("plugged")
    importer.uninstall()
    importer.uninstall()
    assert "plugged" not in sys.modules
    assert importer not in sys.meta_path


@pytest.fixture
def compiled() -> tuple[str, bytes]:
    """A compiled module of Python's own, under whose name it can be imported from anywhere."""
    spec = importlib.util.find_spec("_bisect")
    if spec is None or spec.origin is None or not spec.origin.endswith(".so"):
        pytest.skip("this Python has `_bisect` built in")
    place = Path(spec.origin)
    return place.name, place.read_bytes()


def test_compiled_code_needs_to_be_allowed(tmp_path: Path, compiled: tuple[str, bytes]) -> None:
    name, data = compiled
    code = code_of(tmp_path, {"plugged/__init__.py": "", f"plugged/{name}": data})
    assert native_files(code) == [f"plugged/{name}"]
    CheckedImporter("plugged", code, native=False).install()
    error = refused(lambda: importlib.import_module("plugged._bisect"))
    assert error.code == "PLUGIN_NATIVE"


def test_compiled_code_is_loaded_from_a_sealed_copy(tmp_path: Path, compiled: tuple[str, bytes]) -> None:
    """The file may be exchanged after the check, and the copy can't be changed by anybody."""
    name, data = compiled
    code = code_of(tmp_path, {"plugged/__init__.py": "", f"plugged/{name}": data})
    (tmp_path / "plugged" / name).write_bytes(b"exchanged")
    CheckedImporter("plugged", code, native=True).install()
    module = importlib.import_module("plugged._bisect")
    assert module.bisect_left([1, 2, 3], 2) == 1
    assert module.__spec__ is not None
    copy = module.__spec__.origin
    assert copy is not None
    with pytest.raises(PermissionError):
        Path(copy).write_bytes(b"exchanged")
