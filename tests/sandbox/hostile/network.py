"""Tries to reach sockets of the host. Prints, as JSON, how each way ended: `sent` where the kernel took it."""

import json
import socket
import sys

given = json.loads(sys.argv[1])
found = {}


def attempt(name, family, kind, address):
    try:
        with socket.socket(family, kind) as one:
            one.settimeout(2)
            if kind == socket.SOCK_DGRAM:
                one.sendto(b"out", address)
            else:
                one.connect(address)
                one.sendall(b"out")
        found[name] = "sent"
    except OSError as error:
        found[name] = f"denied: {error}"


attempt("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", given["tcp"]))
attempt("tcp elsewhere", socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80))
attempt("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", given["tcp"]))
attempt("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", given["udp"]))
attempt("udp elsewhere", socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53))
attempt("unix", socket.AF_UNIX, socket.SOCK_STREAM, given["path"])
attempt("unix datagram", socket.AF_UNIX, socket.SOCK_DGRAM, given["path"])
attempt("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + given["abstract"])
print(json.dumps(found))
