"""Rule 8: the control files are out of reach. A hundred ways to reach them, all refused, and not a byte of them changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.fs import ConfinedFiles, ControlFiles, Workspace
from assent.invocation import EntryKind, Files, NoEffectError
from tests.support.hands import Hands, TreeState, tree_of

READS = ["read_file", "hash_file", "exists", "list_dir"]
CHANGES = ["write_file", "write_bytes", "make_dir", "delete", "move it", "move onto it", "copy onto it"]
LOOKS_AND_CHANGES = [*READS, *CHANGES, "copy it"]

HIDDEN = {
    "the state directory": ".assent",
    "the journal": ".assent/journal.db",
    "a pre-image": ".assent/blobs/ab",
    "a name that is free there": ".assent/new",
    "detours of dots and slashes": ".//./.assent//./journal.db",
    "a trailing slash": ".assent/",
    "upper case": ".ASSENT/journal.db",
    "mixed case": ".Assent",
    "an invisible character": ".ass\u200cent/journal.db",
    "a soft hyphen": ".ass\u00adent",
    "full-width letters": ".\uff41ssent/journal.db",
    "a long s": ".a\u017fsent",
    "a trailing dot": ".assent./journal.db",
    "a trailing space": ".assent ",
    "a state directory of its own": "docs/.assent",
    "a file in a state directory of its own": "docs/.assent/journal.db",
    "a hard link to the journal": "docs/hard.db",
    "the state directory of another name": "var/state",
    "a file in the state directory of another name": "var/state/journal.db",
    "another case of a state directory of another name": "var/STATE",
}
READ_ONLY = {
    "the configuration": "assent.toml",
    "the configuration by a detour": "./assent.toml",
    "the configuration in upper case": "ASSENT.TOML",
    "the configuration with an invisible character": "assent\u200b.toml",
    "the configuration with a trailing dot": "assent.toml.",
    "a hard link to the configuration": "docs/hard.toml",
    "a configuration for a folder below": "docs/assent.toml",
    "the policy": "conf/policy.yaml",
    "the policy in another case": "conf/Policy.YAML",
    "a hard link to the policy": "docs/hard.yaml",
    "a policy that does not exist yet": "conf/late.yaml",
    "a file in a folder of policies": "conf/rules/one.yaml",
    "a new file in a folder of policies": "conf/rules/two.yaml",
    "the lock file": "locked.txt",
}
ABOVE = {
    "the folder of the policy": "conf",
    "the folder of the state": "var",
    "a folder of policies": "conf/rules",
}
LINKS = {
    "a link to the state directory": "docs/soft",
    "through a link to the state directory": "docs/soft/journal.db",
    "a link to the configuration": "docs/soft.toml",
}


@dataclass(frozen=True)
class Way:
    how: str
    what: str
    path: str


WAYS = [
    *(Way(how, what, path) for what, path in HIDDEN.items() for how in LOOKS_AND_CHANGES),
    *(Way(how, what, path) for what, path in READ_ONLY.items() for how in CHANGES),
    *(Way(how, what, path) for what, path in ABOVE.items() for how in ("delete", "move it")),
    *(
        Way(how, what, path)
        for what, path in LINKS.items()
        for how in ("read_file", "write_file", "copy onto it")
    ),
]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Hands]:
    for folder in (".assent/blobs", "docs", "conf/rules", "var/state"):
        (tmp_path / folder).mkdir(parents=True)
    for path in (
        ".assent/journal.db",
        ".assent/blobs/ab",
        "var/state/journal.db",
        "assent.toml",
        "conf/policy.yaml",
        "conf/rules/one.yaml",
        "locked.txt",
        "docs/mine.txt",
    ):
        (tmp_path / path).write_text(f"the bytes of {path}")
    os.link(tmp_path / ".assent/journal.db", tmp_path / "docs/hard.db")
    os.link(tmp_path / "assent.toml", tmp_path / "docs/hard.toml")
    os.link(tmp_path / "conf/policy.yaml", tmp_path / "docs/hard.yaml")
    (tmp_path / "docs/soft").symlink_to("../.assent")
    (tmp_path / "docs/soft.toml").symlink_to("../assent.toml")
    hands = Hands(tmp_path, _open(tmp_path))
    yield hands
    hands.workspace.close()


def _control(root: Path) -> ControlFiles:
    read_only = ("assent.toml", "conf/policy.yaml", "conf/late.yaml", "conf/rules", "locked.txt")
    return ControlFiles(
        hidden=[root / ".assent", root / "var/state"], read_only=[root / name for name in read_only]
    )


def _open(root: Path) -> Workspace:
    return Workspace(ConfinedFiles(root, control=_control(root)))


def _try(hands: Hands, how: str, path: str, world: Callable[[], Any]) -> None:
    name, _, rest = how.partition(" ")
    parameters: dict[str, Any] = {"path": path}
    if name == "write_file":
        parameters |= {"content": "mine", "create_dirs": True}
    elif name == "write_bytes":
        parameters |= {"content_base64": "", "create_dirs": True, "overwrite": True}
    elif name == "make_dir":
        parameters |= {"parents": True}
    elif name == "delete":
        parameters |= {"recursive": True}
    elif rest == "it":
        parameters = {"source": path, "destination": "docs/taken", "overwrite": True}
    elif rest == "onto it":
        parameters = {"source": "docs/mine.txt", "destination": path, "overwrite": True}
    step = hands.step(f"io.fs.{name}", **parameters).on(world())
    if step.handler.prepare is not None:
        step = step.prepare()
    step.execute()


def test_there_are_a_hundred_ways() -> None:
    assert len(WAYS) == len(set(WAYS))
    assert len(WAYS) >= 100


def test_a_control_file_is_out_of_reach(guarded: Hands) -> None:
    """Whatever the capability and the spelling: refused, in the real world and in an imagined one, and nothing changed."""
    before = guarded.tree(hidden=True)
    for way, world in product(WAYS, (lambda: guarded.workspace, guarded.workspace.simulate)):
        code = None
        try:
            _try(guarded, way.how, way.path, world)
        except NoEffectError as error:
            code = error.code
        assert code in _codes(way), way
        assert guarded.tree(hidden=True) == before, way


def _codes(way: Way) -> set[str]:
    if way.what in LINKS:
        return {"PATH_ESCAPES"}
    if way.how == "make_dir" and way.path in ("docs/hard.toml", "docs/hard.yaml"):
        return {"PATH_PROTECTED", "FILE_EXISTS"}
    if way.how == "make_dir" and way.what in READ_ONLY:
        # Something stands there already, and what to make a folder over it would mean is never asked.
        return {"PATH_PROTECTED", "FILE_EXISTS"}
    return {"PATH_PROTECTED"}


PORT_CALLS: dict[str, Callable[[Files, str], object]] = {
    "write": lambda files, path: files.write(path, [b"mine"], key="k"),
    "make_dir": lambda files, path: files.make_dir(path),
    "remove_file": lambda files, path: files.remove_file(path),
    "remove_dir": lambda files, path: files.remove_dir(path),
    "rename it": lambda files, path: files.rename(path, "docs/taken", replace=True),
    "rename onto it": lambda files, path: files.rename("docs/mine.txt", path, replace=True),
    "make_link": lambda files, path: files.make_link(path, "docs/mine.txt"),
    "set_attributes": lambda files, path: files.set_attributes(path, mode=0o777, mtime_ns=1),
}


@pytest.mark.parametrize(
    "path", [".assent/journal.db", "assent.toml", "conf/policy.yaml", "conf/rules/one.yaml", "docs/hard.toml"]
)
@pytest.mark.parametrize("call", PORT_CALLS)
def test_the_port_itself_refuses(guarded: Hands, call: str, path: str) -> None:
    """A third-party handler that uses the port gets no further than a built-in one."""
    before = guarded.tree(hidden=True)
    with pytest.raises(NoEffectError) as caught:
        PORT_CALLS[call](guarded.workspace.files, path)
    assert caught.value.code == "PATH_PROTECTED"
    assert guarded.tree(hidden=True) == before


def test_the_state_directory_is_in_no_listing(guarded: Hands) -> None:
    listed = guarded.read("io.fs.list_dir", path=".", recursive=True, include_hidden=True)
    paths = [entry["path"] for entry in listed["entries"]]
    assert "conf/policy.yaml" in paths
    assert not [path for path in paths if ".assent" in path or "state" in path]


def test_a_read_only_control_file_can_be_read_and_copied(guarded: Hands) -> None:
    assert guarded.read("io.fs.read_file", path="assent.toml")["content"] == "the bytes of assent.toml"
    guarded.do("io.fs.copy", source="conf/policy.yaml", destination="docs/my-policy.yaml")
    assert (guarded.root / "docs/my-policy.yaml").read_text() == "the bytes of conf/policy.yaml"


def test_a_control_file_replaced_by_an_editor_stays_out_of_reach(guarded: Hands) -> None:
    """Editors save by rename: the inode is another one, the control file is not."""
    (guarded.root / "new").write_text("edited by a person")
    (guarded.root / "new").replace(guarded.root / "conf/policy.yaml")
    os.link(guarded.root / "conf/policy.yaml", guarded.root / "docs/again.yaml")
    for path in ("conf/policy.yaml", "docs/again.yaml"):
        with pytest.raises(NoEffectError) as caught:
            guarded.do("io.fs.write_file", path=path, content="mine")
        assert caught.value.code == "PATH_PROTECTED"


def test_a_linked_configuration_is_protected_at_both_ends(tmp_path: Path) -> None:
    """`assent.toml` may be a link into a shared folder of the same workspace."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/settings.toml").write_text("shared")
    (tmp_path / "assent.toml").symlink_to("shared/settings.toml")
    hands = Hands.on(tmp_path)
    for capability, parameters in (
        ("io.fs.write_file", {"path": "shared/settings.toml", "content": "mine"}),
        ("io.fs.delete", {"path": "assent.toml"}),
        ("io.fs.delete", {"path": "shared", "recursive": True}),
        ("io.fs.move", {"source": "shared", "destination": "away"}),
    ):
        with pytest.raises(NoEffectError) as caught:
            hands.do(capability, **parameters)
        assert caught.value.code == "PATH_PROTECTED"
    hands.workspace.close()


