"""500 secrets, spelled as their issuers spell them, in every sort of file: none is left, and what stands around them is."""

from __future__ import annotations

import json
import string
import sysconfig
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from assent.knowledge.cleaning import clean
from tests.support.seeds import IS_EXPLORING

SECRETS = 500
LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM, HEX = LOWER + UPPER + DIGITS, DIGITS + "abcdef"
URL = ALNUM + "-_"
CHANCE = Random(15)


def some(alphabet: str, count: int) -> str:
    return "".join(CHANCE.choices(alphabet, k=count))


def mixed(count: int) -> str:
    """As generators of passwords write them: of all sorts, without what ends a text somewhere."""
    return some(LOWER, 1) + some(DIGITS, 1) + some(UPPER, 1) + some(ALNUM + "!#%*+-=?@^_~.", count - 3)


def uuid() -> str:
    return "-".join(some(HEX, count) for count in (8, 4, 4, 4, 12))


def b64(count: int) -> str:
    return b64encode(CHANCE.randbytes(count)).decode()


def b64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def jwt() -> str:
    head = b64url(json.dumps({"alg": CHANCE.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}).encode())
    body = b64url(json.dumps({"sub": some(DIGITS, 8), "exp": CHANCE.randrange(10**9)}).encode())
    return f"{head}.{body}.{b64url(CHANCE.randbytes(CHANCE.choice([32, 64, 256])))}"


