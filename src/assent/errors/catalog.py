"""Every error code, with what it means and what to do: the source of `assent explain CODE` and of `docs/errors.md`.

A code is added here in the same change that first raises it; a test holds the two together.
"""

from __future__ import annotations

from assent.errors._app_codes import APP_CODES
from assent.errors._archive_codes import ARCHIVE_CODES
from assent.errors._call_codes import CALL_CODES
from assent.errors._data_codes import DATA_CODES
from assent.errors._declaration_codes import DECLARATION_CODES
from assent.errors._exec_codes import EXEC_CODES
from assent.errors._explanation import Explanation
from assent.errors._git_codes import GIT_CODES
from assent.errors._manifest_codes import MANIFEST_CODES
from assent.errors._net_codes import NET_CODES
from assent.errors._notify_codes import NOTIFY_CODES
from assent.errors._plugin_codes import PLUGIN_CODES
from assent.errors._replay_codes import REPLAY_CODES
from assent.errors._run_codes import RUN_CODES
from assent.errors._sandbox_codes import SANDBOX_CODES
from assent.errors._transform_codes import TRANSFORM_CODES
from assent.errors._version_codes import VERSION_CODES

CATALOG: dict[str, Explanation] = {
    # -- law: capability specs, principals, ids --------------------------------------------------------------
    "SPEC_INVALID": Explanation(
        "A capability, workflow or principal does not have the shape the law asks for.",
        "Mend the field that the path names.",
    ),
    "RISK_INCONSISTENT": Explanation(
        "A capability claims a risk that its side effects forbid; all violations are listed.",
        "Raise the risk, make the effect reversible, or give it a compensation.",
    ),
    "COMPENSATION_INVALID": Explanation(
        "A capability claims a compensation without a strategy, or names one that does not exist or is irreversible.",
        "Name a strategy and a registered, reversible capability, or claim no compensation.",
    ),
    # -- law: documents --------------------------------------------------------------------------------------
    "DOCUMENT_SYNTAX": Explanation(
        "A YAML file cannot be read: its syntax is wrong, it is not UTF-8, or it holds several documents.",
        "Mend the place that the path names.",
    ),
    "DOCUMENT_TOO_LARGE": Explanation(
        "A file is larger than a document may be; it was not parsed.",
        "Split it, or hand large data in as a run input.",
    ),
    "DOCUMENT_TOO_COMPLEX": Explanation(
        "A document is nested too deeply or, once its aliases are expanded, has too many keys and values.",
        "Flatten it, or use fewer aliases.",
    ),
    "DOCUMENT_VALUE": Explanation(
        "A document holds what JSON cannot: a key that is not a string, a tag, an infinite or too large number.",
        "Put the value in quotes to keep it as text.",
    ),
    "DUPLICATE_KEY": Explanation(
        "One mapping says the same key twice, and readers disagree about which of the two counts.",
        "Keep one; both places are named.",
    ),
    # -- expressions and policy ------------------------------------------------------------------------------
    "EXPRESSION_INVALID": Explanation(
        "An expression is not CEL, calls a function that does not exist, or is larger than allowed.",
        "Mend the expression at the character that the message names.",
    ),
    "EXPRESSION_FAILED": Explanation(
        "An expression could not be evaluated on the data it met; in a policy that denies.",
        "Compare the types it expects with the data, and convert with `int(…)`, `double(…)` or `string(…)`.",
    ),
    "REFERENCE_MISSING": Explanation(
        "An expression reads a name that is not there.",
        "Check the spelling, or ask with `has(…)` first and say what its absence means.",
    ),
    "POLICY_MISSING": Explanation(
        "The configured policy file does not exist; nothing runs without it.",
        "Restore the file, or take the `policy` line out of `assent.toml` to use the built-in policy.",
    ),
    "POLICY_INVALID": Explanation(
        "The policy file does not have the shape of a policy; nothing runs until it has.",
        "Mend the place that the path names; `assent policy check FILE` shows everything at once.",
    ),
    "POLICY_CASES_INVALID": Explanation(
        "The file of policy cases does not have the shape that `assent policy test` reads.",
        "Mend the place that the path names.",
    ),
    "POLICY_PERMISSIONS": Explanation(
        "The policy file can be changed by its group or by everybody.",
        "Take the permission away: `chmod go-w FILE`.",
    ),
    "POLICY_DENIED": Explanation(
        "A rule of the policy, or its default, denied the action.",
        "`assent policy explain CAPABILITY` shows which rule decided and what would have to change.",
    ),
    "POLICY_ERROR": Explanation(
        "A rule could not be evaluated, so the action was denied: what cannot be decided is not allowed.",
        "The reason names the rule and the fault; mend the rule or the data.",
    ),
    # -- law: workflows and their inputs ---------------------------------------------------------------------
    "UNKNOWN_KEY": Explanation(
        "A document has a key that means nothing there, often a misspelt one.",
        "Correct or remove it; the hint names what is allowed.",
    ),
    "MISSING_KEY": Explanation(
        "A document lacks a key that it must have.",
        "Add the key that the message names.",
    ),
    "WRONG_TYPE": Explanation(
        "A value of a document has another type than its key asks for.",
        "Write it as the message says.",
    ),
    "VALUE_INVALID": Explanation(
        "A value of a document has the right type but is not among those allowed.",
        "Choose one that the hint or message allows.",
    ),
    "NAME_INVALID": Explanation(
        "A step or input has a name that expressions could not use.",
        "Use lower-case letters, digits and `_`; the hint proposes a name.",
    ),
    "DUPLICATE_STEP": Explanation(
        "Two steps of a workflow have the same name.",
        "Rename one of them; both places are named.",
    ),
    "DEPENDENCY_UNKNOWN": Explanation(
        "A step depends on one that does not exist.",
        "Correct the name in `depends_on`.",
    ),
    "CYCLE": Explanation(
        "Steps of a workflow wait for each other, so none of them could start.",
        "Remove one of the dependencies that the message lists.",
    ),
    "REFERENCE_UNKNOWN": Explanation(
        "A reference names an input, step or variable that does not exist.",
        "Correct it; expressions can use `inputs.NAME` and `steps.NAME.output`.",
    ),
    "REFERENCE_FORWARD": Explanation(
        "A reference reads the output of a step that need not have run by then.",
        "Add that step to `depends_on`, or move the step that refers to it.",
    ),
    "WORKFLOW_NESTED": Explanation(
        "A workflow contains itself, is nested too deeply, or names a file that can't be read here.",
        "Flatten it, or put the inner workflow in place.",
    ),
    "WORKFLOW_TOO_LARGE": Explanation(
        "A workflow has more steps, dependencies, references or text than one run may.",
        "Split it into several workflows.",
    ),
    "RISK_LOWERED": Explanation(
        "A step claims less risk than its capability has. A step may raise the risk, never lower it.",
        "Leave `risk_level` out, or raise it.",
    ),
    "INPUT_UNKNOWN": Explanation(
        "A value was given for an input or parameter that does not exist.",
        "Correct its name; the hint names the nearest.",
    ),
    "INPUT_MISSING": Explanation(
        "A required input or parameter was not given.",
        "Give it, e.g. as `key=value`.",
    ),
    "INPUT_INVALID": Explanation(
        "A value does not have the type or form that its input or parameter declares.",
        "Give a value that fits; `capability show` prints what is expected.",
    ),
    # -- registry --------------------------------------------------------------------------------------------
    "CAPABILITY_UNKNOWN": Explanation(
        "No capability, or no such version of it, is registered under this reference.",
        "List what exists with `assent capability list`.",
    ),
    "CAPABILITY_DUPLICATE": Explanation(
        "Two registrations claim the same capability id and version.",
        "Give one of them another id or version; the message names both origins.",
    ),
    "REGISTRY_FULL": Explanation(
        "More capabilities are registered than a registry holds.",
        "Load fewer plugins.",
    ),
    "REGISTRY_SEALED": Explanation(
        "A capability was registered after the registry was sealed for a run.",
        "Register everything before the first run.",
    ),
    # -- canonical JSON and ledger leaves --------------------------------------------------------------------
    "JSON_INVALID": Explanation(
        "Data can't be written as, or read from, JSON in exactly one way: NaN, a duplicate key, an integer beyond 2^53, "
        "half of a surrogate pair, a byte-order mark, very deep nesting.",
        "Change the value that the path names; write large numbers as strings.",
    ),
    "LEAF_PROFILE": Explanation(
        "A ledger leaf may hold printable ASCII, integers within 2^53, booleans, null, lists and objects only.",
        "This is a fault of the component that wrote the event: its free text belongs in a payload.",
    ),
    # -- signed notes, checkpoints, proofs, keys -------------------------------------------------------------
    "NOTE_MALFORMED": Explanation(
        "A text is not a signed note: it needs a text, an empty line and signature lines, each exactly in its form.",
        "Take an unchanged copy of the file; line endings, spaces and the last newline count.",
    ),
    "SIGNATURE_INVALID": Explanation(
        "A signature bears the name of a known key but does not fit the text.",
        "Treat the text as changed or forged, and compare it with a copy kept elsewhere.",
    ),
    "SIGNATURE_MISSING": Explanation(
        "None of the known keys has signed this text.",
        "Check that the key given belongs to the ledger in question.",
    ),
    "CHECKPOINT_MALFORMED": Explanation(
        "A signed text is not a checkpoint: origin, size and root hash on three lines.",
        "Take an unchanged copy of the checkpoint.",
    ),
    "PROOF_MALFORMED": Explanation(
        "A file is not an inclusion proof of the form `c2sp.org/tlog-proof@v1`.",
        "Take an unchanged copy, or make a new one with `assent audit prove SEQ`.",
    ),
    "PROOF_INVALID": Explanation(
        "An inclusion proof does not lead from the entry to the signed root.",
        "The entry, its number or the proof was changed: make a new proof from the ledger and compare.",
    ),
    "ENTRY_UNKNOWN": Explanation(
        "The ledger has no entry with this number.",
        "List the entries with `assent audit log`; they are counted from 0.",
    ),
    "ENTRY_UNSIGNED": Explanation(
        "No signed checkpoint covers this entry yet, so there is nothing to prove it against.",
        "Wait for the run to end, or let the next command that writes open the ledger: both sign a checkpoint.",
    ),
    "EXPORT_EXISTS": Explanation(
        "The folder to export to exists; an export never overwrites anything.",
        "Name a folder that does not exist.",
    ),
    "EXPORT_FAILED": Explanation(
        "The export could not be written.",
        "Mend what the message names, such as a full disk, and export again.",
    ),
    "EXPORT_INVALID": Explanation(
        "A folder is not an export of a ledger.",
        "Name the folder that `assent audit export DIR` wrote.",
    ),
    "TRUST_POLICY_INVALID": Explanation(
        "A text that says which logs and witnesses to trust has a line that can't be read.",
        "Mend the line that the path names; it begins with `log`, `witness`, `group` or `quorum`.",
    ),
    "QUORUM_MISSING": Explanation(
        "Fewer witnesses have cosigned a checkpoint than the trust policy asks for.",
        "Have it cosigned by more witnesses, or find out why they refused: they may have seen another history.",
    ),
    "KEY_INVALID": Explanation(
        "A text or file is not a key, is a key of a kind that can't be used here, or its id does not fit.",
        "Copy the whole key line again, or restore the key file from a backup.",
    ),
    "KEY_PERMISSIONS": Explanation(
        "The ledger's private key can be read by others, who could sign in its name.",
        "If nobody has read it, `chmod 600` the file; otherwise start a new ledger with a new key.",
    ),
    "KEY_UNREADABLE": Explanation(
        "The ledger's private key can't be read or created: a folder is missing, full, or belongs to somebody else.",
        "Mend what the message names, or configure another place for the key.",
    ),
    # -- files --------------------------------------------------------------------------------------------
    "WORKSPACE_INVALID": Explanation(
        "The workspace is no folder that can be opened.",
        "Name an existing folder with `--workspace DIR`, and check its permissions.",
    ),
    "PATH_ESCAPES": Explanation(
        "A path is absolute, contains `..`, or leads through a symbolic link, so it may lead out of the workspace.",
        "Name the place relative to the workspace's root; links are never followed.",
    ),
    "PATH_INVALID": Explanation(
        "A path is empty, too long, contains a NUL character, or names a place where this cannot be done.",
        "Mend the path; the message says what is wrong with it.",
    ),
    "PATH_PROTECTED": Explanation(
        "A path reaches a control file (the state directory, `assent.toml`, a policy or a lock file, under whatever name), or"
        " what decides which programs git starts: `.git` as a whole, its configuration, its hooks.",
        "No policy can allow this. A person edits control files by hand.",
    ),
    "FILE_NOT_FOUND": Explanation(
        "Nothing stands at the path, or a folder on the way to it is missing.",
        "Check the path; `create_dirs` or `parents` make missing folders.",
    ),
    "FILE_EXISTS": Explanation(
        "Something stands at the path already, and the call was not told to replace it.",
        "Pass `overwrite: true` or `exist_ok: true`, or choose another path. A folder is never replaced: delete it first.",
    ),
    "NOT_A_DIRECTORY": Explanation(
        "A path goes through, or ends at, something that is no directory.",
        "Check the path.",
    ),
    "IS_A_DIRECTORY": Explanation(
        "A directory stands where a file was asked for.",
        "Name a file in it, or use `io.fs.list_dir`.",
    ),
    "DIRECTORY_NOT_EMPTY": Explanation(
        "A directory was to be deleted and still holds something.",
        "Pass `recursive: true` to delete it with everything in it.",
    ),
    "FILE_KIND_UNSUPPORTED": Explanation(
        "A pipe, socket or device: nothing that can be read, kept and restored.",
        "Leave it out, or handle it by other means.",
    ),
    "FILE_HARD_LINKED": Explanation(
        "A file has several names (hard links). Undo would restore its bytes but not the link.",
        "Break the link first, or give the step `undo: none`, which makes it CRITICAL.",
    ),
    "FILE_TOO_LARGE": Explanation(
        "A file is larger than what may be returned as text, or than the system allows.",
        "Use `io.fs.hash_file`, or work on a smaller file.",
    ),
    "FILE_CHANGED": Explanation(
        "Somebody else changed a file between the moment it was looked at and the moment it was to be changed.",
        "Look at the file, then run the step again: it is prepared afresh.",
    ),
    "FILE_FAILED": Explanation(
        "The operating system refused something with a file, for the reason that the message gives.",
        "Mend the cause, then try again; the details hold the system's own code.",
    ),
    "TREE_TOO_LARGE": Explanation(
        "A folder holds more entries than one call may act on.",
        "Act on the folders in it one by one.",
    ),
    "PRE_IMAGE_TOO_LARGE": Explanation(
        "What the call would change is larger than what may be kept for an undo.",
        "Raise `max_pre_image_bytes` in `assent.toml`, or give the step `undo: none`, which makes it CRITICAL.",
    ),
    "PREVIEW_TOO_LARGE": Explanation(
        "A change is too large to be tried out in memory, so it cannot be previewed or rehearsed.",
        "Split it into smaller steps.",
    ),
    "ACCESS_DENIED": Explanation(
        "The operating system does not let this user touch the file or its folder.",
        "Check the owner and the permissions of both.",
    ),
    "DISK_FULL": Explanation(
        "The disk, or this user's share of it, is full. Nothing was changed.",
        "Free some space, then try again.",
    ),
    "OTHER_DEVICE": Explanation(
        "Source and destination lie on different file systems, so a move could not be atomic.",
        "Copy it, then delete the original.",
    ),
    "ENCODING_UNKNOWN": Explanation(
        "No text encoding has this name.",
        "Name one such as `utf-8`, `utf-16` or `latin-1`.",
    ),
    "ENCODING_FAILED": Explanation(
        "The content cannot be written or read in this encoding.",
        "Name another encoding, or treat the content as bytes.",
    ),
    "CONTENT_INVALID": Explanation(
        "The content of `io.fs.write_bytes` is no base64.",
        "Encode it as RFC 4648 says: standard alphabet, padded with `=`.",
    ),
    "COMPENSATION_CONFLICT": Explanation(
        "A step cannot be taken back: the world is no longer as the step left it. Details show both states.",
        "Restore or move the foreign change and run `assent resume`, or settle the step with `assent resolve`.",
    ),
    "UNDO_IMPOSSIBLE": Explanation(
        "A step cannot be taken back because nothing was kept for it (`undo: none`) or it has no compensation.",
        "Take back the rest with `--partial`, and this step by other means.",
    ),
    "CALL_CANCELLED": Explanation(
        "A call was cancelled before it had an effect.",
        "Run it again if it is still wanted.",
    ),
    # -- system capabilities ------------------------------------------------------------------------------
    "STEP_FAILED_ON_PURPOSE": Explanation(
        "The capability `sys.fail` did what it is for.",
        "Nothing: it is used in demonstrations and tests.",
    ),
    # -- the record's storage and its owner ------------------------------------------------------------------
    "STALE_WRITER": Explanation(
        "Somebody else appended to the run in the meantime; this change was refused and nothing of it was kept.",
        "Look at the run and decide again.",
    ),
    "RECORD_CORRUPT": Explanation(
        "What is stored is not what was recorded. Nothing more is done with it, because undo and recovery would act on it.",
        "Run `assent audit verify` to see what is affected, and restore the state directory from a backup.",
    ),
    "STORAGE_FAILED": Explanation(
        "The disk under the state directory failed. Whatever was acknowledged before is kept.",
        "Check the disk and its file system, then start again: the next owner reads what is there.",
    ),
    "STORAGE_BUSY": Explanation(
        "Another program keeps the ledger's file to itself, for example a database tool with an open transaction.",
        "End that program and try again.",
    ),
    "STATE_NEWER": Explanation(
        "The state directory was written by a newer version of Assent. The file was not touched.",
        "Install that version or a later one.",
    ),
    "STATE_OLDER": Explanation(
        "The state directory was written by an older version, and a command that only reads may not bring it up to date.",
        "Run a command that writes, such as `assent resume`.",
    ),
    "STATE_FOREIGN": Explanation(
        "The file in the ledger's place was not made by Assent. It was not touched.",
        "Move it away, or choose another state directory with `--state`.",
    ),
    "STATE_UNSAFE": Explanation(
        "The state directory belongs to somebody else or can be entered by others, so that its record would prove nothing.",
        "Make it yours alone: `chmod 700` on the folder that the message names.",
    ),
    "STATE_MISSING": Explanation(
        "Nothing was recorded in this state directory yet.",
        "Run something first, or check `--state` and `--workspace`.",
    ),
    "KEY_MISSING": Explanation(
        "The key that signs this ledger is not in its place. No new one is made: its signatures would look forged.",
        "Put the ledger's own key back, or begin a new ledger with another `--state`.",
    ),
    "KEY_FOREIGN": Explanation(
        "The signing key is not the one that signed this ledger so far; its signatures would look forged.",
        "Put the ledger's own key back in its place, or begin a new ledger with another `--state`.",
    ),
    "ERASE_UNFINISHED": Explanation(
        "The payloads are erased from the record, but a reader keeps a log file from being emptied that may still hold them.",
        "End other commands that read this state and run `assent audit erase` again.",
    ),
    "OWNER_LOST": Explanation(
        "The process that owned the state directory ended while it worked on this request.",
        "See how far it came with `assent runs`; `assent resume` goes on.",
    ),
    "FRAME_TOO_LARGE": Explanation(
        "A request or an answer is larger than what the state's owner and its clients exchange.",
        "Pass large contents as files of the workspace.",
    ),
    "FRAME_INVALID": Explanation(
        "The other end of the owner's socket sent something that is no message of Assent.",
        "Check that both processes run the same version.",
    ),
    "PEER_REFUSED": Explanation(
        "The process at the other end of the owner's socket belongs to another user of this machine.",
        "Run the command as the user who owns the state directory.",
    ),
    "JOURNAL_CLOSED": Explanation(
        "Something was appended after the journal was closed. This is a fault of Assent or of the program around it.",
        "Keep the runtime open as long as runs go on; otherwise report it.",
    ),
    "PAYLOAD_UNBOUND": Explanation(
        "A payload was to be stored that no event speaks of. This is a fault of Assent.",
        "Report it, with the command that led to it.",
    ),
    "PROJECTION_UNKNOWN": Explanation(
        "A table or column was asked for that the record does not have. This is a fault of Assent or of a plugin.",
        "Report it, with the command that led to it.",
    ),
    "OWNERSHIP_MISUSED": Explanation(
        "Requests were to be taken by a process that does not own the state directory. This is a fault of Assent.",
        "Report it, with the command that led to it.",
    ),
    # -- what `audit verify` finds --------------------------------------------------------------------------------------
    "STORAGE_DAMAGED": Explanation(
        "The ledger's file itself is damaged, or has other tables, indexes or triggers than ours.",
        "Keep a copy of the file as it is, and go on from a backup; `audit verify` says which entries can still be read.",
    ),
    "ENTRY_MISSING": Explanation(
        "Entries are gone from the ledger: a later entry, its head or a signed checkpoint speaks of them.",
        "Treat the ledger as tampered with or rolled back; compare it with a copy kept elsewhere.",
    ),
    "ENTRY_CHANGED": Explanation(
        "The bytes of an entry are not the ones that were hashed when it was appended.",
        "Treat the entry, and what was concluded from it, as changed; compare it with a copy kept elsewhere.",
    ),
    "ENTRY_INVALID": Explanation(
        "The bytes of an entry are not how an entry is written, or it is filed under another number or run than its own.",
        "Treat the entry as changed or forged; compare it with a copy kept elsewhere.",
    ),
    "ENTRY_OUT_OF_ORDER": Explanation(
        "The events of a run are not numbered one after the other.",
        "Treat the ledger as tampered with: entries were dropped, doubled or put in.",
    ),
    "TREE_MISMATCH": Explanation(
        "The tree over the entries is not the one that was signed: one of the entries named was changed, with its hash.",
        "Treat all entries of the range as changed; compare them with a copy kept elsewhere.",
    ),
    "CHECKPOINT_INVALID": Explanation(
        "A stored checkpoint is not signed with the ledger's key, or is not the one that was signed for its size.",
        "Check that the key is this ledger's; if it is, somebody changed the checkpoint or put in another ledger.",
    ),
    "CHECKPOINT_MISSING": Explanation(
        "Entries that are always signed when they are recorded (the end of a run, an erasure) have no checkpoint over them.",
        "Treat these entries as forged, or changed after the checkpoint over them was removed.",
    ),
    "HISTORY_REWRITTEN": Explanation(
        "The ledger is consistent in itself, but it is not the one that the checkpoint kept elsewhere was signed for.",
        "Somebody with the signing key, or with another ledger, replaced the history. Trust the kept checkpoint.",
    ),
    "PAYLOAD_CHANGED": Explanation(
        "A stored input, output or error does not match the commitment in its entry.",
        "Do not use it; restore it from a backup. The entry itself is not affected.",
    ),
    "PAYLOAD_MISSING": Explanation(
        "A payload that an entry binds is gone, and no entry says that it was erased.",
        "Restore it from a backup. Erasing is done with `assent audit erase RUN`, which leaves an entry.",
    ),
    "PAYLOAD_FOREIGN": Explanation(
        "A payload is stored that no entry binds, that was erased, or that is filed under another entry than its own.",
        "Treat it as put there by somebody; nothing in Assent reads it.",
    ),
    "BLOB_REF_FOREIGN": Explanation(
        "A pre-image is kept for a payload that does not exist or does not speak of it.",
        "Treat the reference as changed; undo checks the pre-image itself before it uses it.",
    ),
    "PROJECTION_MISMATCH": Explanation(
        "A row that is shown (a run, a step, an approval) is not what the entries say.",
        "The entries are not affected: trust `assent audit log`; the rows can be rebuilt from it.",
    ),
    # -- the door: usage, files, configuration, identity -----------------------------------------------------------------
    "USAGE_INVALID": Explanation(
        "The command line is not one that the command understands.",
        "`assent COMMAND --help` shows what it takes.",
    ),
    "ANSWER_LOST": Explanation(
        "What a command wrote to stdout could not be kept, as in a file on a full disk. What the command did stands.",
        "Make room, or write somewhere else, and look with `assent runs` before doing it again.",
    ),
    "ARGUMENT_INVALID": Explanation(
        "A `name=value` on the command line has another shape, is said twice, or holds JSON that is none.",
        "Write `name=value`, `name:=JSON` or `name=@FILE`, each name once.",
    ),
    "FILE_MISSING": Explanation(
        "A file that the command was given does not exist.",
        "Check the path; it is relative to the current folder, inside a workflow to the workflow's own.",
    ),
    "FILE_UNREADABLE": Explanation(
        "A file that the command was given can't be read: permissions, size, or it is not UTF-8.",
        "Mend what the message names.",
    ),
    "FILE_UNWRITABLE": Explanation(
        "A file that the command was asked to write can't be written.",
        "Check the folder, its permissions and the space left.",
    ),
    "CONFIG_INVALID": Explanation(
        "`assent.toml`, the user's `config.toml` or an `ASSENT_` variable does not have the shape of a configuration.",
        "Mend the place that the path names; `assent doctor` shows what holds.",
    ),
    "WORKSPACE_MISSING": Explanation(
        "The folder that was named as the workspace does not exist.",
        "Create it, or name another with `--workspace`.",
    ),
    "WORKSPACE_UNUSABLE": Explanation(
        "The workspace can't be set up: its folder can't be written.",
        "Mend the permissions that the message names.",
    ),
    "INIT_EXISTS": Explanation(
        "`assent init` found a file of its own already there and wrote nothing.",
        "Edit the file, or move it away first.",
    ),
    "STATE_PERMISSIONS": Explanation(
        "Others may enter the state directory, which holds inputs, outputs and the content of files.",
        "`chmod 700` the directory.",
    ),
    "STATE_UNUSABLE": Explanation(
        "The state directory can't be made or looked at.",
        "Mend what the message names, or keep the state elsewhere with `--state`.",
    ),
    "STATE_OWNED": Explanation(
        "Another process owns the state directory and can't be reached, so the command could not be handed to it.",
        "Wait for it, end it, or give this one a state of its own with `--state`.",
    ),
    "RUNTIME_DIR_UNSAFE": Explanation(
        "The folder for the owner's socket belongs to somebody else, or others may enter it.",
        "Remove the folder that the path names; it is made again.",
    ),
    "IDENTITY_REFUSED": Explanation(
        "The process acts under a name that its account does not have, and the workspace asks for proof (`[identity] strict`).",
        "Leave `--as` out, or map the name to the account's user id in `assent.toml`.",
    ),
    "DEMO_FOLDER": Explanation(
        "The folder that was named for the demo is there already and holds something; nothing was written.",
        "Name a new folder with `--keep DIR`, or leave it out.",
    ),
    "DEMO_FAILED": Explanation(
        "A command of the demo did not end as the demo says; what it printed stands above, and its folder is kept.",
        "Please report it with what was printed.",
    ),
    **APP_CODES,
    **ARCHIVE_CODES,
    **DATA_CODES,
    **DECLARATION_CODES,
    **CALL_CODES,
    **GIT_CODES,
    **MANIFEST_CODES,
    **EXEC_CODES,
    **NET_CODES,
    **NOTIFY_CODES,
    **REPLAY_CODES,
    **PLUGIN_CODES,
    **RUN_CODES,
    **SANDBOX_CODES,
    **TRANSFORM_CODES,
    **VERSION_CODES,
    "INTERNAL_ERROR": Explanation(
        "A fault of Assent itself; the traceback is in the log file that the message names.",
        "Please report it with that file. Runs that were under way can be resumed.",
    ),
    # -- calls: handlers and what goes through them ------------------------------------------------------------------------
    # -- runs: how steps and runs end ------------------------------------------------------------------------------------------
    "RUN_AMBIGUOUS": Explanation("The beginning of an id fits several runs.", "Write more of the id."),
    # -- approval, undo, resolution --------------------------------------------------------------------------------------------
    # -- plans and the runtime -------------------------------------------------------------------------------------------------
}

__all__ = ["CATALOG", "Explanation"]
