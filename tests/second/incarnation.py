"""The note of an incarnation: a number from 1 on and a mark of 8 bytes, the sender's and the newest it has heard of."""

from fields import Reader
from vector import Refused, same

FLAGS = ("wants-answer", "went-back")
NAMED = 4


def check_incarnation(vector):
    flags, own, seen, to = decode(vector.body)
    same(" ".join(name for bit, name in enumerate(FLAGS) if flags >> bit & 1), vector.text("flags"), "flags")
    same(to, vector.bytes("to") if vector.all("to") else b"", "to")
    same(own, stated(vector, "own"), "own")
    same(seen, stated(vector, "seen"), "seen")
    named = NAMED if to else 0
    made = bytes([1, named + sum(1 << FLAGS.index(name) for name in vector.text("flags").split())])
    made += b"".join(number.to_bytes(4, "big") + mark for number, mark in (own, seen or (0, bytes(8)))) + to
    same(made, vector.body, "bytes")


def decode(data):
    reader = Reader(data)
    reader.version(1)
    flags = reader.flags(7, "incarnation flags")
    own = incarnation(reader)
    if own is None:
        raise Refused("bad value of incarnation")
    seen = incarnation(reader)
    to = reader.take(8) if flags & NAMED else b""
    reader.end()
    return flags, own, seen, to


def incarnation(reader):
    number, mark = reader.number(4), reader.take(8)
    if number == 0 and any(mark):
        raise Refused("bad value of incarnation")
    return (number, mark) if number else None


def stated(vector, whose):
    if not vector.all(f"{whose}-number"):
        return None
    return vector.number(f"{whose}-number"), vector.bytes(f"{whose}-mark")
