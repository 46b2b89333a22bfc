"""The story, scene by scene: a release of sources of Assent's own, with everything that can go wrong on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

from assent.cli.demo._folder import Folder
from assent.cli.demo._stage import KILLED, Fold, Stage, failed
from assent.errors import Json
from assent.spec.words.sizes import size_text

Choice = Literal["approve", "reject", "later"]

TREE: Final = "sh ../digest.sh"
INPUTS: Final = "changelog=@../changelog.md edits=@../edits.json"
STEP: Final = "drop_notes"

_PLAN_ID: Final = re.compile(r"\bplan_[0-9a-z]{26}\b")
_RUN_ID: Final = re.compile(r"\brun_[0-9a-z]{26}\b")
_DIGEST: Final = re.compile(r"--digest ([0-9a-f]{12,64})")


class Undecided(Exception):
    """The reader rejected the step or left it for later: the story ends here, as they chose."""

    def __init__(self, choice: Choice, run_id: str) -> None:
        super().__init__(choice)
        self.choice = choice
        self.run_id = run_id


class Story:
    """Plays the scenes. `decide` asks the reader for each approval; `facts` is what happened, for programs."""

    def __init__(self, stage: Stage, folder: Folder, decide: Callable[[], Choice]) -> None:
        self._stage = stage
        self._folder = folder
        self._decide = decide
        self._digest = ""
        self._run_id = ""
        self.facts: dict[str, Json] = {}

    def play(self) -> None:
        """All of it; `DEMO_FAILED` where reality differs, `Undecided` where the reader stops it."""
        self._set_the_scene()
        before = self._tree("before")
        plan_id = self._plan()
        self._refuse_an_agent()
        first = self._stop_at_the_dangerous_step(plan_id)
        self._kill_half_way(first)
        self._resume_and_roll_back(first, before)
        second = self._run_again()
        self._undo(second, before)
        self._prove(first)

    def last_words(self, *, is_complete: bool, is_kept: bool) -> str:
        """What became of the folder, and as the last line the next command to try."""
        words = "\nAll of this happened." if is_complete else "\nHere the demo ends, by your decision."
        if not is_kept:
            return (
                f"{words} Its folder is removed; to keep one and look around in it:\n  assent demo --keep DIR"
            )
        again = "\n".join(f"  {line}" for line in self._folder.entering)
        root, size = self._folder.root, size_text(self._folder.bytes_used())
        return f"{words} The folder stays, with its ledger ({size}; `rm -r {root}`):\n{again}\n  assent show {self._run_id}"

    def _set_the_scene(self) -> None:
        stage, folder = self._stage, self._folder
        stage.say(
            f"A minute with Assent: release {folder.next_version} of {folder.modules} modules of its own, in a copy.\n"
            "Each line behind a `$` is run as it stands and can be typed again; of long\n"
            "answers the lines that matter are shown."
        )
        stage.enter(folder.entering)
        stage.title("a policy, a workflow, and somebody who wants to act")
        stage.run("cat policy.yaml", fold=Fold(0, (("id: a-person-looks-first", 3),)))
        stage.run("cat release.yaml", fold=Fold(0, (("- name: drop_notes", 2),)))
        stage.run(f"python3 ../edits.py . {folder.next_version}")

    def _plan(self) -> str:
        stage = self._stage
        stage.title("planned: what would happen, and who would be asked")
        line = f"assent plan release.yaml version={self._folder.next_version} {INPUTS}"
        output = stage.run(line, fold=Fold(3, (("-# assent ", 2),)))
        found = _PLAN_ID.search(output)
        stage.check("1 approval needed" in output, "the plan asks for no approval")
        if found is None:
            raise failed("the plan has no id")
        return found[0]

    def _refuse_an_agent(self) -> None:
        stage = self._stage
        stage.title("denied: an agent that tries the deletion is refused, on the record")
        line = "assent call io.fs.delete path=notes recursive=true --as agent:helper"
        output = stage.run(line, expect=3, fold=Fold(0, (("error: ", 1),)))
        stage.check("agents-do-not-delete" in output, "the refusal does not name its rule")
        self._tree_is_unchanged_by("a refused call")

    def _stop_at_the_dangerous_step(self, plan_id: str) -> str:
        stage = self._stage
        stage.title("stopped: the run waits where a person has to look")
        output = stage.run(f"assent run {plan_id}", expect=4, fold=Fold(0, (("needs approval", 2),)))
        run_id = self._waiting(output)
        stage.run("assent approvals --diff", fold=Fold(0, (("approval needed", 2), ("expires in", 2))))
        self.facts["first_run"] = run_id
        return run_id

    def _kill_half_way(self, run_id: str) -> None:
        stage = self._stage
        stage.title("approved, and killed half-way, where the variable says")
        half = self._folder.modules // 2
        line = self._approval(run_id)
        stage.run(f"ASSENT_FAILPOINT=effect.after:{half} {line}", expect=KILLED, fold=Fold(1))
        stage.run("assent runs", fold=Fold(0, (("interrupted", 1),)))
        done = self._stamped()
        stage.check(0 < done < self._folder.modules, f"{done} modules were rewritten: that is not half-way")
        self.facts["stamped_when_killed"] = done

    def _resume_and_roll_back(self, run_id: str, before: str) -> None:
        stage = self._stage
        stage.title("resumed; its last step fails, and all of it is rolled back")
        stage.run("rmdir mirror")
        output = stage.run(f"assent resume {run_id}", expect=1, fold=Fold(1, (("FILE_NOT_FOUND", 3),)))
        stage.check("rolled back" in output, "the run was not rolled back")
        stage.check(self._tree("after_rollback") == before, "the rollback left something behind")

    def _run_again(self) -> str:
        stage, version = self._stage, self._folder.next_version
        stage.title("again, with the mirror back: an approval is good for one run only")
        stage.run("mkdir mirror")
        line = f"assent run release.yaml version={version} {INPUTS}"
        output = stage.run(line, expect=4, fold=Fold(0, (("needs approval", 2),)))
        run_id = self._waiting(output)
        output = stage.run(self._approval(run_id), fold=Fold(0, (("outputs ", 1),)))
        stage.check(f'"stamped":{self._folder.modules}' in output, "not every module was rewritten")
        self.facts["second_run"] = run_id
        return run_id

    def _undo(self, run_id: str, before: str) -> None:
        stage = self._stage
        stage.title("undone: a finished run can still be taken back, as one")
        stage.run(f"assent undo {run_id}", fold=Fold(1))
        stage.check(self._tree("after_undo") == before, "the undo left something behind")
        stage.run("assent runs", fold=Fold(0, (("undone", 1),)))

    def _prove(self, run_id: str) -> None:
        stage = self._stage
        stage.title("verified and proved: what recovery used is what an auditor checks")
        stage.run("assent audit verify", fold=Fold(1))
        output = stage.run(f"assent audit log --run {run_id} --kind approval.granted")
        seq = int(output.split()[0])
        stage.run(f"assent audit prove {seq} --output ../approval.proof", fold=Fold(1))
        stage.run("assent audit export ../export", fold=Fold(1))
        stage.run("assent audit verify-proof ../approval.proof --key ../export/ledger.vkey", fold=Fold(1))
        stage.title("tampered with: one byte of a copy is changed, and the entry is named")
        stage.run("cp -r .assent ../tampered")
        stage.run(f"python3 ../flip.py ../tampered/ledger.db {seq}")
        line = "assent audit verify --state ../tampered --key ../export/ledger.vkey"
        output = stage.run(line, expect=6, fold=Fold(2))
        stage.check(f"entry {seq}:" in output, f"verification does not name entry {seq}")
        self.facts["proved_entry"] = seq

    def _waiting(self, output: str) -> str:
        """The run that a command left waiting; the digest of what it asks is kept for the approval."""
        run, digest = _RUN_ID.search(output), _DIGEST.search(output)
        if run is None or digest is None:
            raise failed("the run does not say how it is approved", output=output)
        self._run_id, self._digest = run[0], digest[1]
        return run[0]

    def _approval(self, run_id: str) -> str:
        """The command that approves, once the reader has said so."""
        choice = self._decide()
        if choice == "reject":
            self._stage.run(f"assent reject {run_id} {STEP} --reason 'not today'", expect=0, fold=Fold(6))
        if choice != "approve":
            raise Undecided(choice, run_id)
        return f"assent approve {run_id} {STEP} --digest {self._digest}"

    def _tree(self, name: str) -> str:
        digest = self._stage.run(TREE).split()[0]
        self.facts[f"tree_{name}"] = digest
        return digest

    def _tree_is_unchanged_by(self, what: str) -> None:
        now = self._stage.run(TREE).split()[0]
        self._stage.check(now == self.facts["tree_before"], f"{what} changed something")

    def _stamped(self) -> int:
        line = f"grep -rl '^# assent {self._folder.next_version}' src | wc -l"
        return int(self._stage.run(line))
