"""Plain fields: big-endian integers, varints (RFC 9000, section 16), and what ends where it must."""

from vector import Refused


class Reader:
    def __init__(self, data):
        self.rest = data

    def take(self, count):
        if count > len(self.rest):
            raise Refused("truncated")
        head, self.rest = self.rest[:count], self.rest[count:]
        return head

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def varint(self, most=2**62 - 1):
        first = self.take(1)
        length = 1 << (first[0] >> 6)
        value = int.from_bytes(first + self.take(length - 1), "big") & ((1 << (8 * length - 2)) - 1)
        if len(varint(value)) != length:
            raise Refused("bad value of varint")
        if value > most:
            raise Refused("bad value of count")
        return value

    def version(self, known):
        version = self.number(1)
        if version != known:
            raise Refused(f"unknown version {version}")

    def flags(self, known, name):
        flags = self.number(1)
        if flags & ~known:
            raise Refused(f"bad value of {name}")
        return flags

    def end(self):
        if self.rest:
            raise Refused("trailing bytes")


def varint(value):
    for power, length in enumerate((1, 2, 4, 8)):
        if value < 1 << (8 * length - 2):
            return (value | power << (8 * length - 2)).to_bytes(length, "big")
    raise ValueError(f"{value} is too large for a varint")
