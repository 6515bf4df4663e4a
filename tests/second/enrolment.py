"""The enrolment of a device: the code that it shows, and the bundle that another device seals for it."""

import card
import keys
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from fields import Reader
from vector import Refused, same

NO_CODE = (
    "this is no code of a new device; it begins with ostrakon-device: and has to be copied whole: "
    "show it again with `ostrakon init --join`"
)
NO_BUNDLE = (
    "this is not what `ostrakon device add` makes, or a newer version made it; run it again on the other device"
)
NOT_FOR_US = (
    "this was made for another code, or was changed on its way; "
    "run `ostrakon device add` again with the code that this device shows now"
)
LOW_ORDER = "a key in it is of low order, so it was made up; do not use it"


class Newcomer:
    """What the new device keeps until it has joined: a one-time key, and a key file of which its own keys count."""

    def __init__(self, data):
        same(data[:3], b"ON\1", "head of a new device")
        self.once, self.own = data[3:35], keys.KeyFile(data[35:])
        self.endpoint = [
            keys.KeyFile.verifier(self.own.endpoint),
            keys.public(self.own.static),
            keys.KeyFile.verifier(self.own.link),
        ]
        self.shown = [keys.public(self.once), *self.endpoint]


def check_code(vector):
    shown, addresses = decode_code(vector.body)
    new = Newcomer(vector.bytes("newcomer"))
    same(shown, new.shown, "keys")
    same(addresses, [address.encode() for address in vector.all("address")], "addresses")
    number = keys.digits(keys.h(b"device code", *shown))
    same(" ".join(number[at : at + 5] for at in range(0, 30, 5)), vector.text("number"), "number")


def decode_code(data):
    try:
        reader = Reader(data)
        if reader.take(3) != b"OD\1":
            raise Refused(NO_CODE)
        shown = [reader.take(32) for _ in range(4)]
        count = reader.number(1)
        addresses = [reader.take(reader.number(1)) for _ in range(count)]
        reader.end()
    except Refused:
        raise Refused(NO_CODE) from None
    if count > 4 or any(len(a) > 64 or any(not 33 <= byte <= 126 for byte in a) for a in addresses):
        raise Refused(NO_CODE)
    return shown, addresses


def check_enrolment(vector):
    new = Newcomer(vector.bytes("newcomer"))
    reader = Reader(opened(vector.body, new))
    me = keys.KeyFile(vector.bytes("key-file"))
    same(reader.take(3), b"OB\2" if me.delegated else b"OB\1", "head of a bundle")
    signs = (me.person + me.delegation if me.delegated else b"") + me.signs
    same([reader.take(len(signs)), reader.take(32)], [signs, me.inbox], "what signs, and inbox")
    prekeys = [reader.number(4) for _ in range(3)]
    same(prekeys[:2] + [reader.take(32)], [me.oldest, me.current, me.oldest_state], "prekeys")
    same(reader.take(32), me.mailbox, "mailbox")
    same(reader.take(reader.number(1)), vector.text("name").encode(), "name")
    own = card.decode(listed(reader))
    same([own["root"], own["sequence"]], [me.person, vector.number("sequence")], "own card")
    same([list(e) for e in own["endpoints"]][-1], new.endpoint, "the endpoint in the card")
    same(reader.number(4), 2, "number of persons")
    contact, blocked = ((reader.take(32), listed(reader), listed(reader)) for _ in range(2))
    stated = vector.bytes("contact")
    same(contact, (card.decode(stated)["root"], stated, b""), "contact")
    same(blocked, (vector.bytes("blocked"), b"", vector.bytes("kept")), "blocked")
    reader.end()


def opened(data, new):
    if len(data) < 35 + 16 or data[:3] != b"OE\1":
        raise Refused(NO_BUNDLE)
    ephemeral = data[3:35]
    try:
        shared = keys.agree(new.once, ephemeral) + keys.agree(new.own.static, ephemeral)
    except Refused:
        raise Refused(LOW_ORDER) from None
    salt = keys.h(b"enrolment", *new.shown, ephemeral)
    key = keys.expand(keys.extract(salt, shared), b"enrolment", 0)
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), data[35:], data[:35])
    except InvalidTag:
        raise Refused(NOT_FOR_US) from None


def listed(reader):
    return reader.take(reader.number(2))
