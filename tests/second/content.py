"""Sealed bulk files of docs/storage.md: a head, and ChaCha20 (RFC 8439, section 2.4) at any place."""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

import keys
from vector import Refused, same

GIB = 1 << 30


def check_content(vector):
    key = keys.prf(vector.bytes("row-key"), b"content of files")
    head, sealed = vector.body[:64], vector.body[64:]
    nonce = head[8:32]
    if head != b"OSTRCONT" + nonce + keys.prf(key, b"content head", nonce):
        raise Refused("not sealed here")
    same(nonce, vector.bytes("nonce"), "nonce")
    file_key = keys.prf(key, b"content file", nonce)
    same(opened(file_key, vector.number("offset"), sealed), vector.bytes("content"), "content")


def opened(key, offset, sealed):
    """Byte by byte, which is slow and leaves nothing to get wrong where blocks and GiB end."""
    return bytes(byte ^ stream_byte(key, offset + at) for at, byte in enumerate(sealed))


def stream_byte(key, offset):
    segment, within = divmod(offset, GIB)
    nonce = bytes(4) + segment.to_bytes(8, "big")
    block = (within // 64).to_bytes(4, "little")
    return Cipher(ChaCha20(key, block + nonce), mode=None).encryptor().update(bytes(64))[within % 64]
