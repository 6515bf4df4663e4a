"""What stands in clear around a fragment: varints, manifest chunks, carrier envelopes, pieces."""

from fields import Reader, varint
from vector import Refused, same


def check_varint(vector):
    reader = Reader(vector.body)
    value = reader.varint()
    reader.end()
    same(value, vector.number("value"), "value")
    same(varint(value), vector.body, "bytes")


def check_chunk(vector):
    reader = Reader(vector.body)
    length, chunk = reader.number(2), reader.rest
    if length == 0 or not 1 <= len(chunk) <= 192:
        raise Refused("bad value of manifest chunk")
    same(length, vector.number("manifest-length"), "manifest-length")
    same(chunk, vector.bytes("bytes"), "bytes")
    same(length.to_bytes(2, "big") + chunk, vector.body, "bytes")


def check_envelope(vector):
    reader = Reader(vector.body)
    first = reader.number(1)
    if first >> 5 != 6:
        raise Refused("bad value of kind")
    if first & 31 != 1:
        raise Refused(f"unknown version {first & 31}")
    tag, age, hops, priority = reader.take(8), reader.number(4), reader.number(1), reader.number(1)
    reader.flags(0, "envelope flags")
    if not reader.rest:
        raise Refused("truncated")
    same(tag, vector.bytes("tag"), "tag")
    same([age, hops, priority], [vector.number(name) for name in ("age", "hops", "priority")], "age, hops, priority")
    same(reader.rest, vector.bytes("frame"), "frame")
    made = b"\xc1" + vector.bytes("tag") + vector.number("age").to_bytes(4, "big")
    made += bytes([vector.number("hops"), vector.number("priority"), 0]) + vector.bytes("frame")
    same(made, vector.body, "bytes")


def check_piece(vector):
    reader = Reader(vector.body)
    if reader.take(2) != b"\xe0\x02":
        raise Refused("bad value of kind")
    number, index, count = reader.number(2), reader.number(1), reader.number(1)
    if not 2 <= count <= 16 or index >= count or not reader.rest:
        raise Refused("bad value of piece")
    stated = [vector.number(name) for name in ("number", "index", "count")]
    same([number, index, count], stated, "number, index, count")
    same(reader.rest, vector.bytes("frame"), "frame")
    made = b"\xe0\x02" + stated[0].to_bytes(2, "big") + bytes(stated[1:]) + vector.bytes("frame")
    same(made, vector.body, "bytes")
