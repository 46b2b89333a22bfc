"""The process beside a confined program: builds the walls, starts it, watches it, and ends all that is left of it.

Only the standard library is imported: the launcher forks this, and no part of it runs in a process that has threads.

    supervisor ── in no sandbox; told what to do by one JSON object on `control`, ends everything when that closes
     ├ guard   ── likewise; does for the program what that asks of the network (only with a scope)
     └ init    ── first process of the new PID namespace: it builds the view of files and reaps orphans (only with namespaces)
        └ the program, and whatever it starts

What to do (`plan`): `user_maps`, `outer` and `inner` (namespaces that the supervisor and the process below it enter), `steps`
(mounts, see `_steps.py`), `landlock`, `filter`, `scope` (where the network ends, see `_guard.py`), `files`, `rlimits`,
`processes_more`, `become`, `given`, `watch`, `wall_s`, `forgo`, `argv`, `env`, `cwd`. The answer is one JSON object: `failed`, or
`status` (as `os.waitstatus_to_exitcode` gives it) with `limit`, `cpu_ms` and `memory_bytes`, and with a scope `denied`.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import resource
import select
import signal
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

from assent.sandbox import _kernel, _steps, _tree

_TICK_MS: Final = 25
# The private layer is looked at less often than the processes, and walked through less often than that.
_LAYER_TICKS: Final = 8
_LOOKS_PER_WALK: Final = 10
_BLOCK_BYTES: Final = 512
_PLAN_BYTES_MAX: Final = 32 << 20
_TOLD_BYTES_MAX: Final = 1 << 16
_NUMBER: Final = struct.Struct("i")
"""A process or a descriptor, as it is told to who guards the network."""
_IGNORED: Final = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that the launcher ignores; an `exec` would leave that to the program. For those with a handler it takes the default."""
Plan = dict[str, Any]  # `Any`: a plan is JSON that `_plan.py` has made; its parts are documented above


_seen_signals: Final[set[int]] = set()


def note_signals() -> None:
    """Note from now on which signals came, here and in all that is forked from here.

    Done once, by the launcher: a process just forked pays for each object that it touches first with the copy of a page.
    """
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, lambda seen, _frame: _seen_signals.add(seen))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def has_seen(number: int) -> bool:
    """Whether this process has got a signal."""
    return number in _seen_signals


def supervise(control: int, streams: tuple[int, int, int]) -> NoReturn:
    """Run one confined program from start to end, and answer. `streams` become its stdin, stdout and stderr.

    `control` is the descriptor of a socket. The signals have to be noted already.
    """
    _seen_signals.clear()
    answer: dict[str, Any] = {}
    try:
        answer = _Supervisor(control, streams).run()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must learn of it; nobody above would tell
        answer = _failure(error, "supervisor")
    with contextlib.suppress(OSError):
        _tell(control, answer)
    os.close(control)
    # Of an init that has said its last word only the taking down of its namespaces is left, which is the kernel's work and may
    # take longer than the whole program did. The caller need not wait for it.
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    os._exit(0)


def _failure(error: BaseException, step: str) -> dict[str, Any]:
    """What the kernel refused, at the step that the error names; or whatever else went wrong at `step`."""
    if isinstance(error, OSError) and error.errno:
        return {"failed": error.strerror, "errno": error.errno, "step": error.filename or ""}
    return {"failed": f"{type(error).__name__}: {error}", "errno": 0, "step": step}


