"""Uses up what there is, in the way that its first argument names, until something stops it; then says so."""

import ctypes
import mmap
import os
import sys
import threading

MIB = 1 << 20
kind, scratch = sys.argv[1:3]
libc = ctypes.CDLL(None, use_errno=True)


def refused_unless(worked):
    if not worked:
        raise OSError(ctypes.get_errno(), "refused")


def forks():
    """Processes that make processes: enough to pass every bound, and not enough to take a machine down should a wall fail."""
    for _ in range(64):
        if os.fork() == 0:
            try:
                for _ in range(3):
                    os.fork()
            except OSError:
                pass  # its mother will be refused too, and tell
            threading.Event().wait(60)
            os._exit(0)
    # Whoever ends at once may be faster than the watch, which looks every few milliseconds.
    threading.Event().wait(600)


def threads():
    for _ in range(4_000):
        threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()


def memory():
    held = []
    for _ in range(640):
        held.append(b"x" * 16 * MIB)


def memory_of_many():
    """Each process stays below what one may have."""
    for _ in range(8):
        if os.fork() == 0:
            held = b"x" * 24 * MIB
            threading.Event().wait(60)
            print(len(held))
    threading.Event().wait(60)


def shared_memory():
    held = mmap.mmap(-1, 1024 * MIB)
    for at in range(0, len(held), 4096):
        held[at] = 1


def memory_files(folder="/tmp"):
    for number in range(256):
        with open(f"{folder}/{number}", "wb") as file:
            file.write(bytes(3 * MIB))


def memory_files_shared():
    memory_files("/dev/shm")


def memory_files_both():
    """Each of them stays below what both together may hold."""
    for number in range(24):
        for folder in ("/tmp", "/dev/shm"):
            with open(f"{folder}/{number}", "wb") as file:
                file.write(bytes(3 * MIB))
    threading.Event().wait(60)


def memfd():
    held = []
    for number in range(1000):
        held.append(os.memfd_create(f"m{number}"))
        os.write(held[-1], bytes(3 * MIB))


def memfd_secret():
    for _ in range(1000):
        made = libc.syscall(447, 0)
        refused_unless(made >= 0)
        os.ftruncate(made, 3 * MIB)
        mmap.mmap(made, 3 * MIB)[:] = bytes(3 * MIB)


def system_v_shared():
    libc.shmat.restype = ctypes.c_void_p
    for _ in range(1000):
        made = libc.shmget(0, 3 * MIB, 0o1600)
        refused_unless(made >= 0)
        at = libc.shmat(made, None, 0)
        ctypes.memset(at, 1, 3 * MIB)
        libc.shmdt(ctypes.c_void_p(at))


def system_v_queues():
    for _ in range(30_000):
        made = libc.msgget(0, 0o1600)
        refused_unless(made >= 0)
        libc.msgsnd(made, bytes(8) + bytes(8192), 8192, 0o4000)


def system_v_semaphores():
    for _ in range(30_000):
        refused_unless(libc.semget(0, 32_000, 0o1600) >= 0)


def queues():
    rt = ctypes.CDLL("librt.so.1", use_errno=True)
    for number in range(1000):
        refused_unless(rt.mq_open(f"/q{number}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None) >= 0)


def huge_pages():
    libc.mmap.restype = ctypes.c_void_p
    for _ in range(64):
        made = libc.mmap(None, ctypes.c_size_t(16 * MIB), 3, 0x40000 | 0x22, -1, 0)
        refused_unless(made not in (None, ctypes.c_void_p(-1).value))
        ctypes.memset(made, 1, 16 * MIB)


def room():
    """`fallocate` itself, with each of its modes that takes room."""
    for mode in (0, 1, 0x10, 0x20):
        for number in range(64):
            file = os.open(os.path.join(scratch, f"room-{mode}-{number}"), os.O_CREAT | os.O_RDWR)
            taken = libc.fallocate(file, mode, ctypes.c_long(0), ctypes.c_long(3 * MIB)) == 0
            if taken and (mode, number) == (0x20, 63):
                return
            if not taken and mode == 0x20:
                refused_unless(False)


def room_written():
    """The C library's, which falls back to writing."""
    for number in range(10 * 1024):
        file = os.open(os.path.join(scratch, f"room-{number}"), os.O_CREAT | os.O_RDWR)
        os.posix_fallocate(file, 0, 3 * MIB)
        os.close(file)


def spin():
    for _ in range(3):
        if os.fork() == 0:
            break
    while True:
        pass


def one_file():
    with open(os.path.join(scratch, "huge"), "wb", buffering=0) as file:
        file.writelines(bytes(MIB) for _ in range(10 * 1024))


def many_files():
    for number in range(10 * 1024):
        with open(os.path.join(scratch, f"part-{number}"), "wb", buffering=0) as file:
            file.write(bytes(MIB))


def unlinked_files():
    held = []
    for number in range(900):
        path = os.path.join(scratch, f"gone-{number}")
        held.append(open(path, "wb", buffering=0))
        os.unlink(path)
        held[-1].write(bytes(MIB))


def names():
    for number in range(10_000_000):
        os.close(os.open(os.path.join(scratch, f"n{number}"), os.O_CREAT))


try:
    globals()[kind]()
except (OSError, MemoryError, RuntimeError) as error:
    print(f"stopped: {error!r}")
    sys.exit(9)
print("went through")
