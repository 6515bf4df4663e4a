"""Grants: a chain of signed links, each of which allows no more than the one before it."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import card
import keys
from vector import Refused, same

DAMAGED = "this grant is damaged or not in canonical form; ask for it again"
FORGED = "a signature of this grant is wrong: it was changed or forged; ask for it again"
TERMS = (card.KEY, [card.KEY], "uint", "uint", "byte", "uint", ("bytes", 8))
SHAPE = (card.KEY, [(TERMS, ("bytes", 64))])


def check_grant(vector):
    links, ids = decode(vector.body)
    same(["".join(f"{byte:02x}" for byte in number) for number in ids], vector.all("id"), "ids")
    same("ostrakon-grant:" + card.base32(vector.body), vector.text("text"), "text")
    signer, before = vector.bytes("issuer-seed"), bytes(32)
    issuer, made = keys.KeyFile.verifier(signer), []
    for link in vector.all("link"):
        holder, terms = stated(link)
        signed = b"ostrakon grant v1" + issuer + before + card.encode(terms)
        made.append([terms, keys.KeyFile.signer(signer).sign(signed)])
        signer, before = holder, keys.h(b"grant", signed)
    same(links, made, "links")
    same(b"OG\1" + card.encode([issuer, made]), vector.body, "bytes")


def stated(link):
    seed, mailboxes, *numbers, salt = link.split(" ")
    boxes = [] if mailboxes == "-" else [bytes.fromhex(key) for key in mailboxes.split(",")]
    seed = bytes.fromhex(seed)
    return seed, [keys.KeyFile.verifier(seed), boxes, *map(int, numbers), bytes.fromhex(salt)]


def decode(data):
    if len(data) > 1024 or len(data) < 3 or data[:2] != b"OG":
        raise Refused("this is no grant; it starts with ostrakon-grant: and has to be copied whole")
    if data[2] != 1:
        raise Refused(f"this grant is of version {data[2]}, which this program does not know; update it")
    try:
        value, rest = card.decode_item(data[3:])
    except Refused:
        raise Refused(DAMAGED) from None
    if rest or not fits(value, SHAPE) or card.encode(value) != data[3:]:
        raise Refused(DAMAGED)
    issuer, links = value
    if not 1 <= len(links) <= 4:
        raise Refused("a grant has 1 to 4 links; ask the holder of a shorter one")
    former = None
    for terms, _signature in links:
        former = narrowed(terms, former)
    return links, verified(issuer, links)


def narrowed(terms, former):
    """What a link allows with what it inherits, if it allows no more than the one before it."""
    _holder, mailboxes, size, frames, priority, until, _salt = terms
    if len(mailboxes) > 8 or any(a >= b for a, b in zip(mailboxes, mailboxes[1:])):
        raise Refused("this grant has no usable mailboxes; ask for a new one")
    if priority > 3:
        raise Refused("this grant has no usable priority; ask for a new one")
    if former is None:
        return mailboxes, size, frames, priority, until
    outside = former[0] and any(mailbox not in former[0] for mailbox in mailboxes)
    wider = {
        "mailboxes": outside,
        "bytes": size > former[1],
        "frames": frames > former[2],
        "urgency": priority < former[3],
        "time": until > former[4],
    }
    for what, is_wider in wider.items():
        if is_wider:
            raise Refused(f"this grant allows more {what} than the one that it was made from; ask for a narrower one")
    return mailboxes or former[0], size, frames, priority, until


def verified(issuer, links):
    signer, before, ids = issuer, bytes(32), []
    for terms, signature in links:
        signed = b"ostrakon grant v1" + issuer + before + card.encode(terms)
        try:
            Ed25519PublicKey.from_public_bytes(signer).verify(signature, signed)
        except (InvalidSignature, ValueError):
            raise Refused(FORGED) from None
        signer, before = terms[0], keys.h(b"grant", signed)
        ids.append(before)
    return ids


def fits(value, shape):
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if isinstance(shape, tuple) and shape[0] == "bytes":
        return isinstance(value, bytes) and len(value) == shape[1]
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    return isinstance(value, int) and value < 1 << (8 if shape == "byte" else 64)
