"""The comparison by voice: its two steps, and the number that comes of both nonces."""

import keys
from vector import Refused, same

NONE = "this is no step of a comparison by voice; update the program of the other side"


def check_step(vector):
    kind, content = decode(vector.body)
    author, other, nonce = (vector.bytes(name) for name in ("author", "other", "nonce"))
    same(kind, vector.text("kind"), "kind")
    stated = {"commitment": keys.h(b"voice commitment", nonce, author, other), "nonce": nonce}
    same(content, stated[kind], "content")


def decode(data):
    kinds = {b"\1\1": "commitment", b"\1\2": "nonce"}
    if len(data) != 34 or data[:2] not in kinds:
        raise Refused(NONE)
    return kinds[data[:2]], data[2:]


def check_number(vector):
    both = sorted([(vector.bytes("author"), vector.bytes("nonce")), (vector.bytes("other"), vector.bytes("other-nonce"))])
    (lower, of_lower), (higher, of_higher) = both
    digest = keys.h(b"voice number", lower, higher, of_lower, of_higher)
    number = int.from_bytes(digest[:8], "big") % 1_000_000
    same(f"{number // 1000:03} {number % 1000:03}".encode(), vector.body, "number")
