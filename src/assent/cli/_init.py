"""`assent init`: a workspace with its configuration, its policy and its state directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from assent.cli._command import command
from assent.cli._door import Door
from assent.errors import InputError, WorldError

_CONFIGURATION: Final = """\
# A workspace of Assent: this folder, its policy, and who is who in it. `assent doctor` shows what holds, and why.
policy = "policy.yaml"

[workspace]
# environment = "production"        # rules and plans can ask for it

[identity]
# strict = true                     # refuse `--as NAME` unless NAME is mapped to the user id of the process

{user}
# uid = 1000
roles = ["operator"]

# [identity.agents.helper]
# roles = ["agent"]

[limits]
# concurrency = 8                   # steps of one run at a time
# concurrency_of_all = 256          # steps of all runs at a time
# runs = 1024                       # runs at a time; more wait to begin, `queue` of them at most
# step_timeout = "2h"               # where a step does not say its own
# grace = "10s"                     # how long a cancelled step may take to end
# max_pre_image_bytes = 67108864    # what one step may keep for its undo
# plan_expiry = "7d"                # how long a saved plan, with its inputs, is kept

# [limits.rate.writes]              # at most so many calls with an effect within a time
# calls = 100
# window = "1m"
# capability = "io.fs.*"

# [plugins]
# paths = ["plugins/notes.py"]      # found here; nothing is loaded before `assent plugin trust NAME`
# required = ["notes"]              # the runtime does not open without these

# [exec.rules.builds]               # which programs may be run; without a rule none may
# programs = ["make"]

# [net.rules.api]                   # where requests may go; without a rule to every public host, with one only where rules say
# hosts = ["api.example.org"]
# methods = ["GET", "POST"]

# [mcp.servers.tickets]             # a server of somebody else, called through the gate: `assent mcp trust tickets`
# command = ["tickets-mcp", "--stdio"]

# [secrets."mail/token"]            # where a secret is kept, and who gets it: `assent secrets set mail/token`
# from = "file:~/.config/assent/secrets/mail-token"
# capabilities = ["net.http.*"]
# hosts = ["api.example.org"]

# [sandbox]                         # what a program may use; `assent doctor` shows which walls stand
# wall = "10m"

# [serve]                           # `assent serve`: always a Unix socket, and what stands here
# http = "127.0.0.1:8420"

# [notify.endpoints.team]           # where webhooks go; `approvals = ["team"]` under `[notify]` tells it of each question
# url = "https://hooks.example.org/assent"
# secret = "secret://hooks/team"

# [app.database]                    # `context.app.config` of your own capabilities, with names of your own
# url = "db://customers"

[ledger]
# key = "~/keys/ledger"             # the signing key; by default in your own configuration folder
"""

_SAMPLE: Final = """\
# A workflow to try. `assent plan hello.yaml` shows what it would do, `assent run hello.yaml who=you` does it, and
# `assent undo RUN` takes it back. `assent help workflow` has every key.
name: hello
description: Writes a greeting, and reads it again.
inputs:
  who: { type: string, default: world }
steps:
  - name: greet
    capability: io.fs.write_file
    inputs: { path: greeting.txt, content: "Hello ${{ inputs.who }}\\n" }

  - name: read
    capability: io.fs.read_file
    inputs: { path: "${{ steps.greet.output.path }}" }
outputs:
  greeting: ${{ steps.read.output.content }}
"""
SAMPLE_FILE: Final = "hello.yaml"


@command("init", watches=False, short_help="Set a workspace up: configuration, policy, state.")
def init(door: Door) -> None:
    """Set up the current folder (or `--workspace DIR`) as a workspace.

    Writes `assent.toml`, a commented `policy.yaml`, a workflow to try (`hello.yaml`, unless there is one) and
    `.assent/`, the state, which only you can read. Refuses to overwrite.
    """
    from assent.policy import DEFAULT_POLICY_YAML
    from assent.runtime.settings.effective import PROJECT_FILE, STATE_NAME, create_state, login_of

    root = door.cwd / (door.flags.workspace or Path())
    table = f'[identity.users."{login_of(os.getuid())}"]'
    files = {PROJECT_FILE: _CONFIGURATION.replace("{user}", table), "policy.yaml": DEFAULT_POLICY_YAML}
    for name in files:
        if os.path.lexists(root / name):
            raise InputError(
                "INIT_EXISTS",
                f"`{name}` is there already",
                path=str(root / name),
                hint="nothing was written; edit it instead",
            )
    if not os.path.lexists(root / SAMPLE_FILE):
        files[SAMPLE_FILE] = _SAMPLE
    state = door.cwd / door.flags.state if door.flags.state is not None else root / STATE_NAME
    try:
        root.mkdir(parents=True, exist_ok=True)
        create_state(state)
        for name, content in files.items():
            _write_new(root / name, content)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise WorldError(
            "WORKSPACE_UNUSABLE", f"the workspace can't be written: {reason}", path=str(root)
        ) from error
    created = [str(root / name) for name in files] + [str(state)]
    if door.out.is_json:
        door.out.object({"workspace": str(root), "created": [*created]})
        return
    for path in created:
        door.out.answer(f"created {path}")
    door.out.note(
        "whoever may run `assent` here is who they say: `strict` under `[identity]` of assent.toml binds names to user ids"
    )
    door.out.note(f"next: {door.command('plan', SAMPLE_FILE)}")


def _write_new(path: Path, content: str) -> None:
    # 0644 whatever the umask allows: a policy that its group may change is refused when it is loaded.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