class _Supervisor:
    """One program's supervisor, in a process of its own."""

    def __init__(self, control: int, streams: tuple[int, int, int]) -> None:
        self._control = control
        self._streams = streams
        self._launcher = os.getppid()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._guarding: _Guarding | None = None
        self._baseline: tuple[int, int] | None = None
        self._memory_most = 0

    def run(self) -> dict[str, Any]:
        plan = self._receive()
        # Where a PID namespace ends everything with its first process, that process is told to end with us by the kernel.
        # Elsewhere the tree has to be killed one by one, so the end of the launcher must leave the time for it.
        has_init = bool(plan["outer"] & _kernel.CLONE_NEWPID)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        _kernel.die_with_parent(signal.SIGTERM)
        if os.getppid() != self._launcher:
            raise RuntimeError("the launcher has ended")
        if not has_init:
            _kernel.become_subreaper()
        if plan["become"] is not None:
            plan["become"] = _tree.unused_user()
            for folder in plan["given"]:
                _tree.give(folder, plan["become"])
        guarding = None
        if plan["scope"] is not None:
            guarding = self._guarding = _Guarding(plan["scope"], (self._control, *self._streams))
        if plan["user_maps"] is not None:
            self._enter_user_namespace(plan)
        elif plan["outer"]:
            _kernel.unshare(plan["outer"])
        report, reporter = os.pipe()
        alive, alive_here = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(alive_here)
            os.close(report)
            os.close(self._control)
            if has_init:
                _guarded(reporter, lambda: _init(plan, self._streams, reporter, alive, guarding))
            _guarded(reporter, lambda: _program(plan, self._streams, alive, guarding))
        os.close(reporter)
        os.close(alive)
        for stream in self._streams:
            os.close(stream)
        if guarding is not None:
            guarding.begin(child)
        if not has_init:
            _kernel.become_unreadable()
        return self._watch(plan, child, report, has_init=has_init)

    def _receive(self) -> Plan:
        text = bytearray()
        while not text.endswith(b"\n"):
            block = os.read(self._control, 1 << 16)
            if not block or len(text) > _PLAN_BYTES_MAX:
                os._exit(0)  # whoever asked is gone
            text += block
        plan: Plan = json.loads(text)
        return plan

    @staticmethod
    def _enter_user_namespace(plan: Plan) -> None:
        uid, gid = os.geteuid(), os.getegid()
        with contextlib.suppress(OSError):
            os.setgroups([])  # only root may; another's groups stay, as the kernel asks
        _kernel.unshare(plan["outer"])
        inside_uid, inside_gid = plan["user_maps"]
        for name, text in (
            ("setgroups", "deny"),
            ("gid_map", f"{inside_gid} {gid} 1"),
            ("uid_map", f"{inside_uid} {uid} 1"),
        ):
            _kernel.write(f"/proc/self/{name}", text)

    def _watch(self, plan: Plan, child: int, report: int, *, has_init: bool) -> dict[str, Any]:
        """Wait for the end, and cause it where a limit is passed or the caller says so."""
        poll = select.poll()
        for descriptor in (self._control, self._woken, report):
            poll.register(descriptor, select.POLLIN)
        signal.setitimer(signal.ITIMER_REAL, plan["wall_s"])
        said = bytearray()
        limit: str | None = None
        top = child if has_init else os.getpid()
        for ticks in itertools.count():
            ready = {descriptor for descriptor, _ in poll.poll(_TICK_MS)}
            if report in ready:
                block = os.read(report, 1 << 16)
                said += block
                if not block:
                    poll.unregister(report)
                if said.endswith(b"\n"):
                    break
            if self._woken in ready:
                os.read(self._woken, 64)
            if self._control in ready or has_seen(signal.SIGTERM):
                limit = "killed"
            elif has_seen(signal.SIGALRM):
                limit = "wall_s"
            if limit is not None or _has_ended(child):
                break
            limit = self._passed(plan, top, ticks)
            if limit is not None:
                break
        signal.setitimer(signal.ITIMER_REAL, 0)
        return self._conclude(plan, child, report, said, limit, has_init=has_init)

    def _conclude(
        self, plan: Plan, child: int, report: int, said: bytearray, limit: str | None, *, has_init: bool
    ) -> dict[str, Any]:
        told = self._guarding.end() if self._guarding is not None else {}
        if has_init and said.endswith(b"\n"):
            # All that was below it has been killed and waited for.
            return self._answer(0, limit, said, resource.getrusage(resource.RUSAGE_CHILDREN)) | told
        if has_init:
            # With its first process, the kernel kills the whole PID namespace; waiting for it waits for all of them.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status, use = os.wait4(child, 0)
            code = os.waitstatus_to_exitcode(status)
        else:
            found, status = os.waitpid(child, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if found else -signal.SIGKILL
            if plan["become"] is not None:
                _tree.end_user(plan["become"])
            _tree.end(os.getpid())
            use = resource.getrusage(resource.RUSAGE_CHILDREN)
        while block := os.read(report, 1 << 16):
            said += block
        return self._answer(code, limit, said, use) | told

    def _answer(
        self, code: int, limit: str | None, said: bytearray, use: resource.struct_rusage
    ) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "status": code,
            "limit": limit,
            "cpu_ms": int((use.ru_utime + use.ru_stime) * 1000),
            "memory_bytes": use.ru_maxrss * 1024,
        }
        for line in bytes(said).splitlines():
            answer.update(json.loads(line))
        # Of one process the kernel knows the most exactly, and of all together with their files the watch has seen it.
        answer["memory_bytes"] = max(answer["memory_bytes"], self._memory_most)
        return answer

    def _passed(self, plan: Plan, top: int, ticks: int) -> str | None:
        """The limit that the tree has passed by now."""
        watch = plan["watch"]
        use = _tree.use_of(top, most=watch["processes"])
        # Bubblewrap's own two are processes of the tree too.
        if use.processes > watch["processes"] + watch["helpers"]:
            return "processes"
        if use.cpu_ms > watch["cpu_ms"]:
            return "cpu_s"
        files = self._memory_files(watch, top)
        held = use.memory_bytes + files
        if held > watch["memory_bytes"]:
            # The sum counts a shared page for each process that has it, so the exact and slower number decides.
            exact = _tree.own_memory(top)
            held = held if exact is None else exact + files
        self._memory_most = max(self._memory_most, held)
        if held > watch["memory_bytes"]:
            return "memory_bytes"
        if (
            watch["layers"]
            and ticks % _LAYER_TICKS == 0
            and self._layers_passed(watch, top, ticks // _LAYER_TICKS)
        ):
            return "layer_bytes"
        return None

    @staticmethod
    def _memory_files(watch: dict[str, Any], top: int) -> int:
        """Bytes of files in the program's own folders that lie in memory."""
        total = 0
        for place in watch["memory_files"]:
            # The first process can't be looked into, and Bubblewrap's own two may stand before the first that has the view.
            for process in _tree.descendants(top, most=1 + watch["helpers"]):
                with contextlib.suppress(OSError):
                    found = os.statvfs(f"/proc/{process}/root{place}")
                    # Until the view is built it is the host's, which is told apart by its size: ours has that of the limit, in
                    # whole pages.
                    if found.f_blocks == -(-watch["memory_bytes"] // found.f_frsize):
                        total += (found.f_blocks - found.f_bfree) * found.f_frsize
                        break
        return total

    def _layers_passed(self, watch: dict[str, Any], top: int, look: int) -> bool:
        """Whether the private folders hold more than they may. The disks' free space tells cheaply when a walk is worth it."""
        disks = [os.statvfs(folder) for folder in watch["layers"]]
        free = sum(disk.f_bavail * disk.f_frsize for disk in disks)
        names = sum(disk.f_ffree for disk in disks)
        if self._baseline is None:
            self._baseline = (free, names)
        budget: int = watch["layer_bytes"]
        entries: int = watch["layer_entries"]
        has_shrunk = self._baseline[0] - free > budget // 2 or self._baseline[1] - names > entries // 2
        # Others may free at the same time what the program takes, so a walk is due now and then all the same.
        if not has_shrunk and look % _LOOKS_PER_WALK:
            return False
        size, count = _tree.unlinked_bytes(top) if has_shrunk else 0, 0
        for folder in watch["layers"]:
            more, others = _held_in(folder, budget, entries)
            size, count = size + more, count + others
        return size > budget or count > entries


def _held_in(folder: str, bytes_most: int, entries_most: int) -> tuple[int, int]:
    """The bytes on disk and the entries below `folder`, counted no further than past either bound."""
    size = count = 0
    waiting = [folder]
    while waiting and size <= bytes_most and count <= entries_most:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return size, count


def _has_ended(child: int) -> bool:
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None


def _guarded(reporter: int, body: Callable[[], NoReturn]) -> NoReturn:
    """Run a child's part; what fails is told through `reporter`, and the child ends."""
    try:
        body()
    except BaseException as error:  # noqa: BLE001 - as in `supervise`
        with contextlib.suppress(OSError):
            _tell(reporter, _failure(error, "start"))
    os._exit(126)


def _tell(descriptor: int, said: dict[str, Any]) -> None:
    """Write an object as a line. It is smaller than what a pipe or a socket takes at once."""
    os.write(descriptor, json.dumps(said).encode() + b"\n")


class _Guarding:
    """The process that answers for a program's network (`_guard.py`), seen from the supervisor and from below it.

    It stands beside the supervisor, which can have no threads once those below are in another PID namespace. Whoever has loaded
    the filter can send nothing any more without a question, so the guard itself takes from its table where these are heard.
    """

    def __init__(self, rules: dict[str, Any], not_its_own: Iterable[int]) -> None:
        self._handed, self._hander = os.pipe()
        self._taken, self._taker = os.pipe()
        asked, self._asker = os.pipe()
        self._told, teller = os.pipe()
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            for descriptor in (*not_its_own, self._hander, self._taken, self._asker, self._told):
                os.close(descriptor)
            _guarded(teller, lambda: self._serve(rules, parent, asked, teller))
        for descriptor in (self._handed, self._taker, asked, teller):
            os.close(descriptor)

    def _serve(self, rules: dict[str, Any], parent: int, asked: int, teller: int) -> NoReturn:
        # Programs without a scope, as nearly all are, pay nothing for this.
        from assent.sandbox._guard import Guard

        signal.set_wakeup_fd(-1)
        _kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
        _kernel.become_unreadable()
        # Of one size each: the question at the end may stand right behind the first of them.
        child, handed = os.read(asked, _NUMBER.size), os.read(self._handed, _NUMBER.size)
        if child and handed:
            guard = Guard(rules, self._taken_from(*_NUMBER.unpack(child), *_NUMBER.unpack(handed)))
            guard.start()
            os.write(self._taker, b"+")
            while os.read(asked, 1):
                _tell(teller, {"denied": guard.denied()})
        os._exit(0)

    @staticmethod
    def _taken_from(child: int, listener: int) -> int:
        try:
            return _kernel.take_descriptor(child, listener)
        except OSError:
            if _tree.has_ended(child):
                os._exit(0)  # before it became the program
            raise

    def begin(self, child: int) -> None:
        """Guard this process and all that it starts. It may have ended by now."""
        os.close(self._hander)
        os.close(self._taken)
        with contextlib.suppress(BrokenPipeError):
            os.write(self._asker, _NUMBER.pack(child))

    def hand(self, listener: int) -> None:
        """From below: say where questions are heard, and wait until somebody hears them."""
        os.write(self._hander, _NUMBER.pack(listener))
        if not os.read(self._taken, 1):
            os._exit(126)
        for descriptor in (listener, self._hander, self._taken, self._asker, self._told):
            os.close(descriptor)

    def end(self) -> dict[str, Any]:  # `Any`: JSON
        """What it says of the program's network; nothing where there came no program. It is gone by then."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._asker, b"?")
        said = os.read(self._told, _TOLD_BYTES_MAX)
        os.close(self._asker)
        os.waitpid(self.process, 0)
        found: dict[str, Any] = json.loads(said or b"{}")
        return found


def _init(
    plan: Plan, streams: tuple[int, int, int], reporter: int, alive: int, guarding: _Guarding | None
) -> NoReturn:
    """The first process of a PID namespace: the view of files, then the program, whose orphans it reaps."""
    signal.set_wakeup_fd(-1)
    _kernel.die_with_parent(signal.SIGKILL)
    # The parent may have ended before it was named: then its end of this pipe is closed already.
    if select.select([alive], [], [], 0)[0]:
        os._exit(126)
    _kernel.unshare(plan["inner"])
    _steps.take(plan["steps"])
    # This process goes behind the walls too, and spawns the program there: a second fork of this interpreter would cost more than
    # all mounts together. What the program could do to its first process, it must not be able to see.
    files = _confine(plan, streams, guarding)
    _kernel.become_unreadable()
    program = _spawned(plan, files)
    for stream in {*streams, 0, 1, 2}:
        os.close(stream)
    while True:
        found, status = os.wait()
        if found == program:
            break
    # Here -1 means this PID namespace, all but the caller.
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = {
        "status": os.waitstatus_to_exitcode(status),
        "cpu_ms": int((use.ru_utime + use.ru_stime) * 1000),
        "memory_bytes": use.ru_maxrss * 1024,
    }
    _tell(reporter, said)
    os._exit(0)


def _program(plan: Plan, streams: tuple[int, int, int], alive: int, guarding: _Guarding | None) -> NoReturn:
    """The program without an init above it."""
    signal.set_wakeup_fd(-1)
    for ignored in _IGNORED:
        signal.signal(ignored, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if plan["inner"]:
        _kernel.unshare(plan["inner"])
    _steps.take(plan["steps"])
    os.setsid()  # no terminal, so nothing can be typed into one
    for number, held in _confine(plan, streams, guarding, alive).items():
        os.dup2(held, number, inheritable=True)
    argv, environment = plan["argv"], plan["env"]
    if not argv:
        _tell_facts()
    try:
        os.execve(_found(argv[0], environment), argv, environment)  # noqa: S606 - never by a shell
    except OSError as error:
        raise OSError(error.errno, error.strerror, "exec") from None


def _spawned(plan: Plan, files: dict[int, int]) -> int:
    """The program's process, started behind the walls that stand around this one, with these files under these numbers."""
    argv, environment = plan["argv"], plan["env"]
    if not argv:
        _tell_facts()
    try:
        return os.posix_spawn(
            _found(argv[0], environment),
            argv,
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, held, number) for number, held in files.items()],
            setsid=True,  # no terminal, so nothing can be typed into one
            setsigmask=[],
            setsigdef=_IGNORED,
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, "exec") from None


