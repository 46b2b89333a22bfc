"""Makes the system calls that no confined program may make. Prints the error of each, as JSON; `0` where one went through."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import signal
import struct
import sys

outside = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
# Name: numbers on x86-64 and arm64, arguments.
CALLS = {
    "ptrace attach": ((101, 117), (16, outside, 0, 0)),
    "ptrace traceme": ((101, 117), (0, 0, 0, 0)),
    "process_vm_readv": ((310, 270), (outside, 0, 0, 0, 0, 0)),
    "process_vm_writev": ((311, 271), (outside, 0, 0, 0, 0, 0)),
    "pidfd_getfd": ((438, 438), (0, 0, 0)),
    "kcmp": ((312, 272), (outside, os.getpid(), 0, 0, 0)),
    "keyctl": ((250, 219), (0, -3, 1)),
    "add_key": ((248, 217), (0, 0, 0, 0, -3)),
    "request_key": ((249, 218), (0, 0, 0, -3)),
    "bpf": ((321, 280), (0, 0, 0)),
    "perf_event_open": ((298, 241), (0, 0, -1, -1, 0)),
    "userfaultfd": ((323, 282), (1,)),
    "kexec_load": ((246, 104), (0, 0, 0, 0)),
    "kexec_file_load": ((320, 294), (-1, -1, 0, 0, 0)),
    "init_module": ((175, 105), (0, 0, 0)),
    "finit_module": ((313, 273), (-1, 0, 0)),
    "delete_module": ((176, 106), (0, 0)),
    "io_uring_setup": ((425, 425), (1, 0)),
    "io_uring_enter": ((426, 426), (0, 0, 0, 0, 0, 0)),
    "unshare user": ((272, 97), (0x1000_0000,)),
    "unshare mount": ((272, 97), (0x0002_0000,)),
    "clone user": ((56, 220), (0x1000_0000 | signal.SIGCHLD, 0, 0, 0, 0)),
    "clone3": ((435, 435), (0, 0)),
    "setns": ((308, 268), (0, 0)),
    "mount": ((165, 40), (0, 0, 0, 0, 0)),
    "umount2": ((166, 39), (0, 0)),
    "move_mount": ((429, 429), (0, 0, 0, 0, 0)),
    "open_tree": ((428, 428), (-100, 0, 0)),
    "fsopen": ((430, 430), (0, 0)),
    "mount_setattr": ((442, 442), (-100, 0, 0, 0, 0)),
    "pivot_root": ((155, 41), (0, 0)),
    "chroot": ((161, 51), (0,)),
    "name_to_handle_at": ((303, 264), (-100, 0, 0, 0, 0)),
    "open_by_handle_at": ((304, 265), (-100, 0, 0)),
    "reboot": ((169, 142), (0, 0, 0, 0)),
    "swapon": ((167, 224), (0, 0)),
    "settimeofday": ((164, 170), (0, 0)),
    "sethostname": ((170, 161), (0, 0)),
    "syslog": ((103, 116), (3, 0, 0)),
    "acct": ((163, 89), (0,)),
    "quotactl": ((179, 60), (0, 0, 0, 0)),
    "personality without address randomisation": ((135, 92), (0x0040000,)),
    "vsock": ((41, 198), (40, 1, 0)),
    "packet": ((41, 198), (17, 3, 0)),
    "alg": ((41, 198), (38, 5, 0)),
    "bluetooth": ((41, 198), (31, 3, 0)),
    "kcm": ((41, 198), (41, 5, 0)),
}
column = 0 if platform.machine() == "x86_64" else 1
found = {}
for name, (numbers, arguments) in CALLS.items():
    ctypes.set_errno(0)
    words = [ctypes.c_long(one) for one in (numbers[column], *arguments)]
    result = libc.syscall(*words)
    found[name] = errno.errorcode.get(ctypes.get_errno(), "0") if result < 0 else "0"


def refused(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "0"


found["type into a terminal"] = refused(lambda: fcntl.ioctl(0, 0x5412, b"x"))
found["paste into a console"] = refused(lambda: fcntl.ioctl(0, 0x541C, b"\x02"))
found["raw socket"] = refused(lambda: __import__("socket").socket(2, 3, 1))

# Capabilities: three words each of effective, permitted, inheritable.
header, held = struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
libc.capget(header, held)
found["capabilities"] = "none" if held.raw == bytes(24) else held.raw.hex()
found["no new privileges"] = str(libc.prctl(39, 0, 0, 0, 0))
found["become root"] = (
    refused(lambda: os.setuid(0)) if os.getuid() else "0" if held.raw != bytes(24) else "EPERM"
)

if platform.machine() == "x86_64":
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(0x4000_0000 | 39))
    found["x32"] = errno.errorcode.get(ctypes.get_errno(), "0")
    child = os.fork()
    if child == 0:
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid, by the door of 32-bit programs
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found["32-bit call"] = signal.Signals(-status).name if status < 0 else "0"
found["descriptors"] = ",".join(str(one) for one in range(256) if refused(lambda: os.fstat(one)) == "0")
print(json.dumps(found))
