"""Contact cards: canonical CBOR (RFC 8949, section 4.2.1), the signature, the text form, the rules of names."""

import base64
import re
import unicodedata

import keys
import signer
from vector import Refused, same

NO_CARD = "this is no contact card; it starts with ostrakon-card: and has to be copied whole"
DAMAGED = "this contact card is damaged or not in canonical form; ask for it again"
FORGED = "the signature of this contact card is wrong: it was changed or forged; ask for it again"
HIDDEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
FIELDS = ("sequence", "name", "root", "inbox", "prekeys", "endpoints", "mailbox", "relays", "capabilities")
KEY = ("bytes", 32)
# The shape of the array; a list of one shape is an array of any length.
SHAPE = ("uint", "text", KEY, KEY, [("uint32", KEY)], [(KEY, KEY, KEY)], KEY, ["text"], "uint")


def check_card(vector):
    card = decode(vector.body)
    same([card["name"], card["sequence"]], [vector.text("name"), vector.number("sequence")], "name, sequence")
    same(card["relays"], vector.all("relay"), "relays")
    same("ostrakon:person:" + base32(card["root"]), vector.text("person"), "person")
    same("ostrakon-card:" + base32(vector.body), vector.text("text"), "text")
    same(from_text(vector.text("text")), card, "card in text")
    own = keys.KeyFile(vector.bytes("key-file"))
    stated = [vector.number("sequence"), vector.text("name"), own.person, keys.public(own.inbox)]
    stated += [[[number, keys.public(own.prekey(number))] for number in (own.current, own.current + 1)]]
    stated += [[[own.verifier(own.endpoint), keys.public(own.static), own.verifier(own.link)]]]
    stated += [own.verifier(own.mailbox), vector.all("relay"), 3]
    bounds = [int(largest) for largest in vector.all("largest")]
    same(own.sign(b"OC", encode(stated + bounds), 2 if bounds else 0), vector.body, "bytes")


def decode(data):
    if len(data) > 4096 or len(data) < 3 or data[:2] != b"OC":
        raise Refused(NO_CARD)
    if not 1 <= data[2] <= 4:
        raise Refused(f"this contact card is of version {data[2]}, which this program does not know; update it")
    delegated, bounded = data[2] in (2, 4), data[2] > 2
    cbor = data[3 : -signer.length(delegated)]
    value, rest = decode_item(cbor)
    if rest or not fits(value, SHAPE + ("uint",) if bounded else SHAPE) or encode(value) != cbor:
        raise Refused(DAMAGED)
    card = dict(zip(FIELDS, value))
    card["largest"] = value[-1] if bounded else None
    if not signer.is_signed(card["root"], delegated, data):
        raise Refused(FORGED)
    for field, good in usable(card).items():
        if not good:
            raise Refused(f"this contact card has no usable {field}; ask for a new one")
    return card


def usable(card):
    return {
        "name": is_name(card["name"]),
        "prekey": 1 <= len(card["prekeys"]) <= 16,
        "endpoint": 1 <= len(card["endpoints"]) <= 16,
        "relay address": len(card["relays"]) <= 8
        and all(len(relay.encode()) <= 255 and not has_control(relay) for relay in card["relays"]),
        "largest message": card["largest"] is None or card["largest"] >= 65536,
    }


def is_name(name):
    hidden = has_control(name) or HIDDEN.search(name)
    return 1 <= len(name.encode()) <= 64 and name.strip() and not hidden and not name.lower().startswith("ostrakon:")


def has_control(text):
    return any(unicodedata.category(char) == "Cc" for char in text)


def fits(value, shape):
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if shape == KEY:
        return isinstance(value, bytes) and len(value) == 32
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    if shape == "uint32":
        return isinstance(value, int) and value < 1 << 32
    return isinstance(value, {"uint": int, "text": str}[shape])


def encode(value):
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(encode, value))


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    power = next(power for power in range(4) if value < 1 << (8 << power))
    return bytes([major << 5 | 24 + power]) + value.to_bytes(1 << power, "big")


def decode_item(data, depth=0):
    """One item and what follows it. Longer forms than need be are read; encoding again gives them away."""
    if not data or depth > 5:
        raise Refused(DAMAGED)
    major, value, data = data[0] >> 5, data[0] & 31, data[1:]
    if value >= 24:
        size = 1 << (value - 24)
        if value > 27 or len(data) < size:
            raise Refused(DAMAGED)
        value, data = int.from_bytes(data[:size], "big"), data[size:]
    if major == 0:
        return value, data
    if major == 4:
        items = []
        for _ in range(value):
            item, data = decode_item(data, depth + 1)
            items.append(item)
        return items, data
    if major not in (2, 3) or len(data) < value:
        raise Refused(DAMAGED)
    content, data = data[:value], data[value:]
    try:
        return (content if major == 2 else content.decode("utf-8")), data
    except UnicodeDecodeError:
        raise Refused(DAMAGED) from None


def base32(data):
    return base64.b32encode(data).decode().rstrip("=").lower()


def from_text(text):
    """A card alone in a text. To find one among other words is the program's comfort and no part of the format."""
    digits = "".join(text.split()).removeprefix("ostrakon-card:").upper()
    return decode(base64.b32decode(digits + "=" * (-len(digits) % 8)))
