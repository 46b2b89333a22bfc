"""`assent audit`: the ledger read, verified, proved, exported and, payload by payload, erased."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from assent.cli._arguments import read_text
from assent.cli._command import command, group
from assent.cli._completion import complete_run
from assent.cli._door import Door
from assent.cli._exit import OK, UNVERIFIED
from assent.cli.record._audit_log import approvals, log
from assent.cli.record._proof import key_text, proved_text, required_key
from assent.cli.runs._drive import drive, read_wait
from assent.cli.runs._run import wait_option
from assent.cli.terminal._files import written_whole
from assent.cli.terminal._line import read_line
from assent.cli.terminal._style import Paint
from assent.errors import AssentError, InputError, Json
from assent.runtime import service
from assent.spec.ids import ERASE_CAPABILITY, plans_apart
from assent.spec.values.json_fields import written
from assent.spec.words.legible import hanging, safe, safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.runtime.service import answers


_NAMED_MAX: Final = 10
"""Runs that a confirmation names."""


@command("verify", short_help="Recompute and check the whole ledger.")
@click.option(
    "--checkpoint", metavar="FILE", help="Against a checkpoint kept elsewhere: also finds a rewritten ledger."
)
@click.option(
    "--key", metavar="KEY", help="The public key, or a file with it; by default that of this ledger."
)
@click.option(
    "--export",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="An export instead of the state.",
)
def verify(door: Door, checkpoint: str | None, key: str | None, folder: Path | None) -> int:
    """Recompute every entry, the tree, every signature, payload and projection. Exit 6 when anything is not as recorded."""
    kept = None if checkpoint is None else read_text(door.cwd / checkpoint, what="the checkpoint")
    if folder is not None:
        if kept is not None:
            raise InputError(
                "USAGE_INVALID", "an export has its own checkpoint", hint="leave `--checkpoint` out"
            )
        report = door.perform(
            service.requests.VerifyExport(folder=str(door.cwd / folder), key=key_text(door, key))
        )
    else:
        report = door.perform(service.requests.VerifyLedger(checkpoint=kept, key=key_text(door, key)))
    door.out.tell(report, lambda: verify_text(report, paint=door.out.paint()))
    return OK if report.ok else UNVERIFIED


def verify_text(report: answers.Verified, *, paint: Paint) -> str:
    """What was checked, and first of all what is wrong."""
    size = report.size
    if report.ok:
        lines = [f"{paint('verified', 'green')}  {size} entries, root {report.root}"]
    else:
        lines = [f"{paint('NOT VERIFIED', 'red')}"]
        for fault in report.faults:
            seq, last = fault.seq, fault.last
            place = (
                ""
                if seq is None
                else f"entry {seq}"
                if last in (None, seq)
                else f"between entries {seq} and {last}"
            )
            lines.append(f"  {place + ': ' if place else ''}{hanging(fault.message)}   [{fault.code}]")
        lines.append(f"  entries as recorded, from the first on: {size}")
    kept = report.kept_size
    facts = [
        ("origin", report.origin),
        ("checkpoints", report.checkpoints),
        ("signed", f"{report.signed} entries"),
        ("unsigned", _tail_text(report)),
        ("kept elsewhere", None if kept is None else f"{kept} entries are the same"),
        ("payloads", report.payloads),
        ("blobs", report.blobs),
        ("erased", report.erased or None),
        ("rows", report.rows),
    ]
    told = [(name, value) for name, value in facts if value is not None]
    lines += [paint(f"  {name:<15} {safe_line(str(value))}", "dim") for name, value in told]
    return "\n".join(lines)


def _tail_text(report: answers.Verified) -> str | None:
    """What is known of the entries that no checkpoint covers."""
    newer = report.unsigned
    if not newer:
        return None
    match report.tail.authenticated:
        case True:
            return f"{newer} newer entries: the ledger's key vouches for them; sealed by the next owner"
        case None:
            return f"{newer} newer entries: not checked here"
        case _:
            return f"{newer} newer entries"


@command("prove", short_help="Prove that an entry is in the ledger.")
@click.argument("seq", type=click.IntRange(min=0))
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the proof there.")
def prove(door: Door, seq: int, output: Path | None) -> None:
    """Give a proof that entry SEQ is in the ledger, which anybody can check offline with the public key alone."""
    proof = door.perform(service.requests.Prove(seq=seq)).proof
    try:
        key = door.perform(service.requests.PublicKey()).key
    except AssentError:
        key = "KEY"  # A proof needs no key to be made; it may lie where only the runtime may read it.
    if output is not None:
        written_whole(door.cwd / output, [proof.encode()])
        door.out.note(f"wrote {output}")
    # Who checks it needs no state of ours, so neither does the command.
    check = f"assent audit verify-proof {shlex.quote(str(output or 'FILE'))} --key {shlex.quote(key)}"
    door.out.note(f"check it anywhere: {check}")
    if door.out.is_json:
        door.out.object({"seq": seq, "proof": proof})
    elif output is None:
        door.out.answer(proof.rstrip("\n"))


@command("checkpoint", watches=False, short_help="Print the newest signed checkpoint.")
def checkpoint(door: Door) -> None:
    """Print the newest signed checkpoint: what to keep elsewhere, for `audit verify --checkpoint`."""
    found = door.perform(service.requests.Checkpoint())
    door.out.tell(found, lambda: found.note.rstrip("\n"))


@command("tile", watches=False, short_help="Write a tile of the ledger's tree, or of its entries.")
@click.argument("place")
def tile(door: Door, place: str) -> None:
    """Write the tile at PLACE as tlog-tiles names it: `0/x001/067.p/8`, `entries/000`. Only what a checkpoint covers is there."""
    found = door.perform(service.requests.Tile(place=place))
    if door.out.is_json:
        door.out.object(found)
    else:
        door.out.data([found.data])


@command("verify-proof", watches=False, short_help="Check a proof, offline.")
@click.argument("file")
@click.option("--key", metavar="KEY", help="The ledger's public key, or a file with it (required).")
def verify_proof(door: Door, file: str, key: str | None) -> None:
    """Check the proof in FILE, of an entry, a finding or a chunk, with the public key, and print what it proves.

    No state is needed.
    """
    proof = read_text(door.cwd / file, what="the proof")
    proved = door.perform(service.requests.VerifyProof(proof=proof, key=required_key(door, key)))
    if door.out.is_json:
        door.out.object(proved)
        return
    door.out.answer(proved_text(door, proved))
    if proved.chunk:
        one = proved.chunk
        door.out.answer(
            f"{safe_line(one.path)}:{one.line}-{one.end_line}  {safe_line(one.symbol)}".rstrip()
            + f"\n  chunk {one.number} of {one.chunks} in the repository `{safe_line(one.repository)}` of"
            f" `{safe_line(one.tenant)}`, generation {one.generation}\n  digest {one.digest}\n  root {one.root}"
        )
    if proved.finding:
        door.out.answer(safe(written(proved.finding)))
        door.out.note(
            "a record's text in the file is not proved: the tool's output shows it, whose SHA-256 the finding has"
        )
    door.out.answer(safe(written(proved.entry)))


@command("export", short_help="Write the ledger out, verifiable elsewhere.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--payloads", is_flag=True, help="With inputs, outputs, errors and previews, as they are stored."
)
def export(door: Door, *, folder: Path, payloads: bool) -> None:
    """Write the entries, checkpoints and the public key to DIR; `assent audit verify --export DIR` checks them anywhere."""
    written = door.perform(service.requests.Export(folder=str(folder), base=str(door.cwd), payloads=payloads))
    door.out.tell(written, lambda: f"wrote {folder}")
    if written.payloads is not None:
        door.out.note(
            f"it holds {count_text(written.payloads, 'payload')} as stored: secrets that Assent handed out are `***`,"
            " and everything else is there, contents of files too: give it to nobody who may not see that"
        )
    door.out.note(f"check it: {door.command('audit', 'verify', '--export', str(folder))}")


@command("erase", short_help="Erase what finished runs, and plans never run, hold.")
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run)
@wait_option
def erase(door: Door, run_ids: tuple[str, ...], wait: str | None) -> int:
    """Erase the inputs, outputs and pre-images of finished RUNs for good. The ledger still verifies; they can't be undone.

    The id of a plan that was never run may stand for a RUN: what it has read and its file are erased.

    It is a call of `assent.erase`, which is CRITICAL: a run of its own, that the policy decides about, with one question.
    Without a terminal `--yes` says that it is meant; an approval is needed all the same where the policy asks for one.
    """
    wait_ms = read_wait(wait)
    request = service.requests.Erase(runs=run_ids)
    return drive(door, request, wait_ms=wait_ms) if confirmed(door, request) else OK


def confirmed(door: Door, request: service.requests.Erase) -> bool:
    """Whether erasing is meant: by `--yes`, by whoever the policy has asked anyway, or by a person who is asked here."""
    if not door.flags.yes and not door.can_ask:
        raise InputError("USAGE_INVALID", "erasing for good has to be confirmed", hint="add `--yes`")
    if door.flags.yes or _is_asked_about(door, request.runs):
        return True
    named = ", ".join(map(safe_line, request.runs[:_NAMED_MAX]))
    more = f" and {len(request.runs) - _NAMED_MAX} more" if len(request.runs) > _NAMED_MAX else ""
    question = f"erase {named}{more} for good, which then can't be undone any more?"
    if (read_line(f"{question} [y/N]: ") or "").strip().lower() in ("y", "yes"):
        return True
    door.out.note("nothing was erased")
    return False


def _is_asked_about(door: Door, runs: tuple[str, ...]) -> bool:
    """Whether the policy has somebody asked, so that nobody need be asked twice."""
    named, plans = plans_apart(runs)
    parameters: dict[str, Json] = {"runs": [*named], "plans": [*plans]}
    asked = service.requests.ExplainPolicy(capability=ERASE_CAPABILITY, parameters=parameters)
    return door.perform(asked).decision == "REQUIRE_APPROVAL"


@command("accept", short_help="Take entries as they are that nothing vouches for.")
@click.option(
    "--from", "start", type=click.IntRange(min=0), required=True, metavar="SEQ", help="The first of them."
)
def accept(door: Door, start: int) -> int:
    """Take the ledger's last entries as they are, from SEQ on, which `LEDGER_TAIL_CHANGED` names. Everything in them is in doubt.

    A person must look at each step that they speak of, and answer every question again. Who accepted them is on the record.
    In a terminal SEQ has to be typed once more; `--yes` confirms.
    """
    if not door.flags.yes:
        if not door.can_ask:
            raise InputError(
                "USAGE_INVALID", "accepting entries without proof has to be confirmed", hint="add `--yes`"
            )
        door.out.note(f"nothing shows who wrote the entries from {start} on: look with `assent audit log`")
        if (read_line(f"type {start} to accept them as they are: ") or "").strip() != str(start):
            door.out.note("nothing was accepted")
            return OK
    result = door.perform(service.requests.AcceptTail(start=start))
    if door.out.is_json:
        door.out.object(result)
        return OK
    door.out.answer(f"accepted {result.entries} entries from {start} on, in doubt")
    for run in result.runs:
        door.out.answer(f"  look at {run}: {door.command('show', run)}")
    return OK


audit = group(
    "audit",
    log,
    approvals,
    verify,
    accept,
    prove,
    checkpoint,
    tile,
    verify_proof,
    export,
    erase,
    help="Read, verify, prove and export the ledger.",
)