def test_a_tree_with_a_control_file_in_it_is_refused_before_anything_is_removed(tmp_path: Path) -> None:
    """A nested workspace: deleting or moving the tree around it would take its state along."""
    (tmp_path / "inner/deep/.assent").mkdir(parents=True)
    (tmp_path / "inner/deep/assent.toml").write_text("inner")
    (tmp_path / "inner/a.txt").write_text("a")
    hands = Hands.on(tmp_path)
    before: TreeState = tree_of(tmp_path, hidden=True)
    for capability, parameters in (
        ("io.fs.delete", {"path": "inner", "recursive": True}),
        ("io.fs.move", {"source": "inner", "destination": "outer"}),
        ("io.fs.copy", {"source": "inner", "destination": "outer"}),
    ):
        with pytest.raises(NoEffectError) as caught:
            hands.do(capability, **parameters)
        assert caught.value.code == "PATH_PROTECTED"
        assert tree_of(tmp_path, hidden=True) == before
    hands.workspace.close()


def test_our_temporary_names_are_none_of_a_callers_business(tmp_path: Path) -> None:
    hands = Hands.on(tmp_path)
    name = hands.workspace.files.temporary("a.txt", key="k")
    with pytest.raises(NoEffectError) as caught:
        hands.do("io.fs.write_file", path=name, content="mine")
    assert caught.value.code == "PATH_PROTECTED"
    hands.workspace.close()


def test_a_missing_state_directory_cannot_be_made(tmp_path: Path) -> None:
    """Before the first run there is none: a capability must not be the one who furnishes it."""
    workspace = Workspace.open(tmp_path, hidden=[tmp_path / "state"])
    with pytest.raises(NoEffectError) as caught:
        workspace.files.make_dir("state")
    assert caught.value.code == "PATH_PROTECTED"
    assert workspace.files.stat(".") is not None
    assert workspace.files.new_mode(EntryKind.DIRECTORY) & 0o700 == 0o700
    workspace.close()
