"""Messages to several: the id, the commitment, the signature, and the keys of the symbols."""

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import keys
from manifest import SHARED, decode, encode
from vector import Refused, same


def check_shared(vector):
    sender = keys.KeyFile(vector.bytes("sender-key-file"))
    salt, created, parts, (recipients, commitment, key, signature) = decode(vector.body)
    core = encode(salt, created, parts, SHARED) + bytes([len(recipients)]) + b"".join(recipients) + (commitment or b"")
    same(core + (key or b"") + signature, vector.body, "bytes")
    hashed = blake3(derive_key_context="ostrakon 2026 shared message id v1")
    hashed.update(sender.person + core)
    message = hashed.digest()
    if key is not None and keys.h(b"content key", key) != commitment:
        raise Refused("a content key that is not the committed one")
    if vector.bytes("to") not in recipients:
        raise Refused("a list of recipients without us")
    signed = b"ostrakon shared message v1" + message
    try:
        Ed25519PublicKey.from_public_bytes(sender.verifier(sender.endpoint)).verify(signature, signed)
    except InvalidSignature:
        raise Refused("a message to several with a wrong signature") from None
    same(sender.signer(sender.endpoint).sign(signed), signature, "signature")
    same(message, vector.bytes("id"), "message id")
    same(parts, vector.all("part"), "parts")
    same([person.hex() for person in recipients], vector.all("recipient"), "recipients")
    if key is not None:
        same(content_keys(key, message), vector.bytes("content-keys"), "content keys")


def content_keys(key, message):
    """What is kept of a message, as keys.message_keys gives it behind label and hint."""
    label = keys.prf(key, b"label", message)[:6]
    hint = keys.prf(key, b"hint", label)[:2]
    return keys.prf(key, b"frag", label) + keys.h(b"shared context", message) + b"\0" + hint + label
