"""An agent with tools of its own, which asks `assent hook ask` before it uses one and tells afterwards what came of it.

The model is a script. This is all that a program has to do that has hooks of another kind than Claude Code's, or none.
"""

import json
import subprocess
from pathlib import Path


def hook(told):
    """What the gate says; None where it says nothing, which permits nothing."""
    told = {"session": "example", "cwd": str(Path.cwd()), **told}
    asked = json.dumps(told)
    done = subprocess.run(
        ["/usr/bin/env", "assent", "hook", "ask"], input=asked, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def shell(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602  # its purpose
    return None if done.returncode == 0 else f"exit code {done.returncode}"


def edit(path, text):
    Path(path).write_text(text)


SCRIPT = [
    ({"act": "shell", "command": "ls src"}, lambda: shell("ls src")),
    ({"act": "shell", "command": "grep -q 43 src/answer.py"}, lambda: shell("grep -q 43 src/answer.py")),
    ({"act": "edit", "path": "src/answer.py"}, lambda: edit("src/answer.py", "ANSWER = 42\n")),
    ({"act": "edit", "path": "policy.yaml"}, lambda: edit("policy.yaml", "version: 1\n")),
    ({"act": "shell", "command": "rm -rf src"}, lambda: shell("rm -rf src")),
]

for number, (act, use) in enumerate(SCRIPT):
    call = {"call": str(number)}
    answer = hook({**call, **act})
    if answer is None or answer["decision"] != "allow":
        print(f"{act}: {answer and answer['code']}")
        continue
    error = use()
    hook({**call, "outcome": "failed", "error": error} if error else {**call, "outcome": "ok"})
    print(f"{act}: {error or 'ok'}")
hook({"end": True})
