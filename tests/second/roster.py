"""What devices of a person tell each other of their devices: words with numbers, in the order of ids."""

from fields import Reader
from vector import Refused, same


def check_roster(vector):
    number, words = decode(vector.body)
    same(number, vector.number("delegation"), "delegation")
    removed, added = words
    same(removed, (0, vector.bytes("removed"), vector.number("removed-number"), b""), "removed")
    keys = vector.bytes("added")
    same(added, (1, keys[:32], vector.number("added-number"), keys[32:]), "added")
    made = b"".join(bytes([kind]) + name + number.to_bytes(8, "big") + rest for kind, name, number, rest in words)
    same(b"\1" + number.to_bytes(4, "big") + made, vector.body, "bytes")


def decode(data):
    reader = Reader(data)
    reader.version(1)
    delegation, words = reader.number(4), []
    while reader.rest:
        kind, name, number = reader.number(1), reader.take(32), reader.number(8)
        if kind > 1:
            raise Refused("bad value of kind of a word on a device")
        rest = reader.take(64 * kind)
        if len(words) >= 18:
            raise Refused("bad value of number of devices")
        if words and words[-1][1] >= name:
            raise Refused("bad value of order of devices")
        words.append((kind, name, number, rest))
    return delegation, words
