"""Everything that can be asked of Assent, as one struct for each operation; what it is answered with is its type argument.

A door makes one of these from what it was told and hands it to `service.perform`; on the owner's socket it travels as JSON, with
its tag under `op`. Nothing here imports anything that costs time: a command that only reads pays for no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar, Union

import msgspec

from assent.errors import InputError
from assent.runtime.service import answers
from assent.spec.scopes import UNSAID
from assent.spec.states import PRIORITY, PRIORITY_MAX, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assent.errors import Json
    from assent.runtime.settings.effective import Settings
    from assent.spec.principal import Principal
else:
    Json = Any  # msgspec has no recursive types: what stands here is whatever JSON was given

A = TypeVar("A")

OnProgress: TypeAlias = "Callable[[dict[str, Json]], None]"
"""Is told what happens while a request is carried out."""


class Asker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asks: a principal, whether it is merely asserted (`--as`), and what vouches for that.

    Whoever takes a request over a wire puts in what vouches; what the other end says of itself there is not believed.
    """

    principal: str
    asserted: bool = False
    os_uid: int | None = None
    """The account, as the operating system names it."""
    identified_by: str | None = None
    """What else says who it is, to the process that checked it: `api_key:ID`, `jwt:ISSUER`, `mtls:SUBJECT`."""
    roles: frozenset[str] = frozenset()
    """Those that it was vouched for with, beside those that the workspace gives the principal."""
    scopes: frozenset[str] | None = None
    """What it may ask (`scopes.py`); None for everything."""

    def as_said(self, os_uid: int | None = None) -> Asker:
        """What of this may come over a wire, with the account that the other end of that runs as."""
        return Asker(principal=self.principal, asserted=self.asserted, os_uid=os_uid)


Priority: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=PRIORITY_MAX)]
"""Who begins first where not all can: the higher one."""

# The end is not `$`, before which Python lets the end of a line stand.
Environment: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/:@+-]{0,127}(?![\s\S])")
]
"""A name for people, as in a workflow and in assent.toml: it stands in the ledger as it is."""

RUN_STATUSES: Final = tuple(state.value for state in RunState)
"""What a run can be shown as."""

DELIVERY_STATUSES: Final = ("pending", "delivered", "failed", "cancelled")
"""What a webhook's delivery can be."""

APPROVAL_DECISIONS: Final = ("granted", "rejected", "expired", "voided", "refused")
"""What can become of a question to people; `refused` is who might not answer it."""

NOT_HERE: Final = frozenset({"CAPABILITY_UNKNOWN", "VERSION_NOT_FOUND", "HANDLER_MISSING"})
"""The refusals of a capability that another process may have."""


def asker_of(settings: Settings) -> Asker:
    """Who asks where nobody else is named: the principal of the settings."""
    return Asker(principal=str(settings.principal), asserted=settings.asserted)


def principal_of(settings: Settings, by: Asker) -> Principal:
    """The principal that asks, with the roles that it has here. `IDENTITY_REFUSED`."""
    if by.identified_by is not None:
        return settings.identities.vouched_for(by.principal, by.roles)
    uid = settings.os_uid if by.os_uid is None else by.os_uid
    return settings.principal_of(by.principal, asserted=by.asserted, os_uid=uid)


