"""Statements of what grants have cost at a relay."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import card
import keys
from grant import fits
from vector import Refused, same

DAMAGED = "this statement is damaged; make it again with: ostrakon relay grant spent"
FORGED = "the signature of this statement is wrong: it was changed or forged; ask for it again"
AMOUNT = ("uint", "uint")
ROW = (card.KEY, card.KEY, card.KEY, card.KEY, AMOUNT, "uint", AMOUNT)
SHAPE = (card.KEY, "uint", "uint", [ROW])


def check_spending(vector):
    relay, number, counter, rows = decode(vector.body)
    seed = vector.bytes("relay-seed")
    same(relay, keys.KeyFile.verifier(seed), "relay")
    same([number, counter], [vector.number("number"), vector.number("counter")], "numbers")
    same(rows, [stated(row) for row in vector.all("row")], "rows")
    signed = b"OS\1" + card.encode([relay, number, counter, rows])
    same(signed + keys.KeyFile.signer(seed).sign(signed), vector.body, "bytes")
    same("ostrakon-spent:" + card.base32(vector.body), vector.text("text"), "text")


def stated(row):
    *names, granted, until, spent = row.split(" ")
    amounts = [[int(number) for number in amount.split("/")] for amount in (granted, spent)]
    return [*map(bytes.fromhex, names), amounts[0], int(until), amounts[1]]


def decode(data):
    signed, signature = data[:-64], data[-64:]
    if signed[:3] != b"OS\1":
        raise Refused("this is no statement of what was spent; make one with: ostrakon relay grant spent")
    try:
        value, rest = card.decode_item(signed[3:])
    except Refused:
        raise Refused(DAMAGED) from None
    if rest or not fits(value, SHAPE) or card.encode(value) != signed[3:]:
        raise Refused(DAMAGED)
    try:
        Ed25519PublicKey.from_public_bytes(value[0]).verify(signature, signed)
    except (InvalidSignature, ValueError):
        raise Refused(FORGED) from None
    return value
