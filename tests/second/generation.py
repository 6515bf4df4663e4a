"""Key exchanges within a session: their records, and what both ends derive from them."""

import keys
import session
from fields import Reader
from vector import Refused, same

KINDS = {1: "offer", 2: "answer", 3: "unknown"}
# Bytes of what a hybrid record ends with.
HYBRID = {"offer": 1216, "answer": 1120}


def read(data):
    """The fields of a record, by name."""
    reader = Reader(data)
    reader.version(1)
    kind, flags = KINDS.get(reader.number(1)), reader.number(1)
    if kind is None:
        raise Refused("bad value of kind of a generation record")
    if flags > (kind in HYBRID):
        raise Refused("bad value of generation flags")
    found = {"kind": kind, "session": reader.take(16)}
    if kind in HYBRID:
        found["generation"] = reader.number(4)
        if found["generation"] == 0:
            raise Refused("bad value of generation")
        found["key"] = reader.take(32)
    if kind != "offer":
        found["confirmation"] = reader.take(16 if kind == "answer" else 12)
    if flags:
        found["hybrid"] = reader.take(HYBRID[kind])
    reader.end()
    return found


def write(found):
    code = next(code for code, kind in KINDS.items() if kind == found["kind"])
    out = bytes([1, code, "hybrid" in found]) + found["session"]
    if "generation" in found:
        out += keys.u32(found["generation"]) + found["key"]
    return out + found.get("confirmation", b"") + found.get("hybrid", b"")


def check_generation(vector):
    found = read(vector.body)
    for name, value in found.items():
        stated = {"kind": vector.text, "generation": vector.number}.get(name, vector.bytes)
        same(value, stated(name), name)
    same("hybrid" in found, bool(vector.all("hybrid")), "hybrid")
    same(write(found), vector.body, "bytes")


class Ends:
    """The session after all exchanges that a vector states, at both ends, which must agree."""

    def __init__(self, vector):
        me, other = keys.KeyFile(vector.bytes("sender-key-file")), keys.KeyFile(vector.bytes("recipient-key-file"))
        self.session, self.announce = session.opened(vector)
        self.epoch, self.answer = 0, None
        offers, answers = (map(bytes.fromhex, vector.all(name)) for name in ("offer-secret", "answer-secret"))
        for offered, answered in zip(offers, answers, strict=True):
            publics = keys.public(offered), keys.public(answered)
            inbox, static = keys.public(other.inbox), keys.public(me.static)
            sender = [keys.agree(offered, publics[1]), keys.agree(offered, inbox), keys.agree(me.static, publics[1])]
            recipient = [keys.agree(answered, publics[0]), keys.agree(other.inbox, publics[0]), keys.agree(answered, static)]
            same(sender, recipient, "agreements")
            confirmation = self.session.go_on(*publics, sender)
            self.epoch += 1
            self.answer = write(
                {
                    "kind": "answer",
                    "session": self.session.id,
                    "generation": self.session.generation,
                    "key": publics[1],
                    "confirmation": confirmation,
                }
            )


def check_answer(vector):
    if vector.all("offer"):
        offer, me = read(vector.bytes("offer")), keys.KeyFile(vector.bytes("recipient-key-file"))
        keys.agree(me.inbox, offer["key"])
    same(Ends(vector).answer, vector.body, "bytes")


def check_preamble(vector):
    ends = Ends(vector)
    same(ends.announce(ends.epoch + vector.number("further-epochs")), vector.body, "bytes")


def check_epoch(vector):
    ends = Ends(vector)
    number = ends.epoch + vector.number("further-epochs")
    same(keys.message_keys(ends.session, number, vector.bytes("message")), vector.body, "bytes")