def _confine(
    plan: Plan, streams: tuple[int, int, int], guarding: _Guarding | None, alive: int | None = None
) -> dict[int, int]:
    """Put up the walls around this process, in an order in which no later one needs what an earlier one took.

    Its standard streams are the program's from now on. Gives the numbers under which the program gets more files, and where they
    are open here.
    """
    moved = [_move_up(stream, above=2) for stream in streams]
    for number, stream in enumerate(moved):
        os.dup2(stream, number, inheritable=True)
    # Before the limits: one on the size of files would cut these short, and with them the walls that they describe.
    contents = {int(number): _file_of(base64.b64decode(content)) for number, content in plan["files"].items()}
    os.umask(0o022)
    os.chdir(plan["cwd"])
    for name, (soft, hard) in plan["rlimits"].items():
        _limit(getattr(resource, name), soft, hard)
    if plan["processes_more"] is not None:
        processes = _tree.processes_of(os.getuid()) + plan["processes_more"]
        _limit(resource.RLIMIT_NPROC, processes, processes)
    if plan["forgo"]:
        _kernel.forgo_privileges()
        if plan["become"] is not None:
            _kernel.become(plan["become"])
        else:
            _kernel.drop_capabilities()
    if alive is not None:
        # After the last change of ids, which would undo it.
        _kernel.die_with_parent(signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:
            os._exit(126)
    if plan["landlock"] is not None:
        _kernel.landlock(
            tuple(plan["landlock"]["handled"]),
            [(path, rights) for path, rights in plan["landlock"]["rules"]],
        )
    _kernel.close_on_exec(3)
    files = {number: _move_up(held, above=max(contents)) for number, held in contents.items()}
    if plan["filter"] is not None:
        program = base64.b64decode(plan["filter"])
        if guarding is None:
            _kernel.load_filter(program)
        else:
            guarding.hand(_kernel.load_asking_filter(program))
    return files


def _tell_facts() -> NoReturn:
    """In place of a program: what only somebody inside can see."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/pid_max", "rb") as file:
        os.write(1, file.read())
    os._exit(0)


def _move_up(descriptor: int, *, above: int) -> int:
    """The same file at a number that nothing else needs."""
    if descriptor > above:
        return descriptor
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above + 1)


def _file_of(content: bytes) -> int:
    """A file in memory with this content, to be read from its start; all of it or `OSError`."""
    held = os.memfd_create("input")
    with open(held, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(held, 0, os.SEEK_SET)
    return held


def _limit(which: int, soft: int, hard: int) -> None:
    _, most = resource.getrlimit(which)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))


def _found(name: str, environment: dict[str, str]) -> str:
    """The file that `name` means inside the sandbox, looked for as `execvp` does."""
    if "/" in name:
        return name
    for folder in environment.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":"):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise FileNotFoundError(2, os.strerror(2), name)
