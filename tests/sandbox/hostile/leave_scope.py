"""Tries to leave the scope of its network by every way there is; prints what came of each as JSON.

Arguments: the port that is in, on 127.0.0.1; all else is out.
"""

import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import threading

INSIDE = int(sys.argv[1])
OUTSIDE = int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
found = {}


def attempt(name, body):
    try:
        found[name] = body() or "done"
    except OSError as error:
        found[name] = errno.errorcode.get(error.errno, str(error))


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def connect(host, port, family=socket.AF_INET, *, blocking=True):
    with socket.socket(family) as held:
        held.settimeout(None if blocking else 5)
        held.connect((host, port))
        held.sendall(b"hello")
        return held.recv(10).decode()


def datagram(port, **how):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        if how.get("message"):
            held.sendmsg([b"a", b"b"], how.get("beside", []), 0, ("127.0.0.1", port))
        elif how.get("connected"):
            held.connect(("127.0.0.1", port))
            held.send(b"ab")
        else:
            held.sendto(b"ab", ("127.0.0.1", port))


def address(port, family=socket.AF_INET):
    return struct.pack("=H", family) + struct.pack("!H", port) + socket.inet_aton("127.0.0.1") + bytes(8)


def many(*ports):
    """`sendmmsg(2)`: how many were taken."""
    names = [ctypes.create_string_buffer(address(port), 16) for port in ports]
    text = ctypes.create_string_buffer(b"ab", 2)
    part = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(text), 2), 16)
    messages = b"".join(
        struct.pack("=QI4xQQQQi4xI4x", ctypes.addressof(name), 16, ctypes.addressof(part), 1, 0, 0, 0, 0)
        for name in names
    )
    held = ctypes.create_string_buffer(messages, len(messages))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        taken = checked(libc.sendmmsg(out.fileno(), held, len(ports), 0))
    sizes = [struct.unpack_from("=I", held.raw, 64 * number + 56)[0] for number in range(taken)]
    return f"{taken} of {sizes}"


def unspecified():
    """A datagram to no family at all: for the kernel that is IPv4."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        checked(libc.sendto(out.fileno(), b"ab", 2, 0, address(OUTSIDE, 0), 16))


def early(level, option):
    with socket.socket() as out:
        out.setsockopt(level, option, 1)


def fast_open():
    with socket.socket() as out:
        out.sendto(b"ab", 0x20000000, ("127.0.0.1", OUTSIDE))


def fast_open_message():
    with socket.socket() as out:
        out.sendmsg([b"ab"], [], 0x20000000, ("127.0.0.1", OUTSIDE))


def source_route():
    with socket.socket() as out:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([131, 7, 4, 127, 0, 0, 1, 0]))


def handed_on():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendmsg([b"a"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", 0))])


def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendmsg([b"plain"])
        return theirs.recv(10).decode()


def flipped():
    """Another thread changes the address while the call is looked at, and what the descriptor is."""
    target = ctypes.create_string_buffer(address(INSIDE), 16)
    ports = [struct.pack("!H", INSIDE), struct.pack("!H", OUTSIDE)]
    is_over = threading.Event()

    def flip():
        while not is_over.is_set():
            for port in ports:
                ctypes.memmove(ctypes.addressof(target) + 2, port, 2)

    threading.Thread(target=flip).start()
    results = {}
    try:
        for _ in range(300):
            with socket.socket() as out:
                result = libc.connect(out.fileno(), target, 16)
                name = errno.errorcode[ctypes.get_errno()] if result else "done"
                results[name] = results.get(name, 0) + 1
    finally:
        is_over.set()
    return results


def signalled():
    """Signals while it asks: who is told of a connection has one. One that came before anybody had heard the question ends it."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0002)
    try:
        for _ in range(100):
            with socket.socket() as out:
                while libc.connect(out.fileno(), address(INSIDE), 16):
                    if ctypes.get_errno() != errno.EINTR:
                        raise OSError(ctypes.get_errno(), "")
                out.getpeername()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def in_thread():
    told = []
    threading_one = threading.Thread(target=lambda: told.append(connect("127.0.0.1", INSIDE)))
    threading_one.start()
    threading_one.join()
    return told[0]


