"""Reading what a scanner wrote into findings, beside decoding the same bytes and nothing else, and beside faraday-plugins.

    python -m benchmarks.findings [--quick] [--json FILE]

The file is lines as nuclei 3 writes them with requests and answers (`-include-rr`), two kilobytes to seven each. All is done that
an import does before anything is stored: each record is cut, decoded, brought into form, fingerprinted, checked as a finding and
accounted for. The peer reads the same file with its plugin for nuclei, up to the objects that its command would write as JSON.
Each pass is a process of its own, so that its memory is told; imports are not timed. Then the same file goes through the product:
`assent call findings.import`, which keeps it and its findings as blobs and binds both in the ledger, and `assent findings list`,
which folds the store. These are whole commands, from start to exit.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._measure import ROOT, clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show

DECODE = "decoding alone (msgspec)"
PARSE = "parsed into findings"
PEER = "faraday-plugins"
IMPORT = "assent call findings.import"
FOLD = "assent findings list, the first"

_PASSES = {
    DECODE: """
import msgspec
decode = msgspec.json.Decoder().decode
def run(path):
    with open(path, "rb") as file:
        for line in file:
            decode(line)
""",
    PARSE: """
from assent.findings.parsing import About, Report, built_in_tools
parser = built_in_tools()["nuclei"]
def run(path):
    report = Report("nuclei")
    with open(path, "rb") as file:
        for one in parser.read(file.read, About("0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11", "2026-11-23T09:30:00Z"), report):
            assert one.finding is not None or one.skipped
    assert report.findings and report.records == report.findings + report.skipped.total() and report.fault is None
""",
    PEER: """
from pathlib import Path
from faraday_plugins.plugins.repo.nuclei.plugin import createPlugin
def run(path):
    plugin = createPlugin()
    plugin.processReport(Path(path))
    services = [one for host in plugin.get_data()["hosts"] for one in host["services"]]
    with open(path, "rb") as file:
        assert sum(len(one["vulnerabilities"]) for one in services) == sum(1 for _ in file)
""",
}

_TIMED = """
import resource, sys, time
def seconds():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime
began = seconds()
run(sys.argv[1])
print(seconds() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure(folder: Path, *, quick: bool) -> Part:
    """Pass over the same file by turns."""
    path = folder / "nuclei.jsonl"
    records = write_output(path, (10 if quick else 100) << 20)
    size = path.stat().st_size
    passes = dict(_PASSES)
    if find_spec("faraday_plugins") is None:
        del passes[PEER]
        print(f"\n{PEER} is not installed here: `make bench` has it")
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in passes}
    for _ in range(3 if quick else 5):
        for name, source in passes.items():
            found[name].append(_time(source, path))
        for name, taken in _through_the_product(folder / "workspace", path).items():
            found.setdefault(name, []).append(taken)
    state = sum(one.stat().st_size for one in (folder / "workspace").rglob("*") if one.is_file())
    data: dict[str, dict[str, float]] = {}
    for name, taken in found.items():
        seconds = median(one for one, _ in taken)
        data[name] = {
            "mb_per_cpu_s": size / seconds / 1e6,
            "us_per_record": seconds / records * 1e6,
            "memory_mib": max(most for _, most in taken) / 1024,
            "ratio": median(one[0] / other[0] for one, other in zip(taken, found[DECODE], strict=True)),
        }
    print(f"\nfindings: {size / 1e6:.0f} MB, {records} records")
    rows = [[name, *map(number, said.values())] for name, said in data.items()]
    show("by processor time", ["what", "MB/s", "us a record", "memory MiB", "x decoding"], rows)
    print(f"\n  the state directory has {state / 1e6:.0f} MB afterwards")
    targets = [
        Target("parsed into findings: MB per CPU second", data[PARSE]["mb_per_cpu_s"], 60, at_least=True),
        Target("parsed into findings: memory MiB", data[PARSE]["memory_mib"], 150, at_least=False),
        Target(f"{IMPORT}: memory MiB", data[IMPORT]["memory_mib"], 150, at_least=False),
        Target(f"{FOLD}: memory MiB", data[FOLD]["memory_mib"], 150, at_least=False),
    ]
    return Part("findings", {"passes": data}, targets)


def _time(source: str, path: Path) -> tuple[float, int]:
    """Processor seconds, and the most memory in KiB."""
    told = subprocess.run(
        [sys.executable, "-c", source + _TIMED, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    seconds, most = told.stdout.split()
    return float(seconds), int(most)


def _through_the_product(folder: Path, path: Path) -> dict[str, tuple[float, int]]:
    """Processor seconds and KiB of the commands, in a workspace of their own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "nuclei.jsonl").hardlink_to(path)
    environment = clean_environment(folder / ".home")
    _command(["init"], folder, environment)
    said = ["call", "findings.import", "project=shop", "path=nuclei.jsonl", "--quiet"]
    taken = {IMPORT: _command(said, folder, environment)}
    taken[FOLD] = _command(["findings", "list", "--limit", "1"], folder, environment)
    (folder / "nuclei.jsonl").unlink()
    return taken


def _command(said: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, int]:
    child = subprocess.Popen(
        [sys.executable, "-m", "assent", *said],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Of one child alone, not of all that there were.
    _, status, use = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, said
    return use.ru_utime + use.ru_stime, use.ru_maxrss


def write_output(path: Path, size: int) -> int:
    """A file of about this size; how many records it holds."""
    dice = random.Random(1)
    count = written = 0
    with path.open("wb") as file:
        while written < size:
            line = json.dumps(_record(dice, count), separators=(",", ":")).encode() + b"\n"
            written += file.write(line)
            count += 1
    return count


def _record(dice: random.Random, number_of: int) -> dict[str, Any]:
    template = f"exposure-{dice.randrange(400)}"
    host = f"shop{dice.randrange(2000)}.example.org"
    url = f"https://{host}/{dice.choice(['api', 'admin', 'old', '.git'])}/{number_of}?id={dice.randrange(9)}&q=x"
    body = " ".join(
        dice.choice(['<p class="a">', "text", "déjà", "</p>", "\n", "0123456789"])
        for _ in range(dice.randrange(100, 700))
    )
    severity = dice.choice(["info", "low", "medium", "high", "critical"])
    return {
        "template-id": template,
        "template-path": f"/t/http/{template}.yaml",
        "info": {
            "name": f"Exposure {template}",
            "author": ["somebody"],
            "tags": ["exposure", "cve"],
            "description": "It can be read.",
            "reference": [f"https://docs.example.org/{template}"],
            "severity": severity,
            "classification": {
                "cve-id": None,
                "cwe-id": ["cwe-200"],
                "cvss-metrics": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N",
                "cvss-score": 5.3,
            },
        },
        "type": "http",
        "host": host,
        "port": "443",
        "scheme": "https",
        "url": f"https://{host}",
        "path": "/",
        "matched-at": url,
        "request": f"GET {url} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n",
        "response": f"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\n\r\n<html>{body}</html>",
        "ip": "192.0.2.7",
        "timestamp": "2026-11-14T03:01:36.198693611+05:30",
        "curl-command": f"curl -X GET {url}",
        "matcher-status": True,
    }


if __name__ == "__main__":
    run_part(measure, __doc__)
