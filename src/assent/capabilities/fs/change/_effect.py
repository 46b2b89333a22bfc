"""The five parts of every capability that changes files, over one idea: plan a `Change`, apply it, recognise it, take it back.

A capability says what it will change (`plan`) and how (`apply`); everything that makes it durable and reversible is here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from assent.capabilities.fs.change._change import Change, Position, Target, remove_empty_dirs
from assent.capabilities.fs.change._path_state import (
    PathState,
    changed,
    keep,
    put_back,
    survey,
)
from assent.capabilities.fs.change._turns import in_turn
from assent.capabilities.fs.world._paths import shown
from assent.errors import AssentError, Json, RefusedError, WorldError
from assent.invocation import EntryKind, LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict

P = TypeVar("P")
R = TypeVar("R", bound=SpecModel)


class FileEffect(ABC, Generic[P, R]):
    """One capability that changes files, from parameters `P` to a result `R`. It keeps nothing of a call."""

    @abstractmethod
    def plan(self, context: LocalContext, parameters: P, *, keeps: bool) -> Change:
        """What the call will change, found by reading only. `keeps`: pre-images go into the blob store."""

    @abstractmethod
    def apply(self, context: LocalContext, parameters: P, change: Change) -> None:
        """Make the change; the world is in the state before."""

    @abstractmethod
    def output(self, parameters: P, change: Change) -> R:
        """The call's output, which follows from the parameters and the plan: a crash cannot lose it."""

    def change(self, context: LocalContext) -> Change:
        """The change that was journaled for this call."""
        return Change.of(context)

    def has_leftovers(self, context: LocalContext, change: Change) -> bool:
        """Whether an interrupted attempt left something beside the targets, which stand as before or after."""
        return change.has_temporaries(context)

    def finish(self, context: LocalContext, change: Change) -> None:
        """Do what is left to do after the effect; harmless when nothing is."""
        self.remove_temporaries(context, change)

    def is_half_done(self, change: Change, found: list[PathState]) -> bool:
        """Whether `found` is a state that only an interrupted `apply` leaves; applying again must complete it."""
        del change, found
        return False

    def is_half_undone(self, change: Change, found: list[PathState]) -> bool:
        """Whether `found` is a state that only an interrupted `take_back` leaves."""
        del change, found
        return False

    def take_back(self, context: LocalContext, change: Change, found: list[PathState]) -> None:
        """Restore every target; the world is in the state after."""
        for target, state in zip(change.targets, found, strict=True):
            require_pre_image(target)
            if not target.is_before(state):
                restore(context, target, state)

    def remove_temporaries(self, context: LocalContext, change: Change) -> None:
        """Remove what an interrupted attempt left beside the targets."""
        change.remove_temporaries(context)

    def base(self, change: Change) -> str:
        """What a preview is bound to: when it differs, an approval of that preview is void."""
        return change.base()

    def all_or_none(
        self, context: LocalContext, change: Change, turns: Sequence[Callable[[], object]]
    ) -> None:
        """Make several changes in turn. When one fails without an effect, those before it are taken back and it is raised.

        Raises `WorldError` with the same code when that fails too: the effect then stands in part.
        """
        for number, turn in enumerate(turns):
            try:
                turn()
            except NoEffectError as error:
                if number:
                    try:
                        self.take_back(context, change, change.find(context.world.files))
                    except AssentError:
                        raise WorldError(
                            error.code, error.message, path=error.path, hint=error.hint, details=error.details
                        ) from error
                raise

    def heading(self, change: Change) -> str:
        """Lines that a preview shows above the differences."""
        del change
        return ""

    def folder(self, parameters: P) -> str:
        """Outside of it a preview's reader would expect no change."""
        del parameters
        return "."

    def compared(self, change: Change) -> tuple[str, ...]:
        """The paths whose contents a preview compares."""
        return tuple(target.path for target in change.targets)

    def planned(self, context: LocalContext, parameters: P, *, keeps: bool) -> Change:
        """What `plan` says, unless it is out of reach wherever it stands (PATH_PROTECTED)."""
        change = self.plan(context, parameters, keeps=keeps)
        change.forbid_programs_of_git(context.world.files)
        return change

    def prepare(self, context: LocalContext, parameters: P) -> Prepared:
        """Read the state before, keep what undo needs, and say what will have changed."""
        return self.planned(context, parameters, keeps=context.keep_pre_image).to_prepared(context.blobs)

    def execute(self, context: LocalContext, parameters: P) -> R:
        """Make the change. Run again after a crash, it completes what was begun; run a third time, it does nothing."""
        change = self.change(context)
        with in_turn(context, change.paths):
            found = change.find(context.world.files)
            match change.position(found):
                case Position.AFTER:
                    self.finish(context, change)
                case Position.FOREIGN if not self.is_half_done(change, found):
                    raise changed(change.targets[0].path)
                case _:
                    # Other calls have had their turn since this one was planned.
                    change.forbid_programs_of_git(context.world.files)
                    self.remove_temporaries(context, change)
                    self.apply(context, parameters, change)
        return self.output(parameters, change)

    def reconcile(self, context: LocalContext, parameters: P) -> Reconciliation:
        """Compare the world with both states.

        An effect that stands in part, or has leftovers, is `unknown`: it is completed when the run goes on, and taken back when
        it does not. Answered `no`, it would be left as it is by a run that stops.
        """
        change = self.change(context)
        found = change.find(context.world.files)
        position = change.position(found)
        if position is Position.FOREIGN:
            is_half_done = self.is_half_done(change, found)
            return Reconciliation(Verdict.UNKNOWN, foreign=not is_half_done, is_repeatable=is_half_done)
        if self.has_leftovers(context, change) or (
            position is Position.BEFORE and change.has_new_dirs(context.world.files)
        ):
            return Reconciliation(Verdict.UNKNOWN, is_repeatable=True)
        if position is Position.BEFORE:
            return Reconciliation(Verdict.NO)
        output: dict[str, Json] = self.output(parameters, change).model_dump(mode="json")
        return Reconciliation(Verdict.YES, output)

    def compensate(self, context: LocalContext, parameters: P) -> Json:
        """Put the state before back, byte for byte; harmless when it stands already.

        Raises `RefusedError`: COMPENSATION_CONFLICT when the world is in neither state, UNDO_IMPOSSIBLE when no pre-image was
        kept.
        """
        # The journaled change alone says what to restore: the same parameters could mean another path by now.
        del parameters
        change = self.change(context)
        if change.is_nothing:
            return {"restored": []}  # Nothing of the world is this call's, whatever has become of it since.
        with in_turn(context, change.paths):
            self._compensate(context, change)
        return {"restored": [shown(target.path) for target in change.targets]}

    def _compensate(self, context: LocalContext, change: Change) -> None:
        found = change.find(context.world.files)
        match change.position(found):
            case Position.BEFORE:
                pass
            case Position.FOREIGN if not self.is_half_undone(change, found):
                raise change.conflict(found)
            case _:
                change.forbid_programs_of_git(context.world.files, back=True)
                self.finish(context, change)
                self.remove_temporaries(context, change)
                self.take_back(context, change, found)
        self.remove_temporaries(context, change)
        files = context.world.files
        remove_empty_dirs(files, change.new_dirs)
        for folder in change.folders:
            folder.restore(files)

    def preview(self, context: LocalContext, parameters: P) -> Preview:
        """What the call would change, as a unified diff; the change is made to the call's simulated world."""
        from assent.capabilities.fs.change._diff import (
            Pages,
            unified,
        )  # Only plans need it, and every start would pay for it.

        assert context.world.is_simulated, "a preview must not touch the real world"
        files = context.world.files
        change = self.planned(context, parameters, keeps=False)
        if change.is_nothing:
            return Preview("unified", "", self.base(change), changes=False)
        paths = (*change.new_dirs, *self.compared(change))
        before = Pages.read(files, paths)
        self.apply(context, parameters, change)
        text = self.heading(change) + unified(before, Pages.read(files, paths), self.folder(parameters))
        return Preview("unified", text, self.base(change), changes=True)

    def pre_image(self, context: LocalContext, path: str, *, keeps: bool) -> PathState:
        """What stands at `path`: in the blob store when undo will need it, else only hashed (`undo: none`, previews)."""
        if context.keep_pre_image:
            return keep(context, path, bytes_max=context.world.pre_image_bytes_max, store=keeps)
        return survey(context.world.files, path)


def restore(context: LocalContext, target: Target, state: PathState) -> None:
    """Put back what stood at one path; `state` is what stands there now."""
    files = context.world.files
    if target.old.nodes:
        put_back(context, target.path, target.old)
    elif state.kind is not EntryKind.DIRECTORY:
        files.remove_file(target.path)
    elif len(state.nodes) == 1:
        files.remove_dir(target.path)
    else:
        # A whole tree goes in one rename, so that no reader and no crash sees half of it.
        files.rename(target.path, files.temporary(target.path, key=context.key), replace=False)
        files.remove_temporary(target.path, key=context.key)


def require_pre_image(target: Target) -> None:
    """Refuse to take back what nothing was kept of."""
    if target.old.size and target.old.pack is None and target.before != target.after:
        raise RefusedError(
            "UNDO_IMPOSSIBLE",
            f"no pre-image of `{shown(target.path)}` was kept, so it cannot be restored",
            path=shown(target.path),
            hint="the step said `undo: none`; restore it by other means",
        )
