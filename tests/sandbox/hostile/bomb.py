"""Uses up what there is, in the way that its first argument names, until something stops it; then says so."""

import mmap
import os
import sys
import threading

MIB = 1 << 20
kind, scratch = sys.argv[1:3]


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


def memory_files():
    for folder in ("/tmp", "/dev/shm"):
        for number in range(64):
            with open(f"{folder}/{number}", "wb") as file:
                file.write(bytes(16 * MIB))


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
