"""Invitations: a card, an id, a secret, and a check against damage."""

import card
import keys
from fields import Reader
from vector import Refused, same

NONE = "this is no invitation; it starts with ostrakon-invite: and has to be copied whole"
DAMAGED = "this invitation is damaged; ask for it again"


def check_invitation(vector):
    read = decode(vector.body)
    for name in ("id", "secret"):
        same(read[name], vector.bytes(name), name)
    same("ostrakon-card:" + card.base32(read["card"]), vector.text("card"), "card")
    head = b"OV\1" + vector.bytes("id") + vector.bytes("secret")
    whole = head + check(head, read["card"]) + len(read["card"]).to_bytes(2, "big") + read["card"]
    same(whole, vector.body, "bytes")


def decode(data):
    reader = Reader(data)
    try:
        if reader.take(2) != b"OV":
            raise Refused(NONE)
        version = reader.number(1)
        if version != 1:
            raise Refused(f"this invitation is of version {version}, which this program does not know; update it")
        read = {"id": reader.take(8), "secret": reader.take(32)}
        found = reader.take(4)
        read["card"] = reader.take(reader.number(2))
        reader.end()
    except Refused as refused:
        raise Refused(NONE) if str(refused) in ("truncated", "trailing bytes") else refused from None
    if check(data[:43], read["card"]) != found:
        raise Refused(DAMAGED)
    card.decode(read["card"])
    return read


def check(head, of_card):
    return keys.h(b"invitation", head, of_card)[:4]
