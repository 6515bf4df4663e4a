"""The lockbox of docs/storage.md: Argon2id (RFC 9106), and XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) made of its parts."""

from contextlib import contextmanager

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fields import Reader
from vector import Refused, same

RESTORE = "restore it from a copy"
WRONG = f"the passphrase is wrong, or the file was changed; try again, or {RESTORE}"


def check_lockbox(vector):
    passphrase = vector.bytes("passphrase")
    cost, salt, nonce, key, content = opened(passphrase, vector.body)
    same(cost, [vector.number(name) for name in ("memory-kib", "passes", "lanes")], "memory-kib, passes, lanes")
    for name, got in (("salt", salt), ("nonce", nonce), ("key", key), ("content", content)):
        same(got, vector.bytes(name), name)
    memory, passes, lanes = cost
    bound = b"OSTL\1" + memory.to_bytes(4, "big") + passes.to_bytes(4, "big") + bytes([lanes]) + salt
    same(bound + nonce + sealer(key, nonce).encrypt(inner(nonce), content, bound), vector.body, "bytes")


def opened(passphrase, data):
    """Memory, passes and lanes; salt; nonce; key; content."""
    reader = Reader(data)
    with readable():
        if reader.take(4) != b"OSTL":
            raise Refused("bad value of lockbox")
        reader.version(1)
        memory, passes, lanes = cost = [reader.number(4), reader.number(4), reader.number(1)]
    if not (1 <= lanes <= 16 and 8 * lanes <= memory <= 1 << 20 and 1 <= passes <= 64):
        asked = f"{memory // 1024} MiB of memory, {passes} passes and {lanes} lanes"
        raise Refused(f"it asks for {asked}, which is out of bounds; {RESTORE}")
    with readable():
        salt, nonce, sealed = reader.take(16), reader.take(24), reader.rest
        reader.take(16)
    key = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(passphrase)
    try:
        content = sealer(key, nonce).decrypt(inner(nonce), sealed, data[:30])
    except InvalidTag:
        raise Refused(WRONG) from None
    return cost, salt, nonce, key, content


@contextmanager
def readable():
    """Puts the word of a reader into the sentence of a lockbox."""
    try:
        yield
    except Refused as why:
        raise Refused(f"it does not read as locked keys ({why}); {RESTORE}") from None


def inner(nonce):
    return bytes(4) + nonce[16:]


def sealer(key, nonce):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16]))


def hchacha20(key, nonce):
    """The state after the rounds, first and last row. A block of ChaCha20 is that plus the state before them."""
    block = Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(64))
    before = b"expand 32-byte k" + key + nonce
    rows = [*range(0, 16, 4), *range(48, 64, 4)]
    words = [int.from_bytes(block[at : at + 4], "little") - int.from_bytes(before[at : at + 4], "little") for at in rows]
    return b"".join((word % 2**32).to_bytes(4, "little") for word in words)


# Draft, section 2.2.1.
same(
    hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927")),
    bytes.fromhex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"),
    "HChaCha20",
)
