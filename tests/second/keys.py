"""Derivations: hashes, the key schedule of a session, epochs, mailbox tags, safety numbers, and the key file."""

import hashlib
import hmac

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from fields import Reader
from vector import Refused, same

SUITE = b"ostrakon v2 X25519 HKDF-SHA256 BLAKE3 ChaCha20Poly1305"


def u32(value):
    return value.to_bytes(4, "big")


def framed(label, fields):
    return bytes([len(label)]) + label + b"".join(u32(len(field)) + field for field in fields)


def prf(key, label, *fields):
    return blake3(framed(label, fields), key=key).digest()


def h(label, *fields):
    return blake3(framed(label, fields), derive_key_context="ostrakon 2026 hash v1").digest()


def extract(salt, secret):
    return hmac.digest(salt, secret, hashlib.sha256)


def expand(key, label, number):
    return hmac.digest(key, label + u32(number) + b"\1", hashlib.sha256)


def agree(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("a public key is of low order") from None


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


class KeyFile:
    """The file `keys` of docs/storage.md."""

    def __init__(self, data):
        reader = Reader(data)
        head = reader.take(5)
        self.delegated = head == b"OSTK\3"
        same(head[:4] + b"\2", b"OSTK\2", "head of a key file")
        self.person, self.delegation = (reader.take(32), reader.take(100)) if self.delegated else (None, b"")
        self.signs = reader.take(32)
        self.person = self.person or self.verifier(self.signs)
        self.inbox = reader.take(32)
        self.oldest, self.current, _age = (reader.number(4) for _ in range(3))
        self.oldest_state = reader.take(32)
        self.endpoint, self.static, self.link, self.mailbox = (reader.take(32) for _ in range(4))
        reader.end()

    def prekey(self, number):
        """The private half of an inbox prekey, unless it is erased or too far ahead."""
        if not self.oldest <= number <= self.current + 64:
            raise Refused("a preamble for a prekey that is gone")
        state = self.oldest_state
        for passed in range(self.oldest, number):
            state = expand(state, b"prekey next", passed)
        return expand(state, b"prekey", number)

    def sign(self, magic, content, form=0):
        """A content with its version before it and its trailer behind it."""
        signed = magic + bytes([1 + self.delegated + form]) + content + self.delegation
        return signed + self.signer(self.signs).sign(signed)

    @staticmethod
    def signer(seed):
        return Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def verifier(cls, seed):
        return cls.signer(seed).public_key().public_bytes_raw()


class Session:
    """What both ends know: S, the session id, and the chain from RK. An invitation is its id and its secret."""

    def __init__(
        self, sender_root, recipient_root, static, inbox, prekey_id, ephemeral, agreements, generation=0, invitation=None
    ):
        bound = [SUITE, sender_root, recipient_root, static, inbox, u32(prekey_id), ephemeral]
        if invitation:
            bound, agreements = bound + [invitation[0]], agreements + [invitation[1]]
        self.salt = h(b"session", *bound)
        self.id = h(b"session id", self.salt)[:16]
        self.root = extract(self.salt, b"".join(agreements))
        self.generation = generation

    def go_on(self, offered, answered, agreements):
        """Begins the next generation; gives the confirmation of its answer."""
        number = self.generation + 1
        transcript = h(b"generation", SUITE, self.salt, u32(number), offered, answered)
        former = expand(self.root, b"generation", self.generation)
        self.root, self.generation = extract(transcript, former + b"".join(agreements)), number
        return prf(expand(self.root, b"answer", number), b"answer", transcript)[:16]

    def epoch(self, number):
        """EK and context of an epoch."""
        chain = expand(self.root, b"chain", self.generation)
        for n in range(number):
            chain = expand(chain, b"next", n)
        return expand(chain, b"epoch", number), h(b"context", self.salt, u32(self.generation), u32(number))

    def confirmation(self, body):
        return prf(expand(self.root, b"confirm", 0), b"preamble", body)[:12]


def message_keys(session, epoch, message):
    """Label and hint, then what is kept of a message: secret, context, epoch bits, hint, label."""
    key, context = session.epoch(epoch)
    label = prf(key, b"label", message)[:6]
    hint = prf(key, b"hint", label)[:2]
    return label + hint + prf(key, b"frag", label) + context + bytes([epoch & 31]) + hint + label


def check_tag(vector):
    tagged = vector.bytes("mailbox-key") + bytes([vector.number("index")])
    same(blake3(tagged, derive_key_context="ostrakon 2026 mailbox tag v1").digest()[:8], vector.body, "tag")


def check_safety_number(vector):
    halves = sorted(digits(vector.bytes(name)) for name in ("a", "b"))
    number = "".join(halves)
    number = " ".join(number[at : at + 5] for at in range(0, 60, 5))
    same(number, vector.text("number"), "number")
    same(number.encode(), vector.body, "bytes")


def digits(root):
    state = h(b"safety number", root)
    for _ in range(5200):
        state = h(b"safety number", state, root)
    return "".join(f"{int.from_bytes(state[at : at + 5], 'big') % 100_000:05}" for at in range(0, 30, 5))
