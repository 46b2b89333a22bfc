"""Key pairs of who can recover a master key."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def pair_in(folder: Path) -> tuple[Path, Path, str]:
    """The files of a private key and of its public one, and that in digits."""
    private, public = X25519PrivateKey.generate(), folder / "public.pem"
    key = private.public_key()
    secret = folder / "private.pem"
    secret.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secret.chmod(0o600)
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return secret, public, key.public_bytes_raw().hex()
