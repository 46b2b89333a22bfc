"""Tries to get at files of the host. Prints, as JSON, what each way gave: `denied`, or what was got."""

import json
import os
import sys

given = json.loads(sys.argv[1])
found = {}


def attempt(name, action):
    try:
        found[name] = repr(action())
    except OSError as error:
        found[name] = f"denied: {error.strerror}"


def read(path):
    with open(path, "rb") as file:
        return file.read(64)


def write(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return os.write(descriptor, b"was here\n")
    finally:
        os.close(descriptor)


def linked(target, make):
    name = os.path.join(given["scratch"], f"link-{len(found)}")
    make(target, name)
    return read(name)


for path in given["read"]:
    attempt(f"read {path}", lambda: read(path))
    attempt(f"by /proc/self/root {path}", lambda: read("/proc/self/root" + path))
    attempt(f"by /proc/1/root {path}", lambda: read("/proc/1/root" + path))
    attempt(f"by .. {path}", lambda: read(os.path.relpath(path)))
    attempt(f"by /proc/self/cwd {path}", lambda: read("/proc/self/cwd/" + os.path.relpath(path)))
    attempt(f"by symbolic link {path}", lambda: linked(path, os.symlink))
    attempt(f"by hard link {path}", lambda: linked(path, os.link))
    attempt(f"by rename {path}", lambda: linked(path, os.rename))
    attempt(f"truncate {path}", lambda: os.truncate(path, 0))
    attempt(f"chmod {path}", lambda: os.chmod(path, 0o777))
    attempt(f"unlink {path}", lambda: os.unlink(path))
for path in given["list"]:
    attempt(f"list {path}", lambda: os.listdir(path))
for path in given["write"]:
    attempt(f"write {path}", lambda: write(path))
    attempt(f"write by /proc/self/root {path}", lambda: write("/proc/self/root" + path))
for process in given["processes"]:
    attempt(f"environment of {process}", lambda: read(f"/proc/{process}/environ"))
    attempt(f"memory of {process}", lambda: read(f"/proc/{process}/mem"))
    attempt(f"descriptors of {process}", lambda: os.listdir(f"/proc/{process}/fd"))
attempt("memory of the first process", lambda: read("/proc/1/mem"))
attempt("environment of the first process", lambda: read("/proc/1/environ"))
attempt("descriptors of the first process", lambda: os.listdir("/proc/1/fd"))
attempt("device", lambda: os.mknod(os.path.join(given["scratch"], "disk"), 0o060600, os.makedev(254, 0)))
print(json.dumps(found))
