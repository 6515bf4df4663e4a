"""Introductions: the fields, the signature of who introduces, the digest of the card."""

import card
import keys
import signer
from fields import Reader
from vector import Refused, same

NONE = "this is no introduction, or a piece of one; ask for it again"
FORGED = "the signature of this introduction is wrong: it was changed or forged; ask for it again"
OTHER = "this introduction comes with another card than it was signed for; ask for a new one"
FIXED = 153


def check_introduction(vector):
    read = decode(vector.body)
    own = keys.KeyFile(vector.bytes("key-file"))
    same(read["introducer"], own.person, "key of who introduces")
    for name in ("recipient", "id"):
        same(read[name], vector.bytes(name), name)
    same(read["seconds"], vector.number("seconds"), "seconds")
    same(read["note"].encode(), vector.bytes("word"), "word")
    same("ostrakon-card:" + card.base32(read["card"]), vector.text("card"), "card")
    introduced = card.from_text(vector.text("card"))["root"]
    note = vector.bytes("word")
    signed = b"\1" + keys.u32(vector.number("seconds")) + vector.bytes("id") + own.person
    signed += vector.bytes("recipient") + introduced + keys.h(b"introduced card", read["card"])
    signed += bytes([len(note)]) + note
    same(own.sign(b"OI", signed) + read["card"], vector.body, "bytes")


def decode(data):
    reader = Reader(data)
    try:
        head, version = reader.take(3)[:2], data[2]
        if head != b"OI":
            raise Refused(NONE)
        if version not in (1, 2):
            raise Refused(f"this introduction is of version {version}, which this program does not know; update it")
        if reader.number(1) != 1:
            raise Refused(unusable("number of uses"))
        read = {"seconds": reader.number(4), "id": reader.take(16)}
        persons = read["introducer"], read["recipient"], introduced = [reader.take(32) for _ in range(3)]
        digest, length = reader.take(32), reader.number(1)
        note = reader.take(length)
        if not 1 <= read["seconds"] <= 366 * 24 * 3600:
            raise Refused(unusable("time"))
        read["note"] = visible(note)
        if len(set(persons)) < 3:
            raise Refused(unusable("three persons"))
        trailer = signer.length(version == 2)
        reader.take(trailer)
        read["card"] = reader.rest
    except Refused as refused:
        raise Refused(NONE) if str(refused) == "truncated" else refused from None
    if not signer.is_signed(read["introducer"], version == 2, data[: FIXED + length + trailer]):
        raise Refused(FORGED)
    if keys.h(b"introduced card", read["card"]) != digest or card.decode(read["card"])["root"] != introduced:
        raise Refused(OTHER)
    return read


def visible(note):
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if len(note) > 128 or card.has_control(text) or card.HIDDEN.search(text):
        raise Refused(unusable("note"))
    return text


def unusable(field):
    return f"this introduction has no usable {field}; ask for a new one"