def in_child():
    reader, writer = os.pipe()
    if os.fork() == 0:
        with contextlib.suppress(OSError):
            connect("127.0.0.1", OUTSIDE)
            os.write(writer, b"done")
        os._exit(0)
    os.close(writer)
    return os.read(reader, 10).decode() or "refused"


def question(name, kind=1, *, connected=True):
    """A question to the resolver: its code and the addresses in its answer."""
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(10)
        out.connect(("127.0.0.53", 53))
        out.send(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1))
        told = out.recv(500)
    return f"{told[3] & 0xF} {told[7]}"


TCP = socket.IPPROTO_TCP
attempt("in", lambda: connect("127.0.0.1", INSIDE))
attempt("in, with a limit", lambda: connect("127.0.0.1", INSIDE, blocking=False))
attempt("in, as IPv6", lambda: connect("::ffff:127.0.0.1", INSIDE, socket.AF_INET6))
attempt("in, without an address", lambda: connect("0.0.0.0", INSIDE))
attempt("in, datagram", lambda: datagram(INSIDE))
attempt("in, connected datagram", lambda: datagram(INSIDE, connected=True))
attempt("in, message", lambda: datagram(INSIDE, message=True))
attempt("in, thread", in_thread)
attempt("in, signals", signalled)
attempt("in, pair", pair)
attempt("in, several", lambda: many(INSIDE, INSIDE))
attempt("interfaces", lambda: str(len(socket.if_nameindex()) > 0))
attempt("out, port", lambda: connect("127.0.0.1", OUTSIDE))
attempt("out, with a limit", lambda: connect("127.0.0.1", OUTSIDE, blocking=False))
attempt("out, as IPv6", lambda: connect("::ffff:127.0.0.1", OUTSIDE, socket.AF_INET6))
attempt("out, IPv6", lambda: connect("::1", INSIDE, socket.AF_INET6))
attempt("out, without an address", lambda: connect("0.0.0.0", OUTSIDE))
attempt("out, child", in_child)
attempt("out, datagram", lambda: datagram(OUTSIDE))
attempt("out, connected datagram", lambda: datagram(OUTSIDE, connected=True))
attempt("out, message", lambda: datagram(OUTSIDE, message=True))
attempt("out, several", lambda: many(INSIDE, OUTSIDE, INSIDE))
attempt("out, no family", unspecified)
attempt("out, resolver by stream", lambda: connect("127.0.0.53", 53))
attempt("fast open", fast_open)
attempt("fast open, message", fast_open_message)
attempt("fast open, option", lambda: early(TCP, 30))
attempt("source route", source_route)
attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)).close())
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
attempt("packets", lambda: socket.socket(17, socket.SOCK_DGRAM, 0).close())
attempt("echo", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).close())
attempt("multipath", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close())
attempt("netfilter", lambda: socket.socket(16, socket.SOCK_RAW, 12).close())
attempt("of the machine", lambda: socket.socket(socket.AF_UNIX).close())
attempt("handed on", handed_on)
attempt("bad descriptor", lambda: str(checked(libc.connect(999, address(INSIDE), 16))))
attempt("a file", lambda: str(checked(libc.connect(0, address(INSIDE), 16))))
attempt("bad memory", lambda: str(checked(libc.connect(socket.socket().detach(), ctypes.c_void_p(8), 16))))
attempt("long address", lambda: str(checked(libc.connect(socket.socket().detach(), bytes(200), 200))))
attempt("name in", lambda: question("localhost"))
attempt("name in, IPv6", lambda: question("localhost", 28))
attempt("name in, another kind", lambda: question("localhost", 16))
attempt("name out", lambda: question("secret.example.org"))
attempt("flipped", flipped)
print(json.dumps(found))
