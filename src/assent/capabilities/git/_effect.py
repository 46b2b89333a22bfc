"""The five parts of every git capability that changes something, over one idea: plan a `GitChange`, make it, recognise it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from assent.capabilities.fs._shapes import place
from assent.capabilities.fs.change._path_state import changed
from assent.capabilities.fs.change._turns import in_turn
from assent.capabilities.fs.world._paths import shown
from assent.capabilities.git._apply import Hand, logs_back
from assent.capabilities.git._change import GitChange
from assent.capabilities.git._faults import unreadable
from assent.capabilities.git._layout import Repository, find_repository
from assent.errors import AssentError, Json, WorldError
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict

P = TypeVar("P", bound=SpecModel)
R = TypeVar("R", bound=SpecModel)


class GitEffect(ABC, Generic[P, R]):
    """One capability that changes a repository. It keeps nothing of a call."""

    @abstractmethod
    def plan(self, context: LocalContext, parameters: P) -> GitChange:
        """What the call will change, found by reading only."""

    @abstractmethod
    def output(self, change: GitChange) -> R:
        """The call's output, which follows from the plan: a crash cannot lose it."""

    @abstractmethod
    def show(self, context: LocalContext, change: GitChange) -> str:
        """The change for a person."""

    def prepare(self, context: LocalContext, parameters: P) -> Prepared:
        """Read the state before, build everything that is new, and say what will have changed."""
        with _readable(parameters):
            return self.plan(context, parameters).to_prepared(context.blobs)

    def execute(self, context: LocalContext, parameters: P) -> R:
        """Make the change. Run again after a crash, it completes what was begun; run a third time, it does nothing."""
        del parameters
        change = GitChange.of(context)
        # Git's own locks would refuse whoever comes second, and they say nothing to a call that moves the whole folder.
        with in_turn(context, [change.git]):
            repository = find_repository(context, change.repository)
            hand = Hand(context, repository, change)
            hand.clear()
            found = change.find(repository)
            if not change.is_after(found):
                if not change.is_ours(found):
                    raise self._changed(change, repository)
                hand.make(lambda: self._changed(change, repository))
        return self.output(change)

    def reconcile(self, context: LocalContext, parameters: P) -> Reconciliation:
        """Compare the references with both states.

        A change that is half made, or has leftovers, is `unknown`: it is completed when the run goes on, and taken back when it
        does not.
        """
        del parameters
        change = GitChange.of(context)
        repository = find_repository(context, change.repository)
        found = change.find(repository)
        is_after, is_before = change.is_after(found), change.is_before(found)
        if not is_after and not change.is_ours(found):
            return Reconciliation(Verdict.UNKNOWN, foreign=True)
        if not (is_after or is_before) or Hand(context, repository, change).has_leftovers():
            return Reconciliation(Verdict.UNKNOWN, is_repeatable=True)
        if not is_after:
            return Reconciliation(Verdict.NO)
        output: dict[str, Json] = self.output(change).model_dump(mode="json")
        return Reconciliation(Verdict.YES, output)

    def compensate(self, context: LocalContext, parameters: P) -> Json:
        """Give the references and the index what they said before; harmless when they say it already.

        Raises `RefusedError` COMPENSATION_CONFLICT when one of them says something else by now.
        """
        del parameters
        change = GitChange.of(context)
        with in_turn(context, [change.git]):
            self._compensate(context, change)
        return {"restored": [edit.name for edit in change.edits if edit.moves]}

    def _compensate(self, context: LocalContext, change: GitChange) -> None:
        repository = find_repository(context, change.repository)
        back = logs_back(change)
        hand = Hand(context, repository, change)
        hand.clear()
        found = change.find(repository)
        # Reflogs are written before the references move, so they may tell of what never came.
        if not change.is_before(found) or hand.has_told():
            if not change.is_ours(found):
                raise change.conflict(found)
            Hand(context, repository, back).make(lambda: change.conflict(change.find(repository)))

    def preview(self, context: LocalContext, parameters: P) -> Preview:
        """What the call would change; the change is made to the call's simulated world."""
        assert context.world.is_simulated, "a preview must not touch the real world"
        with _readable(parameters):
            change = self.plan(context, parameters)
            text = self.show(context, change)
        repository = find_repository(context, change.repository)
        Hand(context, repository, change).make(lambda: self._changed(change, repository))
        return Preview("unified", text, base_of(change))

    def _changed(self, change: GitChange, repository: Repository) -> AssentError:
        found = change.find(repository)
        if change.is_before(found) or not any(
            said == edit.new and edit.moves for said, edit in zip(found.refs, change.edits, strict=True)
        ):
            return changed(repository.git)
        return WorldError(
            "FILE_CHANGED",
            f"`{shown(repository.git)}` was changed by somebody else while this call was half done",
            path=shown(repository.git),
            hint="look at it, then settle the step with `assent resolve`",
        )


@contextmanager
def _readable(parameters: SpecModel) -> Iterator[None]:
    """Inside, an object that is missing or damaged is told as such: a clone may be shallow, or without all contents."""
    import pygit2

    try:
        yield
    except pygit2.GitError as error:
        raise unreadable(place(str(getattr(parameters, "repository", "."))), str(error).strip("'")) from error


def base_of(change: GitChange) -> str:
    """Digest of the state that a preview was made on."""
    import hashlib
    import json

    seen: list[Json] = [[edit.name, edit.old] for edit in change.edits]
    seen += [change.index.old if change.index else None, change.notes.get("tree")]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()
