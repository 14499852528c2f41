"""Signatures: Ed25519 over the statement, detached, so that anybody's tools can check them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import EvidenceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TEXT, SIGNATURE, SIGNER = "statement.txt", "statement.sig", "signer.pem"

#: How long the longest part of a signature may be, in bytes; they have some hundreds.
_MOST_BYTES = 1 << 16

_MISSING = "signatures need the package cryptography"
_HINT = "pip install 'stream-workbench[evidence]'"


def signed_text(statement: str) -> str:
    """What is signed."""
    return f"evidence-statement/v1 {statement}\n"


def load_key(key: str | Path | Ed25519PrivateKey) -> Ed25519PrivateKey:
    """An Ed25519 private key, or the unencrypted PEM file that it is in."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise EvidenceError(_MISSING, hint=_HINT) from error
    if isinstance(key, Ed25519PrivateKey):
        return key
    try:
        loaded = load_pem_private_key(Path(key).read_bytes(), password=None)
    except (ValueError, TypeError, OSError) as error:
        raise EvidenceError(
            f"{key} is not a private key that can be read: {error}",
            hint="load an encrypted one yourself and give the key",
        ) from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise EvidenceError(
            f"{key} is not an Ed25519 key", hint="openssl genpkey -algorithm ed25519 makes one"
        )
    return loaded


def sign(key: Ed25519PrivateKey, statement: str) -> dict[str, bytes]:
    """The files of a signature, by name."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = signed_text(statement).encode()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {TEXT: text, SIGNATURE: key.sign(text), SIGNER: pem}


def check(bag: Path, statement: str) -> tuple[str, bool]:
    """What is to be said of a bag's signature, and whether it holds (or is not there)."""
    there = [(bag / name).is_file() for name in (TEXT, SIGNATURE, SIGNER)]
    if not any(there):
        return "not signed", True
    if not all(there):
        return f"a part of the signature is missing: {TEXT}, {SIGNATURE} or {SIGNER}", False
    if any((bag / name).stat().st_size > _MOST_BYTES for name in (TEXT, SIGNATURE, SIGNER)):
        return f"a part of the signature is longer than {_MOST_BYTES:,} bytes", False
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            PublicFormat,
            load_pem_public_key,
        )
    except ImportError:
        return f"signed, which was not checked: {_MISSING} ({_HINT})", True
    try:
        key = load_pem_public_key((bag / SIGNER).read_bytes())
        if not isinstance(key, Ed25519PublicKey):
            return f"{SIGNER} is not an Ed25519 key", False
        text = (bag / TEXT).read_bytes()
        key.verify((bag / SIGNATURE).read_bytes(), text)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return f"the signature is not one of {TEXT} by {SIGNER}", False
    if text != signed_text(statement).encode():
        return "what is signed is another statement", False
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"signed by the Ed25519 key {raw.hex()}", True
