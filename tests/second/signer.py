"""Who has signed a card or an introduction: the root key, or a delegate of it."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import keys
from vector import same


def length(delegated):
    """Bytes behind the content."""
    return 164 if delegated else 64


def is_signed(root, delegated, data):
    key = root
    if delegated:
        number, key, by_root = data[-164:-160], data[-160:-128], data[-128:-64]
        if number == bytes(4) or not verifies(root, b"OR\1" + number + key, by_root):
            return False
    return verifies(key, data[:-64], data[-64:])


def verifies(key, signed, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_root(vector):
    seed, number = vector.bytes("seed"), vector.number("number")
    made = b"OSTR\1" + seed + number.to_bytes(4, "big")
    same(made + keys.h(b"root file", made)[:4], vector.body, "bytes")
