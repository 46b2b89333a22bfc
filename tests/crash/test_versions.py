"""A change of versions is killed at every point where that can matter: it is on the record wholly or not at all, and once."""

from __future__ import annotations

from typing import Any, Final

import pytest

from assent.journal import leaves_at_once
from assent.runtime.service._reading import Reader
from assent.spec.events import kinds as ev
from assent.spec.events.kinds import EVENT_TYPES
from tests.support.crashing import KILLED, Scene, noted

ID: Final = "io.fs.write_file"
COMMANDS: Final = {
    "label": ("capability", "label", f"{ID}@^1", "stable"),
    "call": ("call", f"{ID}@stable", "path=new.txt", "content=x"),
    "unlabel": ("capability", "unlabel", ID, "stable"),
}
"""A story, each part of which relies on those before it."""

LABELS: Final = {"label": ["stable"], "call": ["stable"], "unlabel": []}
"""The labels of the only version after each part."""


def history(scene: Scene) -> Any:  # `Any`: what the command prints
    return scene.assent("capability", "history", ID, "--json").json()


def recorded(scene: Scene) -> list[tuple[str, str]]:
    """Kind and capability of each change; what comes with Assent is a change for each of its versions."""
    with Reader.open(scene._settings) as reader:
        assert reader._journal is not None
        events = [leaf.event for leaf in leaves_at_once(reader._journal)]
    kinds = tuple(kind for name, kind in EVENT_TYPES.items() if name.startswith("capability."))
    changes: list[tuple[str, str]] = []
    for event in events:
        if isinstance(event, ev.ReleaseRegistered):
            changes += [(event.kind, version) for version in event.versions]
        elif isinstance(event, kinds):
            changes.append((event.kind, getattr(event, "capability", "")))
    return changes


@pytest.mark.parametrize("part", COMMANDS)
def test_a_change_that_is_killed_anywhere_happens_once_and_wholly(scene: Scene, part: str) -> None:
    words = [*COMMANDS.values()]
    at = [*COMMANDS].index(part)
    for earlier in words[:at]:
        assert scene.assent(*earlier).code == 0
    kept = scene.keep()
    trace = scene.trace(*words[at])
    assert trace
    whole = recorded(scene)
    for count in range(1, len(trace) + 1):
        scene.restore(kept)
        with noted(f"killed at point {count}, `{trace[count - 1]}`, of {words[at]}"):
            scene.kill_at(count, *words[at])
            assert scene.assent("resume", "--json").code == 0
            scene.assert_sound()
            if part == "call":
                # A call that was durable went on with `resume`; the catalogue is recorded once in any case.
                assert scene.assent(*words[at], "--as", "user:other").code == 0
            elif recorded(scene) != whole:
                assert scene.assent(*words[at]).code == 0
            assert recorded(scene) == whole
            (version,) = history(scene)["versions"]
            assert version["labels"] == LABELS[part]
            scene.assert_sound()


def test_the_first_event_of_a_run_counts_what_was_recorded_before_it(scene: Scene) -> None:
    """Also when the process died between the two."""
    assert scene.assent("call", "sys.noop", kill="commit.after:1").code == KILLED
    assert not scene.runs_if_any()
    count = len(recorded(scene))
    assert count > 0
    assert scene.assent("call", "sys.noop").code == 0
    with Reader.open(scene._settings) as reader:
        assert reader._journal is not None
        (created,) = [
            leaf.event for leaf in leaves_at_once(reader._journal) if isinstance(leaf.event, ev.RunCreated)
        ]
    assert created.catalogue == count == len(recorded(scene))
