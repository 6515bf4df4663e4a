"""Fragments: the place and its mask, the nonce, the associated data, the seal."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from blake3 import blake3

import keys
from fields import Reader
from vector import Refused, same

KINDS = {1: "narrow", 2: "wide", 3: "short"}
CODES = {name: code for code, name in KINDS.items()}


def check_fragment(vector):
    of_message = (vector.bytes("secret"), vector.bytes("context"))
    header, place, plain = open_fragment(of_message, vector.body)
    names = ("part", "block", "symbol", "slice")
    stated = tuple(vector.number(name) for name in names)
    clear = bytes([CODES[vector.text("kind")] << 5 | vector.number("epoch-bits")])
    clear += vector.bytes("label") + vector.bytes("hint")
    same(header, clear, "clear header")
    same(place, stated, "part, block, symbol, slice")
    same(plain, vector.bytes("plain"), "plain")
    same(seal_fragment(of_message, clear, stated, vector.bytes("plain")), vector.body, "bytes")


def derived(secret, kind):
    kind_key = keys.prf(secret, b"kind", bytes([kind]))
    return ChaCha20Poly1305(keys.prf(kind_key, b"aead")), keys.prf(kind_key, b"mask")


def mask(mask_key, tag, place):
    return bytes(a ^ b for a, b in zip(place, blake3(tag, key=mask_key).digest()))


def nonce(kind, part, block, at, length):
    return bytes([kind, part]) + block.to_bytes(2, "big") + at.to_bytes(2, "big") + length.to_bytes(4, "big") + b"\0\0"


def seal_fragment(of_message, clear, place, plain):
    (secret, context), (part, block, symbol, slice_number), kind = of_message, place, clear[0] >> 5
    at = symbol << 3 | slice_number
    wide = block.to_bytes(2, "big") if KINDS[kind] == "wide" else b""
    written = bytes([part]) + wide + at.to_bytes(2, "big")
    cipher, mask_key = derived(secret, kind)
    sealed = cipher.encrypt(nonce(kind, part, block, at, len(plain)), plain, context + clear + written)
    return clear + mask(mask_key, sealed[-16:], written) + sealed


def open_fragment(of_message, frame):
    (secret, context), reader = of_message, Reader(frame)
    clear = reader.take(1)
    kind = clear[0] >> 5
    if kind not in KINDS:
        raise Refused("bad value of kind")
    clear += reader.take(8)
    masked = reader.take(5 if KINDS[kind] == "wide" else 3)
    if len(reader.rest) < 16:
        raise Refused("truncated")
    cipher, mask_key = derived(secret, kind)
    written = mask(mask_key, reader.rest[-16:], masked)
    part, at = written[0], int.from_bytes(written[-2:], "big")
    block = int.from_bytes(written[1:-2], "big")
    try:
        plain = cipher.decrypt(nonce(kind, part, block, at, len(reader.rest) - 16), reader.rest, context + clear + written)
    except InvalidTag:
        raise Refused("a fragment does not authenticate") from None
    return clear, (part, block, at >> 3, at & 7), plain
