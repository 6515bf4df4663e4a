"""The form of a vector file: lines `field: value`, an empty line, the bytes in hexadecimal."""


class Refused(Exception):
    """Bytes that must not be taken. Its text is the word of docs/wire-format.md for the reason."""


class Vector:
    """One file. A field that is asked for and missing is an error, so nothing is compared by accident."""

    def __init__(self, path):
        head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
        self.name = path.name
        self.fields = [tuple(line.split(": ", 1)) for line in head.splitlines()]
        self.body = bytes.fromhex("".join(body.split()))

    def all(self, field):
        return [value for name, value in self.fields if name == field]

    def text(self, field):
        return self.all(field)[0]

    def number(self, field):
        return int(self.text(field))

    def bytes(self, field):
        return bytes.fromhex(self.text(field))


def same(got, stated, what):
    """Two values that the document says are one."""
    if got != stated:
        raise AssertionError(f"{what}: got {shown(got)}, stated {shown(stated)}")


def shown(value):
    return value.hex() if isinstance(value, bytes) else repr(value)
