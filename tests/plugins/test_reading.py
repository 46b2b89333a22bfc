"""A plugin is read where it is, whatever it is, and nothing of it is followed, unpacked or run."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from assent.errors import InputError
from assent.plugins import ManifestCache, SourceKind, read_plugin
from assent.plugins.manifest import PluginWarning
from assent.plugins.source._reading import content_key
from assent.plugins.source._wheel import read_wheel

CODE = b'raise SystemExit("it was run")\n'


def wheel(entries: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as raised:
        read_plugin(path)
    return raised.value


def test_a_file_is_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_bytes(CODE)
    found = read_plugin(tmp_path / "notes.py")
    assert (found.kind, found.declaration.name, dict(found.files)) == (
        SourceKind.FILE,
        "notes",
        {"notes.py": CODE},
    )


def test_a_package_is_a_plugin_with_all_its_files(tmp_path: Path) -> None:
    files = {
        "notes/__init__.py": CODE,
        "notes/data.txt": b"x",
        "notes/assent-plugin.toml": b'name = "my-notes"',
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = read_plugin(tmp_path / "notes")
    assert (found.kind, found.declaration.name) == (SourceKind.PACKAGE, "my-notes")
    assert dict(found.files) == files


def test_a_package_inside_another_one_keeps_its_full_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    for folder in ("a", "a/b", "a/b/c"):
        (tmp_path / folder / "__init__.py").write_bytes(b"")
    assert list(read_plugin(tmp_path / "a" / "b" / "c").files) == ["a/b/c/__init__.py"]


@pytest.mark.parametrize("base", ["src", "."])
def test_of_a_project_only_what_it_installs_is_read(tmp_path: Path, base: str) -> None:
    home = tmp_path / base
    (home / "notes").mkdir(parents=True)
    (home / "notes" / "__init__.py").write_bytes(CODE)
    (home / "single.py").write_bytes(CODE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").write_bytes(b"(")
    (tmp_path / "conftest.py").write_bytes(b"(")
    (tmp_path / ".hidden.py").write_bytes(b"(")
    (tmp_path / "pyproject.toml").write_bytes(b'[tool.assent.plugin]\nname = "project"')
    found = read_plugin(tmp_path)
    assert (found.kind, found.declaration.name) == (SourceKind.FOLDER, "project")
    assert sorted(found.files) == ["notes/__init__.py", "single.py"]


def test_a_wheel_is_read_in_memory(tmp_path: Path) -> None:
    entries = {
        "notes/__init__.py": CODE,
        "notes-1.0.data/purelib/more.py": CODE,
        "notes-1.0.dist-info/METADATA": b"Name: notes\nVersion: 1.0\n",
        "notes-1.0.dist-info/entry_points.txt": b"[assent.plugins]\nnotes = notes\n",
        "notes-1.0.dist-info/RECORD": b"lies",
    }
    path = tmp_path / "notes-1.0-py3-none-any.whl"
    path.write_bytes(wheel(entries))
    found = read_plugin(path)
    assert (found.kind, found.declaration.version, found.declaration.entry) == (
        SourceKind.WHEEL,
        "1.0",
        "notes",
    )
    assert sorted(found.files) == ["more.py", "notes/__init__.py"]
    assert sorted(os.listdir(tmp_path)) == [path.name]  # noqa: PTH208  # names are all that is asked


@pytest.mark.parametrize("name", ["absent", "notes.txt", "empty", "absent.whl"])
def test_what_is_no_plugin_is_said_to_be_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / name).code in ("FILE_MISSING", "PLUGIN_INVALID", "FILE_UNREADABLE")


def test_links_are_not_followed_and_loops_do_not_hang(tmp_path: Path) -> None:
    package = tmp_path / "notes"
    package.mkdir()
    (package / "__init__.py").write_bytes(b"")
    (package / "loop").symlink_to(package)
    (package / "out.py").symlink_to("/etc/hosts")
    error = refused(package)
    assert error.code == "PLUGIN_INVALID"
    assert len(error.details["faults"]) == 2  # type: ignore[arg-type]  # a list of texts


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    package = tmp_path / "notes"
    package.mkdir()
    (package / "__init__.py").write_bytes(b"")
    os.mkfifo(package / "pipe.py")
    assert refused(package).code == "PLUGIN_INVALID"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../evil.py": b""}, "not a path below"),
        ({"/evil.py": b""}, "not a path below"),
        ({"a\\b.py": b""}, "not a path below"),
        ({"C:/b.py": b""}, "not a path below"),
        ({"a//b.py": b""}, "not a path below"),
        ({"a\n.py": b""}, "not a plain file name"),
        ({"a.py": b"", "A.py": b""}, "in it twice"),
        ({"a.py": b"", "x.data/purelib/a.py": b""}, "installed twice"),
        ({"bomb.bin": b"\0" * (2 << 20)}, "as a bomb does"),
    ],
)
def test_a_wheel_that_could_do_harm_is_refused(entries: dict[str, bytes], message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_wheel(wheel(entries), "x.whl")
    assert raised.value.code == "PLUGIN_WHEEL_INVALID"
    assert message in raised.value.message


def test_a_wheel_with_links_or_in_other_packings_is_refused() -> None:
    out = io.BytesIO()
    link = zipfile.ZipInfo("link.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(link, "/etc/hosts")
        archive.writestr(zipfile.ZipInfo("folder/"), "")
    for data, message in (
        (out.getvalue(), "is a link"),
        (wheel({"a": b"x"}, method=zipfile.ZIP_LZMA), "packed in a way"),
    ):
        with pytest.raises(InputError, match="wheel") as raised:
            read_wheel(data, "x.whl")
        assert message in raised.value.message


def test_a_wheel_whose_sizes_lie_is_measured_while_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.plugins.source._wheel.ENTRY_BYTES_MAX", 1000)
    data = bytearray(wheel({"a.py": b"#" * 2000}))
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(InputError):
        read_wheel(bytes(data), "x.whl")


def test_too_many_files_or_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.plugins.source._wheel.ENTRIES_MAX", 1)
    monkeypatch.setattr("assent.plugins.source._wheel.TOTAL_BYTES_MAX", 1)
    with pytest.raises(InputError) as raised:
        read_wheel(wheel({"a.py": b"1", "b.py": b"2"}), "x.whl")
    assert len(raised.value.details["faults"]) == 2  # type: ignore[arg-type]  # a list of texts


@pytest.mark.parametrize("cut", [0, 10, 60, -30, -1])
def test_a_damaged_wheel_is_one_clear_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.whl"
    data = bytearray(wheel({"a.py": b"print(1)\n" * 50}))
    path.write_bytes(bytes(data[:cut]))
    assert refused(path).code == "PLUGIN_WHEEL_INVALID"


def test_a_flipped_byte_in_a_wheel_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    data = bytearray(wheel({"a.py": b"print(1)\n" * 50}))
    data[45] ^= 0xFF
    path.write_bytes(bytes(data))
    assert refused(path).code == "PLUGIN_WHEEL_INVALID"


def test_a_cache_is_bounded_and_counts(tmp_path: Path) -> None:
    texts = []
    for index in range(3):
        (tmp_path / f"p{index}.py").write_text(f"x = {index}")
        texts.append(read_plugin(tmp_path / f"p{index}.py"))
    cache = ManifestCache(limit=2)
    first = cache.manifest(texts[0])
    assert cache.manifest(texts[0]) is first
    cache.manifest(texts[1])
    cache.manifest(texts[2])
    assert cache.manifest(texts[0]) is not first, "the one that was not asked for the longest is forgotten"
    found = cache.statistics()
    assert (found.hits, found.misses, found.currsize, found.maxsize) == (1, 4, 2, 2)
    cache.clear()
    assert cache.statistics().currsize == 0


def test_a_fault_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("(")
    cache = ManifestCache()
    with pytest.raises(InputError):
        cache.manifest(read_plugin(tmp_path / "p.py"))
    assert cache.statistics().currsize == 0


def test_a_key_names_everything_that_a_manifest_follows_from(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.py").write_text("x = 1")
    one, other = read_plugin(tmp_path / "a.py"), read_plugin(tmp_path / "b.py")
    assert content_key(one) != content_key(other)
    assert content_key(one) == content_key(read_plugin(tmp_path / "a.py"))


def test_a_warning_is_plain_data() -> None:
    assert PluginWarning(code="X", message="y").to_json() == {
        "code": "X",
        "message": "y",
        "path": None,
        "hint": None,
    }