def card() -> str:
    prefix, length = CHANCE.choice(
        [("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("3530", 16), ("36", 14)]
    )
    body = prefix + some(DIGITS, length - len(prefix) - 1)
    doubled = [int(one) if at % 2 else sum(divmod(int(one) * 2, 10)) for at, one in enumerate(reversed(body))]
    number = body + str(-sum(doubled) % 10)
    gap = CHANCE.choice(["", " ", "-"])
    return gap.join(number[at : at + 4] for at in range(0, 16, 4)) if length == 16 else number


def iban() -> str:
    country, length = CHANCE.choice([("DE", 22), ("FR", 27), ("NL", 18), ("GB", 22), ("CH", 21), ("ES", 24)])
    body = (some(UPPER, 4) if country in {"NL", "GB"} else "") + some(DIGITS, 40)
    body = body[: length - 4]
    check = 98 - int("".join(str(int(one, 36)) for one in f"{body}{country}00")) % 97
    text = f"{country}{check:02}{body}"
    return " ".join(text[at : at + 4] for at in range(0, length, 4)) if CHANCE.random() < 0.5 else text


FORMS = (
    form.PrivateFormat.TraditionalOpenSSL,
    form.PrivateFormat.PKCS8,
    form.PrivateFormat.OpenSSH,
    form.PrivateFormat.Raw,
)


def pem() -> str:
    """Of the three forms that there are, of which one is locked."""
    kind = CHANCE.choice(FORMS)
    key = ec.derive_private_key(int.from_bytes(CHANCE.randbytes(31)), ec.SECP256R1())
    if kind is form.PrivateFormat.Raw:
        raw = ed25519.Ed25519PrivateKey.from_private_bytes(CHANCE.randbytes(32))
        return (
            raw.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
            .decode()
            .strip()
        )
    is_locked = kind is form.PrivateFormat.TraditionalOpenSSL
    lock = form.BestAvailableEncryption(b"correct horse") if is_locked else form.NoEncryption()
    return key.private_bytes(form.Encoding.PEM, kind, lock).decode().strip()


def pgp() -> str:
    lines = "\n".join(b64(48) for _ in range(6))
    end = f"{b64(20)}\n={some(ALNUM, 4)}\n"
    return f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{lines}\n{end}-----END PGP PRIVATE KEY BLOCK-----"


# What can be told from how it is spelled, whatever it is called.
SPELLED: dict[str, Callable[[], str]] = {
    "aws id": lambda: CHANCE.choice(["AKIA", "ASIA"]) + some(UPPER + "234567", 16),
    "gcp": lambda: "AIza" + some(URL, 35),
    "google secret": lambda: "GOCSPX-" + some(URL, 28),
    "google token": lambda: "ya29.a0" + some(URL, 120),
    "azure secret": lambda: some(ALNUM, 3) + "8Q~" + some(ALNUM + "_-.~", 34),
    "azure devops": lambda: some(ALNUM, 76) + "AZDO" + some(ALNUM, 4),
    "azure storage": lambda: (
        f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={b64(64)};EndpointSuffix=core.windows.net"
    ),
    "alibaba": lambda: "LTAI5t" + some(ALNUM, 18),
    "digitalocean": lambda: "dop_v1_" + some(HEX, 64),
    "databricks": lambda: "dapi" + some(HEX, 32),
    "vault": lambda: "hvs.CAESI" + some(URL, 85),
    "terraform": lambda: f"{some(ALNUM, 14)}.atlasv1.{some(ALNUM, 67)}",
    "pulumi": lambda: "pul-" + some(HEX, 40),
    "doppler": lambda: "dp.pt." + some(ALNUM, 43),
    "planetscale": lambda: "pscale_tkn_" + some(URL, 43),
    "github": lambda: CHANCE.choice(["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]) + some(ALNUM, 36),
    "github fine": lambda: f"github_pat_{some(ALNUM, 22)}_{some(ALNUM, 59)}",
    "gitlab": lambda: CHANCE.choice(["glpat-", "gldt-", "glrt-"]) + some(URL, 20),
    "npm": lambda: "npm_" + some(ALNUM, 36),
    "pypi": lambda: "pypi-AgEIcHlwaS5vcmcC" + some(URL, 150),
    "rubygems": lambda: "rubygems_" + some(HEX, 48),
    "crates.io": lambda: "cio" + some(ALNUM, 32),
    "docker hub": lambda: "dckr_pat_" + some(URL, 27),
    "hugging face": lambda: "hf_" + some(LOWER + UPPER, 34),
    "postman": lambda: f"PMAK-{some(HEX, 24)}-{some(HEX, 34)}",
    "linear": lambda: "lin_api_" + some(ALNUM, 40),
    "sonar": lambda: "squ_" + some(HEX, 40),
    "grafana": lambda: f"glsa_{some(ALNUM, 32)}_{some(HEX, 8)}",
    "new relic": lambda: "NRAK-" + some(UPPER + DIGITS, 27),
    "slack bot": lambda: f"xoxb-{some(DIGITS, 12)}-{some(DIGITS, 13)}-{some(ALNUM, 24)}",
    "slack hook": lambda: (
        f"https://hooks.slack.com/services/T{some(UPPER, 8)}/B{some(UPPER, 8)}/{some(ALNUM, 24)}"
    ),
    "discord": lambda: f"M{some(ALNUM, 23)}.{some(URL, 6)}.{some(URL, 38)}",
    "telegram": lambda: f"{some('123456789', 10)}:AA{some(URL, 33)}",
    "sendgrid": lambda: f"SG.{some(URL, 22)}.{some(URL, 43)}",
    "mailgun": lambda: "key-" + some(HEX, 32),
    "mailchimp": lambda: some(HEX, 32) + "-us" + some("123456789", 1),
    "twilio": lambda: "SK" + some(HEX, 32),
    "stripe": lambda: CHANCE.choice(["sk_live_", "rk_live_", "sk_test_"]) + some(ALNUM, 24),
    "stripe hook": lambda: "whsec_" + some(ALNUM, 32),
    "square": lambda: "sq0csp-" + some(URL, 43),
    "shopify": lambda: "shpat_" + some(HEX, 32),
    "plaid": lambda: "access-production-" + uuid(),
    "anthropic": lambda: "sk-ant-api03-" + some(URL, 95),
    "openai": lambda: f"sk-proj-{some(URL, 74)}T3BlbkFJ{some(URL, 74)}",
    "openai old": lambda: f"sk-{some(ALNUM, 20)}T3BlbkFJ{some(ALNUM, 20)}",
    "groq": lambda: "gsk_" + some(ALNUM, 52),
    "age": lambda: "AGE-SECRET-KEY-1" + some("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
    "jwt": jwt,
    "card": card,
    "iban": iban,
    "bcrypt": lambda: "$2b$12$" + some(ALNUM + "./", 53),
    "htpasswd": lambda: f"$apr1${some(ALNUM, 8)}${some(ALNUM + './', 22)}",
    "private key": pem,
    "pgp key": pgp,
    "pem in base64": lambda: b64encode(pem().encode()).decode(),
    "postgres": lambda: f"postgresql://app:{some(ALNUM, 16)}@db.example.org:5432/app",
    "mongodb": lambda: (
        f"mongodb+srv://root:{some(ALNUM + '-_.', 14)}7@cluster0.example.org/?retryWrites=true"
    ),
    "redis": lambda: f"redis://:{some(ALNUM, 20)}@cache:6379/0",
    "bearer": lambda: f"Authorization: Bearer {some(ALNUM, 40)}",
    "basic": lambda: f"Authorization: Basic {b64(18)}",
    "ado": lambda: f"Server=db;Database=x;User Id=app;Password={some(ALNUM, 12)}9;Encrypt=true",
    "parameter": lambda: f"https://api.example.org/v1/list?limit=3&access_token={some(HEX, 40)}",
}
# What only its name tells.
NAMED: dict[str, tuple[tuple[str, ...], Callable[[], str]]] = {
    "password": (
        ("password", "db_password", "DB_PASSWORD", "smtpPassword", "admin_pwd", "MYSQL_ROOT_PASSWORD"),
        lambda: mixed(CHANCE.randrange(9, 24)),
    ),
    "aws secret": (("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"), lambda: b64(30)),
    "hex token": (
        ("datadog_api_key", "API_TOKEN", "authToken", "private_token"),
        lambda: some(HEX, CHANCE.choice([32, 40, 64])),
    ),
    "secret": (
        ("client_secret", "CLIENT_SECRET", "jwtSecret", "session_secret"),
        lambda: some(ALNUM, 32) + "7",
    ),
    "uuid key": (("heroku_api_key", "POSTMARK_SERVER_TOKEN"), uuid),
    "long key": (("encryption_key", "MASTER_KEY", "appKey", "signing-key"), lambda: b64(32)),
}


def left(secret: str) -> list[str]:
    """The pieces of a secret of which none may be left: its lines, and of a longer text around it what is secret of it."""
    for before, after in (
        ("://", "@"),
        ("AccountKey=", ";"),
        ("Password=", ";"),
        ("access_token=", "\n"),
        ("services/", "\n"),
    ):
        if before in secret and after in secret + "\n":
            inner = secret.partition(before)[2].partition(after)[0]
            return [inner.partition(":")[2] if before == "://" else inner]
    if secret.startswith("Authorization"):
        return [secret.split()[2]]
    return [
        line
        for line in secret.splitlines()
        if len(line) > 20 and not line.startswith(("-----", "Proc-", "DEK-"))
    ] or [secret]


def in_json(text: str) -> str:
    return json.dumps(text)


def in_notebook(name: str, value: str) -> str:
    source = ["import os\n", f"{name} = {value!r}\n", "print(os.name)\n"]
    return json.dumps({"cells": [{"cell_type": "code", "source": source}], "nbformat": 4}, indent=1)


def block(text: str, indent: str) -> str:
    return "\n".join(indent + line for line in text.split("\n"))


def ident(name: str) -> str:
    return name.replace("-", "_")


FILES: dict[str, Callable[[str, str], str]] = {
    "a.py": lambda name, value: (
        f'import os\n\nTIMEOUT_S = 30\n{ident(name)} = """{value}"""\n'
        if "\n" in value
        else f"import os\n\n{ident(name)} = {value!r}\n\nprint(os.name)\n"
    ),
    "a.js": lambda name, value: (
        f"const fs = require('fs')\nconst {ident(name)} = `{value}`\nmodule.exports = fs\n"
    ),
    "a.ts": lambda name, value: (
        f"export const {ident(name)}: string = {in_json(value)};\nexport const port = 8080;\n"
    ),
    "a.go": lambda name, value: (
        f"package main\n\nconst {ident(name)} = {in_json(value)}\n\nfunc main() {{}}\n"
    ),
    "a.rs": lambda name, value: (
        f"pub const {ident(name).upper()}: &str = {in_json(value)};\n\nfn main() {{}}\n"
    ),
    "A.java": lambda name, value: (
        f"class A {{\n  private static final String {ident(name)} = {in_json(value)};\n  int port = 8080;\n}}\n"
    ),
    "a.c": lambda name, value: (
        f"#include <stdio.h>\nstatic const char *{ident(name)} = {in_json(value)};\nint main(void) {{ return 0; }}\n"
    ),
    "a.sh": lambda name, value: f"#!/bin/sh\nset -e\nexport {ident(name)}='{value}'\nmake all\n",
    "a.yaml": lambda name, value: (
        f"service:\n  port: 8080\n  {name}: |\n{block(value, '    ')}\n  host: db\n"
        if "\n" in value
        else f"service:\n  port: 8080\n  {name}: {value}\n  host: db\n"
    ),
    "a.toml": lambda name, value: (
        f"[service]\nport = 8080\n{name} = '''\n{value}'''\n"
        if "\n" in value
        else f'[service]\nport = 8080\n{name} = "{value}"\n'
    ),
    "a.ini": lambda name, value: f"[service]\nport = 8080\n{name} = {value}\nhost = db\n",
    ".env": lambda name, value: f"PORT=8080\n{ident(name)}={value}\nHOST=db\n",
    "a.json": lambda name, value: json.dumps({"port": 8080, name: value, "host": "db"}, indent=2),
    "a.xml": lambda name, value: (
        f"<service>\n  <port>8080</port>\n  <{ident(name)}>{value}</{ident(name)}>\n</service>\n"
    ),
    "a.html": lambda name, value: (
        f'<p>Service</p>\n<input type="text" name="{name}" value="{value}">\n<p>End</p>\n'
    ),
    "a.md": lambda name, value: f"# Set up\n\nAs follows:\n\n    {name} = {value}\n\nThen start it.\n",
    "a.tf": lambda name, value: f'resource "x" "y" {{\n  {name} = {in_json(value)}\n  port = 8080\n}}\n',
    "a.sql": lambda name, value: f"-- seed\nINSERT INTO settings VALUES ('{name}', '{value}');\nSELECT 1;\n",
    "a.properties": lambda name, value: f"server.port=8080\nservice.{name}={value}\nserver.host=db\n",
    "a.ipynb": in_notebook,
    "Dockerfile": lambda name, value: f"FROM scratch\nENV {ident(name)} {value}\nEXPOSE 8080\n",
    "a.cfg": lambda name, value: f"[service]\n# {name}: {value}\nport: 8080\n",
}


def planted() -> list[tuple[str, str, str]]:
    kinds = [*SPELLED, *NAMED, *NAMED]
    found = []
    for number in range(SECRETS):
        kind = kinds[number % len(kinds)]
        if kind in SPELLED:
            found.append((kind, CHANCE.choice(["value", "entry_3", "item"]), SPELLED[kind]()))
        else:
            names, make = NAMED[kind]
            found.append((kind, CHANCE.choice(names), make()))
    return found


PLANTED = planted()


@pytest.mark.parametrize("file", FILES)
def test_no_planted_secret_is_left(file: str) -> None:
    missed = []
    for kind, name, secret in PLANTED:
        text = FILES[file](name, secret)
        found = clean(file, text.encode())
        assert found.text.count(b"\n") == text.count("\n")
        assert found.removed, (kind, text)
        if any(one.encode() in found.text for one in left(secret)):
            missed.append((kind, text, found.text.decode()))
        # Nothing but the lines of the secret changed.
        lines = zip(text.split("\n"), found.text.decode().split("\n"), strict=True)
        changed = [before for before, after in lines if before != after]
        assert len(changed) <= max(1, len(secret.split("\n"))), (kind, changed)
        for part in (
            "8080",
            "import os",
            "module.exports",
            "func main",
            "fn main",
            "EXPOSE",
            "Then start it",
            "SELECT 1",
        ):
            assert found.text.count(part.encode()) == text.count(part) or part in secret
        assert not any(one in repr((found.removed, found.marks)) for one in left(secret))
    assert not missed, f"{len(missed)}: {missed[:5]}"


@pytest.mark.parametrize("tree", ["stdlib", "src"])
def test_ordinary_code_keeps_its_lines(tree: str) -> None:
    folder = Path(sysconfig.get_path("stdlib")) if tree == "stdlib" else Path(__file__).parents[3] / "src"
    files = [path for path in sorted(folder.rglob("*.py")) if "site-packages" not in path.parts]
    assert len(files) > 500
    files = files if IS_EXPLORING else files[::4]
    lines = changed = 0
    for path in files:
        data = path.read_bytes()
        before, after = data.split(b"\n"), clean(str(path), data).text.split(b"\n")
        assert len(before) == len(after)
        lines += len(before)
        changed += sum(map(bytes.__ne__, before, after))
    assert changed <= lines * 0.005