class Request(
    msgspec.Struct,
    Generic[A],
    frozen=True,
    kw_only=True,
    tag_field="op",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """One operation that is answered with an `A`."""


def _require_count(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or value < least:
        message = f"`{name}` is a whole number, {least} or more"
        raise InputError("INVALID_INPUT", message, path=name)


def _require_status(what: str, statuses: Iterable[str], known: tuple[str, ...]) -> None:
    for status in statuses:
        if status not in known:
            message = f"`{status}` is not a status of {what}"
            raise InputError("INVALID_INPUT", message, path="status", hint=f"one of {', '.join(known)}")


def operation_of(kind: type[Request[A]]) -> str:
    """The name of the operation that this kind of request asks for: its tag."""
    return str(kind.__struct_config__.tag)


class Driving(Request[A], frozen=True):
    """It changes the record: the owner of the state performs it, and where there is none, whoever asks becomes it."""


class Beginning(Driving[A], frozen=True):
    """It begins a run, so it is refused by an owner that works under another policy, other roles or other settings."""


class Asking(Request[A], frozen=True):
    """Only the process that owns the state can answer; None where there is no such process. Nobody is started to be asked."""


class Informed(Request[A], frozen=True):
    """It needs what is installed, configured and in force here, and owns nothing."""


class HandOver(Informed[answers.HandedOver], tag="hand_over", frozen=True):
    """A part of a file that a person hands over for a call, under a name that whoever sends it made up; the last one ends it.

    It is read by whoever asks, with that one's rights: no path is told. Only a call of this `capability` by the same principal
    takes it.
    """

    upload: str
    capability: str
    """`findings.import` or `resource.publish`."""
    data: bytes
    offset: int = 0
    """Bytes that were sent before: a part that comes twice, or out of order, is refused (`UPLOAD_INVALID`)."""
    last: bool = True


class Reading(Request[A], frozen=True):
    """It reads what was recorded, or not even that: no lock, nothing written, and nothing imported but what reads."""


class Stream(Reading[A], frozen=True):
    """It is answered with any number of `A`, one after the other."""

    @property
    def waits(self) -> bool:
        """It is answered with what happens later, too."""
        return False


class Run(Beginning[answers.Run], tag="run", frozen=True):
    """Run a workflow, or exactly what a saved plan showed."""

    plan: str | None = None
    """The id of a saved plan; then nothing else is given."""
    text: str = ""
    """The workflow's document."""
    source: str = "<text>"
    """What the document is called where it is complained about; empty where it is JSON, and came as data."""
    base: str = "."
    """The folder that the workflows it inlines are looked for in; empty where the document stands alone."""
    inputs: dict[str, Json] = {}
    environment: Environment | None = None
    priority: Priority = PRIORITY


class Call(Beginning[answers.Run], tag="call", frozen=True):
    """Call one capability: a run of one step."""

    capability: str
    """`id`, or `id@version`."""
    parameters: dict[str, Json] = {}
    words: dict[str, str] = {}
    """Further parameters as texts, each read by the type that it declares, as on a command line."""
    environment: Environment | None = None
    priority: Priority = PRIORITY


class OpenSession(Beginning[answers.Session], tag="session", frozen=True):
    """Begin a run whose steps arrive one at a time."""

    environment: Environment | None = None
    priority: Priority = PRIORITY


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An agent's client, which an MCP server may tell and ask things while it carries out a call of it."""

    id: str
    """What `Reply` names it by; whoever knows it answers for the client."""
    can: dict[str, Json] = {}
    """What it can be asked, as MCP has a client declare it."""
    wants_progress: bool = False
    log_level: str | None = None


class AddStep(Driving[answers.Run], tag="add_step", frozen=True):
    """Add a step to a session and wait for its outcome; the session with this step alone.

    Progress is then also `{"passed": {"method": …, "params": …}}`, what an MCP server says to the `client`, and
    `{"passed": {"ask": …, "questions": …}}`, what it asks, under a number and by names that mean nothing.
    """

    run: str
    capability: str
    parameters: dict[str, Json] = {}
    client: Client | None = None


class CloseSession(Driving[answers.Run], tag="close", frozen=True):
    """Add no more steps to a session: it succeeds once all are settled."""

    run: str


class Approve(Driving[answers.Run], tag="approve", frozen=True):
    """Agree to what waits, and drive the run on."""

    run: str
    step: str | None = None
    """May be left out where only one waits."""
    digest: str | None = None
    """What was shown; without it the journal keeps that nobody confirmed it."""


class Reject(Driving[answers.Run], tag="reject", frozen=True):
    """Refuse what waits; the run ends as by a denial."""

    run: str
    step: str | None = None
    digest: str | None = None
    reason: str = ""


class Cancel(Driving[answers.Run], tag="cancel", frozen=True):
    """Stop a run between effects and take its effects back."""

    run: str
    last: bool = False
    """Take back the last step of a session that can be, and let the session go on: the answer tells of that step, and of later
    ones that stay as they are.
    """


class Signal(Driving[answers.Run], tag="signal", frozen=True):
    """Send a run a signal, which a step of it waits for or will, and drive the run on."""

    run: str
    name: str
    payload: Json = None
    """What comes with it: the output of the step."""


class Resume(Driving[answers.Resumed], tag="resume", frozen=True):
    """Go on with a run, or with every run that nobody drives."""

    run: str | None = None


class Undo(Driving[answers.Run], tag="undo", frozen=True):
    """Take a finished run back."""

    run: str
    partial: bool = False
    """Leave out what can't be taken back."""


class Resolve(Driving[answers.Run], tag="resolve", frozen=True):
    """Say what became of a step that the runtime could not settle."""

    run: str
    step: str
    resolution: Literal["happened", "not_happened", "compensated", "abandon"]
    output: Json = None
    """What the step gave, where it happened."""


class Erase(Beginning[answers.Run], tag="erase", frozen=True):
    """Erase the payloads and pre-images of runs that have ended: a call of `assent.erase`, so it passes the gate."""

    runs: tuple[str, ...]
    """Among them ids of plans that were never run."""
    compact: bool = False
    """Give the room back to the disk, too."""


class AddSchedule(Beginning[answers.Run], tag="add_schedule", frozen=True):
    """Have a workflow run whenever a time comes: a call of `assent.schedule.add`, so it passes the gate."""

    name: str
    text: str
    """The workflow's document; it is kept as it is now."""
    source: str = "<text>"
    base: str = "."
    inputs: dict[str, Json] = {}
    cron: str | None = None
    """Minute, hour, day of month, month, day of week; or `every`, an interval."""
    every: str | None = None
    zone: str | None = None
    """The time zone of `cron`."""
    missed: Literal["skip", "one", "all"] = "skip"
    overlap: Literal["skip", "queue", "cancel"] | None = None
    environment: Environment | None = None


class RemoveSchedule(Beginning[answers.Run], tag="remove_schedule", frozen=True):
    """Let no more runs of a schedule begin: a call of `assent.schedule.remove`."""

    name: str


class PauseSchedule(Beginning[answers.Run], tag="pause_schedule", frozen=True):
    """Let no run of a schedule begin until it is resumed: a call of `assent.schedule.pause`."""

    name: str


class ResumeSchedule(Beginning[answers.Run], tag="resume_schedule", frozen=True):
    """Let runs of a paused schedule begin again: a call of `assent.schedule.resume`."""

    name: str


class CreateKey(Beginning[answers.Run], tag="create_key", frozen=True):
    """Let a key open, which whoever asks has made: a call of `assent.key.create`, so it passes the gate.

    What is asked has the key's digest only, so that no wire, record or log ever holds the key.
    """

    id: str
    digest: str
    """SHA-256 of the whole key, in hexadecimal digits."""
    name: str
    principal: str | None = None
    """As whom it acts; without one as whoever asks."""
    scopes: tuple[str, ...] = UNSAID
    expires_in_ms: int | None = None


class RevokeKey(Beginning[answers.Run], tag="revoke_key", frozen=True):
    """Let a key open nothing any more: a call of `assent.key.revoke`."""

    id: str


class Label(Driving[answers.Labelled], tag="label", frozen=True):
    """Put a label on the version that a reference means."""

    reference: str
    label: str


class Unlabel(Driving[answers.Unlabelled], tag="unlabel", frozen=True):
    """Take a label away from a capability."""

    capability: str
    label: str


class Retire(Driving[answers.Retired], tag="retire", frozen=True):
    """Let no new run use a version."""

    reference: str
    dry_run: bool = False


class RetryDelivery(Driving[answers.Delivery], tag="retry_delivery", frozen=True):
    """Attempt a delivery now."""

    delivery: str


class CancelDelivery(Driving[answers.Delivery], tag="cancel_delivery", frozen=True):
    """Attempt a delivery no more."""

    delivery: str


class Health(Asking[answers.Health | None], tag="health", frozen=True):
    """How the process that owns the state is, and what it has counted."""


class UnderWay(Asking[answers.UnderWay | None], tag="under_way", frozen=True):
    """Which of these runs the owner drives. `texts`: with what those of whoever asks were told that is not kept."""

    runs: tuple[str, ...]
    texts: bool = False


class ForgetSecret(Asking[answers.Forgotten | None], tag="forget_secret", frozen=True):
    """Have the owner fetch a secret's value anew at its next use."""

    name: str


class Reply(Asking[answers.Replied | None], tag="reply", frozen=True):
    """Answer what an MCP server asked the client of a step under way; without `ask`: the client wants no outcome any more."""

    client: str
    ask: int | None = None
    answer: dict[str, dict[str, Json]] | None = None
    """By the names of the questions: `{"result": …}` or `{"error": …}`; None where nobody answers."""


class Plan(Informed[answers.Plan], tag="plan", frozen=True):
    """What a run of a workflow would do; nothing is executed but reads that others need, where the policy allows them.

    What is read stands on record, so the owner makes such a plan.
    """

    text: str
    source: str = "<text>"
    base: str = "."
    inputs: dict[str, Json] = {}
    environment: Environment | None = None
    execute_captured: bool = False
    """Programs whose writes are captured are run in the sandbox, so that the plan can show what they write."""
    reads: bool = True
    keep: bool = True
    """Whether it can be run by its id."""


class PlanUndo(Informed[answers.UndoPlan], tag="plan_undo", frozen=True):
    """What an undo of a run would do; nothing is asked, recorded or touched, and no owner is needed."""

    run: str
    partial: bool = False


class Replay(Informed[answers.Replayed], tag="replay", frozen=True):
    """Run a recorded run again against what was recorded, touching nothing, and tell what differs."""

    run: str
    """Its id; only a name where a snapshot is given."""
    snapshot: bytes | None = None
    capability_version: str | None = None
    """`VERSION` or `ID@VERSION`, which really runs, on a simulated world."""


class Snapshot(Informed[answers.Snapshot], tag="snapshot", frozen=True):
    """A run as it stands, without its secrets, to be replayed anywhere."""

    run: str


class Capabilities(Informed[answers.Capabilities], tag="capabilities", frozen=True):
    """What can be called; with a pattern, what it matches by id (`*` is any characters, and without one it is a part)."""

    pattern: str | None = None


class Tools(Informed[answers.Tools], tag="tools", frozen=True):
    """What whoever asks may call, each with what the policy may say of it; `pattern` as of `Capabilities`."""

    pattern: str | None = None
    environment: Environment | None = None


class Capability(Informed[answers.Capability], tag="capability", frozen=True):
    """The version that a reference means."""

    reference: str


class Parameters(Informed[answers.Parameters], tag="parameters", frozen=True):
    """What callers who write this reference send; also of a retired version whose callers another one serves."""

    reference: str


class CapabilityHistory(Informed[answers.CapabilityHistory], tag="capability_history", frozen=True):
    """The versions of a capability over time."""

    capability: str


class CapabilityDiff(Informed[answers.CapabilityDiff], tag="capability_diff", frozen=True):
    """What changes between two versions; each is what may stand behind the `@` of a reference."""

    capability: str
    old: str
    new: str


class ExplainPolicy(Informed[answers.Explained], tag="explain_policy", frozen=True):
    """Which rule decides a call, and why no earlier one did: the very question that the call's admission would ask."""

    capability: str
    parameters: dict[str, Json] = {}
    words: dict[str, str] = {}
    """As in `Call`."""
    workflow: str | None = None
    environment: Environment | None = None
    run_labels: tuple[str, ...] = ()
    """What the calls before it in the same run were labelled with."""
    mode: Literal["workflow", "session"] = "workflow"
    risk_level: Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"] | None = None
    """What the step's author raises the risk to."""
    keeps_undo: bool = True
    """False: as a step that says `undo: none`."""
    step: str | None = None
    """What the step is called; left out: as the step of a single call is, or the first of a session."""


class CheckPolicy(Informed[answers.PolicyChecked], tag="check_policy", frozen=True):
    """Find mistakes in a policy's text, and rules that can never decide."""

    path: str
    text: str | None = None
    """None: what the configured policy says, held to all that is asked of it where it decides."""


class TestPolicy(Informed[answers.PolicyTested], tag="test_policy", frozen=True):
    """Put cases to the policy in force."""

    __test__ = False

    text: str
    path: str


class PolicyInForce(Informed[answers.PolicyInForce], tag="policy", frozen=True):
    """The policy that decides here."""


class Plugins(Informed[answers.Plugins], tag="plugins", frozen=True):
    """The plugins of the workspace, and how far each is trusted; nothing of them is imported.

    `with_ledger`: also what only the ledger refuses.
    """

    with_ledger: bool = False


class PluginsHealth(Informed[answers.PluginsHealth], tag="plugins_health", frozen=True):
    """Load the trusted plugins, or one, and ask each how it is."""

    name: str | None = None


class PluginFaults(Informed[answers.PluginFaults], tag="plugin_faults", frozen=True):
    """Why trusted plugins can't be loaded."""


class InspectPlugin(Informed[answers.PluginInspected], tag="inspect_plugin", frozen=True):
    """What the plugin at a path is, can do and wants, by reading its code alone."""

    path: str
    base: str = "."
    """What a relative path is below."""


class LookAtPlugin(Informed[answers.PluginFound], tag="look_at_plugin", frozen=True):
    """What trusting a plugin of the workspace would agree to. `PLUGIN_UNKNOWN`, and what nobody can agree to with open eyes."""

    plugin: str
    """Its name, or the path of its file or folder."""
    base: str = "."
    native: bool = False
    """Also code that nobody can read: compiled, or made while it runs."""
    in_process: bool = False
    """Within Assent's own process, with all that Assent may do."""


class TrustPlugin(Informed[answers.PluginTrusted], tag="trust_plugin", frozen=True):
    """Trust exactly the plugin that was looked at, as `digest` names it; `PLUGIN_CHANGED` when it is another one by now."""

    name: str
    digest: str
    native: bool = False
    in_process: bool = False


class UntrustPlugin(Informed[answers.PluginUntrusted], tag="untrust_plugin", frozen=True):
    """Trust a plugin no more: from the next start on it is not imported."""

    name: str


class Scanners(Informed[answers.Scanners], tag="scanners", frozen=True):
    """The scanners that there are manifests of, and what is here of each: it is asked for its version, confined."""

    is_asked: bool = True
    """Without it no program is looked for: only what the manifests say is told."""
    tested: str | None = None
    """A scanner that is run over the files of its self-test, too."""


class Servers(Informed[answers.Servers], tag="servers", frozen=True):
    """The MCP servers that assent.toml names, and how far each is trusted; none of them is asked."""


class LookAtServer(Informed[answers.ServerFound], tag="look_at_server", frozen=True):
    """What trusting an MCP server would agree to: its tools, as it lists them now.

    `MCP_SERVER_UNKNOWN`, `MCP_SERVER_UNREACHABLE`.
    """

    name: str


class ServerLog(Informed[answers.ServerLog], tag="server_log", frozen=True):
    """What an MCP server's program printed on its standard error, as far as the process that owns the state has kept it.

    `MCP_SERVER_UNKNOWN`.
    """

    name: str


class TrustServer(Driving[answers.ServerFound], tag="trust_server", frozen=True):
    """Trust exactly the tools that were looked at, as `digest` names them: a call of `assent.mcp.trust`, in force at once.

    `MCP_TOOL_CHANGED` when they are others by now, `APPROVAL_REQUIRED` where somebody has to agree first.
    """

    name: str
    digest: str


class AddServer(Informed[answers.ServerWritten], tag="add_server", frozen=True):
    """Write an MCP server into assent.toml: a program, or an address. Nothing of it is trusted by that."""

    name: str
    command: list[str] = []
    url: str | None = None
    env: dict[str, str] = {}
    headers: dict[str, str] = {}
    read_only: list[str] = []
    """What its program can read."""
    writes: list[str] = []
    """Folders that its program can change."""
    private: list[str] = []
    """Private networks that its address may lie in."""
    network: bool = False


class RemoveServer(Driving[answers.ServerWritten], tag="remove_server", frozen=True):
    """Take an MCP server out of assent.toml, and out of what is trusted: a call of `assent.mcp.untrust` where it was."""

    name: str


class AddRepository(Informed[answers.RepositoryWritten], tag="add_repository", frozen=True):
    """Write a folder of the workspace into assent.toml, as a repository of knowledge. Nothing of it is read by that.

    `KNOWLEDGE_REPOSITORY_EXISTS` where the folder is in one, or its name is one's.
    """

    folder: str
    """Its path on the machine."""
    name: str | None = None
    """Without it, the folder's own name."""
    labels: list[str] = []
    """Of all its files."""
    roles: list[str] = []
    """Who may see what has one of the labels that are new."""


class Secrets(Informed[answers.Secrets], tag="secrets", frozen=True):
    """Every secret that is named somewhere, without its value."""


class SecretUsers(Informed[answers.SecretUsers], tag="secret_users", frozen=True):
    """Who uses a secret, and who did."""

    name: str


class RequireSecret(Informed[answers.SecretWritable], tag="require_secret", frozen=True):
    """Refuse what can be no secret's name, or one that Assent only reads: to be asked before anybody types a value."""

    name: str
    is_written: bool = True


class SetSecret(Informed[answers.SecretStored], tag="set_secret", frozen=True):
    """Put a value where the secret is kept."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"SetSecret(name={self.name!r}, value=***)"


class RotateSecret(Informed[answers.SecretRotated], tag="rotate_secret", frozen=True):
    """Replace a secret's value, and keep the old one until it is confirmed or undone."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"RotateSecret(name={self.name!r}, value=***)"


class ConfirmSecret(Informed[answers.SecretRotated], tag="confirm_secret", frozen=True):
    """The new value works: forget the old one."""

    name: str


class UndoSecret(Informed[answers.SecretRotated], tag="undo_secret", frozen=True):
    """Put the old value back."""

    name: str


class Doctor(Informed[answers.Doctor], tag="doctor", frozen=True):
    """Every setting with its source, and whether the machine, files, walls and grants that it stands on are sound."""


class AcceptTail(Informed[answers.TailAccepted], tag="accept_tail", frozen=True):
    """Take the entries from `start` on as they are, although nothing vouches for them: all of it is in doubt from then on.

    No owner can open such a state, so whoever asks holds it alone and needs no runtime.
    """

    start: int


class Runs(Reading[answers.Runs], tag="runs", frozen=True):
    """The newest runs, newest last; only those with one of these statuses, and only older ones than the run `before`."""

    status: tuple[str, ...] = ()
    limit: int | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            _require_count("limit", self.limit, least=1)
        _require_status("a run", self.status, RUN_STATUSES)


class Keys(Reading[answers.Keys], tag="keys", frozen=True):
    """Every key, without what opens."""


class Prunable(Reading[answers.Prunable], tag="prunable", frozen=True):
    """Runs and plans never run whose payloads can be erased: nothing was recorded of them since `before_ms`. And what is left."""

    before_ms: int


class Unfinished(Reading[answers.Unfinished], tag="unfinished", frozen=True):
    """How many runs wait for `resume`, of how many."""


class Show(Reading[answers.ShownRun], tag="show", frozen=True):
    """One run with its events; an unambiguous beginning of its id is enough."""

    run: str
    step: str | None = None
    """This step alone; `NAME[I]` is an iteration, and `@undo` the undo of the run."""


class ExplainDecisions(Reading[answers.DecisionsExplained], tag="explain_decisions", frozen=True):
    """Why the gate answered as it did about a run, by the policy that held then and what it was asked with, out of the ledger."""

    run: str
    step: str | None = None
    """This step alone; `@undo` is the undo of the run, `@signal:NAME` what was asked about a signal to it."""


class SimulatePolicy(Reading[answers.Simulated], tag="simulate_policy", frozen=True):
    """What a policy would have answered to the recorded calls. Nothing is touched."""

    text: str
    path: str
    since_ms: int = 0


class SuggestPolicy(Reading[answers.Suggested], tag="suggest_policy", frozen=True):
    """Rules for what people always approved, `least` times or more, and what each would have decided. Nothing is touched."""

    least: int = 3
    since_ms: int = 0


class Approvals(Reading[answers.Approvals], tag="approvals", frozen=True):
    """What waits for a person; of one run, or of all."""

    run: str | None = None


class Deliveries(Reading[answers.Deliveries], tag="deliveries", frozen=True):
    """Webhooks, of one status, and at most so many of the newest."""

    status: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            _require_count("limit", self.limit, least=1)
        if self.status is not None:
            _require_status("a delivery", [self.status], DELIVERY_STATUSES)


class Schedules(Reading[answers.Schedules], tag="schedules", frozen=True):
    """The schedules that stand."""


class Schedule(Reading[answers.ShownSchedule], tag="schedule", frozen=True):
    """One schedule, with what it does and its next ticks. `SCHEDULE_UNKNOWN`."""

    name: str


class VerifyLedger(Reading[answers.Verified], tag="verify", frozen=True):
    """Whether the ledger is what was recorded; `checkpoint` is the text of one kept elsewhere, `key` a public key."""

    checkpoint: str | None = None
    key: str | None = None


class Prove(Reading[answers.Proof], tag="prove", frozen=True):
    """A self-contained proof that an entry is in the ledger."""

    seq: int


class Checkpoint(Reading[answers.Checkpoint], tag="checkpoint", frozen=True):
    """The newest signed checkpoint of the ledger, as a note."""


class Tile(Reading[answers.Tile], tag="tile", frozen=True):
    """A tile of the ledger's tree, or of its entries, by the place that tlog-tiles gives it: `0/x001/067.p/8`, `entries/000`."""

    place: str


class Export(Reading[answers.Exported], tag="export", frozen=True):
    """Write the whole ledger to a folder, verifiable elsewhere."""

    folder: str
    payloads: bool = False
    """With the inputs, outputs and errors that the entries bind, as they are stored."""
    base: str = "."
    """What a relative folder is below."""


class PublicKey(Reading[answers.PublicKey], tag="public_key", frozen=True):
    """The ledger's public key."""


class ProveKnowledge(Reading[answers.KnowledgeProof], tag="prove_knowledge", frozen=True):
    """Which entry of the ledger binds the root of a chunk's proof: what `knowledge.prove` gave for a chunk of this repository.

    `KNOWLEDGE_ROOT_UNRECORDED`, `ENTRY_UNSIGNED`, `PROOF_INVALID`, `PROOF_MALFORMED`.
    """

    repository: str
    manifest: dict[str, Json]


class VerifyKnowledge(Reading[answers.ProvenExport], tag="verify_knowledge", frozen=True):
    """Whether a file of `assent knowledge export` is what was indexed, checked with the ledger's public key alone."""

    file: str
    key: str


class VerifyProof(Reading[answers.Proven], tag="verify_proof", frozen=True):
    """What a proof shows, checked with the ledger's public key alone."""

    proof: str
    key: str


class VerifyExport(Reading[answers.Verified], tag="verify_export", frozen=True):
    """Whether an export is what was recorded; without a key the one that came with it is used."""

    folder: str
    key: str | None = None


class Auditing(Stream[A], frozen=True):
    """Of the ledger's entries those that pass a filter, in log order. `capability` may be a pattern (`io.fs.*`)."""

    run: str | None = None
    principal: str | None = None
    capability: str | None = None
    decision: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    """Only entries before it."""
    limit: int | None = None
    """Only the newest, so many."""
    follow: bool = False
    """Also those to come: it ends when whoever asks ends it."""

    @property
    def waits(self) -> bool:
        return self.follow

    def __post_init__(self) -> None:
        if self.limit is not None:
            _require_count("limit", self.limit, least=1)


class AuditLog(Auditing[answers.LogLine], tag="audit_log", frozen=True):
    """The entries of the ledger; only these kinds of events where some are named."""

    kinds: frozenset[str] = frozenset()


class AuditApprovals(Auditing[answers.ApprovalLine], tag="audit_approvals", frozen=True):
    """What became of questions to people: who granted, rejected or was refused what, and when."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decision is not None:
            _require_status("an approval", [self.decision], APPROVAL_DECISIONS)


class Attachment(Stream[answers.Chunk], tag="attachment", frozen=True):
    """The bytes beside an output or an error of a run; the beginning of their digest is enough."""

    run: str
    digest: str


class OfFindings(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings of a project are meant: those that fit all that is said; of several words in one field, any."""

    project: str | None = None
    """A name or a UUID; left out: the only one that there is."""
    severities: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    suppressed: bool | None = None
    detectors: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    run: str | None = None
    owner: str | None = None
    tag: str | None = None
    text: str | None = None


class Findings(OfFindings, Reading[answers.Findings], tag="findings", frozen=True):
    """A page of a project's findings, the worst first. `PROJECT_UNKNOWN`."""

    after: str | None = None
    """Where an earlier page said that the next one begins."""
    limit: int = 100


class Finding(Reading[answers.ShownFinding], tag="finding", frozen=True):
    """One finding with all that is known of it; the beginning of its id is enough. `FINDING_UNKNOWN`, `FINDING_AMBIGUOUS`."""

    finding: str


class ProveFinding(Reading[answers.FindingProof], tag="prove_finding", frozen=True):
    """That a finding is in a dataset of the ledger, and which bytes of which output it was made of. `ENTRY_UNSIGNED`."""

    finding: str


class FindingsDiff(Reading[answers.FindingsDiff], tag="findings_diff", frozen=True):
    """How the findings of a run differ from those of an earlier one."""

    before: str
    later: str
    project: str | None = None
    kinds: tuple[str, ...] = ()
    after: str | None = None
    limit: int = 100


class FindingsStats(Reading[answers.FindingsStats], tag="findings_stats", frozen=True):
    """How a project stands: counts, the time that mending takes, the last 30 days."""

    project: str | None = None


class FindingsExport(OfFindings, Stream[answers.Chunk], tag="findings_export", frozen=True):
    """A report of a project's findings."""

    format: str = "json"


class Projects(Reading[answers.Projects], tag="projects", frozen=True):
    """The projects that have findings."""


class Discovered(Reading[answers.Discovered], tag="discovered", frozen=True):
    """A page of what tools discovered in a project: addresses, ports, hosts, packages. `PROJECT_UNKNOWN`."""

    project: str | None = None
    type: str | None = None
    after: str | None = None
    limit: int = 100


class Recipe(Reading[answers.Recipe], tag="recipe", frozen=True):
    """A workflow of scans that comes with Assent, as a document: `code` or `web`. `RECIPE_UNKNOWN`."""

    name: str


class Datasets(Reading[answers.Datasets], tag="datasets", frozen=True):
    """What imports and scans brought: of a run, or of a project, the oldest first."""

    run: str | None = None
    project: str | None = None


class Resources(Reading[answers.Resources], tag="resources", frozen=True):
    """The versions of resources, in the order in which they were published: of a scope, a type, a name; retired ones too."""

    scope: str | None = None
    type: str | None = None
    name: str | None = None
    retired: bool = False


class OfResource(msgspec.Struct, frozen=True, kw_only=True):
    """Which version is meant, and what is in force beside `[resource]` of assent.toml where the reference says no scope."""

    reference: str
    project: str | None = None
    group: str | None = None


class Resource(OfResource, Reading[answers.ResourceVersion], tag="resource", frozen=True):
    """The version that a reference means; looking is not using. `RESOURCE_NOT_FOUND`, `RESOURCE_RETIRED`."""


class ResourceContent(OfResource, Stream[answers.Chunk], tag="resource_content", frozen=True):
    """The content of a version, not counted as used. `RESOURCE_CORRUPT`."""


OF_FINDINGS: Final = (
    Prunable, Findings, Finding, ProveFinding, FindingsDiff, FindingsStats, FindingsExport, Projects, Discovered, Recipe,
    Datasets, Doctor,
)  # fmt: skip
"""What looks at the store of findings, and may wait for long: until that is brought up to date. It is asked in a thread."""


class Listen(Stream[answers.ServerNews], tag="listen", frozen=True):
    """What MCP servers tell of changes: of their lists, and of resources that steps of this `client` have subscribed to.

    The first has no server: from then on it is heard. Subscriptions end with it.
    """

    client: str
    """An id like that of `Client`; whoever knows it subscribes for the client."""

    @property
    def waits(self) -> bool:
        return True


class Events(Stream[answers.RunEvent], tag="events", frozen=True):
    """What happens to a run from its event number `since` on, each event once it is durable, whoever drives the run.

    Ends when nothing more comes of the run by itself (it has ended, needs attention, or is interrupted), or after `within_ms`.
    """

    run: str
    since: int = 0
    within_ms: int | None = None

    @property
    def waits(self) -> bool:
        return True

    def __post_init__(self) -> None:
        _require_count("since", self.since, least=0)


OPERATIONS: Final = tuple(
    kind
    for kind in [*globals().values()]
    if isinstance(kind, type) and issubclass(kind, Request) and kind.__struct_config__.tag != kind.__name__
)
"""Everything that can be asked: each kind of request that has a name of its own."""

if TYPE_CHECKING:
    AnyRequest: TypeAlias = Request[Any]
else:
    AnyRequest = Union[OPERATIONS]  # noqa: UP007 - of a list there is no other form
