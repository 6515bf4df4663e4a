"""The manifest. A part is kept as the text that the vectors state it in:

id|priority|lifetime|media type|name|inline|bytes
id|priority|lifetime|media type|name|coded|length|digest|scheme|slice length|slices|block symbols|repair symbols
"""

from blake3 import blake3

from fields import Reader, varint
from vector import Refused, same

CREATED, SHORT, SHARED = 1, 2, 4
OWN = "application/vnd.ostrakon."
MEDIA_TYPES = {
    1: "text/plain",
    2: "application/octet-stream",
    3: "image/jpeg",
    4: "image/png",
    5: "application/pdf",
    6: "application/json",
    0x80: OWN + "report",
    0x81: OWN + "session-ack",
    0x82: OWN + "cancel",
    0x83: OWN + "incarnation",
}
CODES = {name: code for code, name in MEDIA_TYPES.items()}


def check_manifest(vector):
    salt, created, parts, several = decode(vector.body)
    same(several, None, "several recipients")
    same(salt, vector.bytes("salt"), "salt")
    same([str(created)] if created is not None else [], vector.all("created"), "created")
    same(parts, vector.all("part"), "parts")
    made = encode(vector.bytes("salt"), created, vector.all("part"))
    same(made, vector.body, "bytes")
    hashed = blake3(derive_key_context="ostrakon 2026 message id v1")
    hashed.update(vector.bytes("from") + vector.bytes("to") + made)
    same(hashed.digest(), vector.bytes("id"), "message id")


def decode(data):
    reader = Reader(data)
    reader.version(1)
    flags = reader.flags(CREATED | SHORT | SHARED, "manifest flags")
    salt = reader.take(8)
    created = reader.number(4) if flags & CREATED else None
    if flags & SHORT:
        lifetime, media = reader.number(1), media_type(reader.number(1))
        parts = [f"1|0|{lifetime}|{media}||inline|{reader.take(reader.number(2)).hex()}"]
    else:
        parts = decode_table(reader)
    several = decode_several(reader, any("|coded|" in part for part in parts)) if flags & SHARED else None
    reader.end()
    control = has_short_form(parts) and parts[0].split("|")[3].startswith(OWN)
    if bool(flags & SHORT) != has_short_form(parts) or several and control:
        raise Refused("bad value of manifest form")
    return salt, created, parts, several


def decode_several(reader, coded_parts):
    """Recipients, commitment, content key, signature. The two in the middle are None without coded parts."""
    count, recipients = reader.number(1), []
    if count < 2:
        raise Refused("bad value of number of recipients")
    for _ in range(count):
        recipients.append(reader.take(32))
        if recipients != sorted(set(recipients)):
            raise Refused("bad value of order of recipients")
    commitment, key = (reader.take(32), reader.take(32)) if coded_parts else (None, None)
    return recipients, commitment, key, reader.take(64)


def encode(salt, created, parts, flags=0):
    short = has_short_form(parts)
    head = bytes([1, flags | (CREATED if created is not None else 0) | (SHORT if short else 0)]) + salt
    if created is not None:
        head += created.to_bytes(4, "big")
    if not short:
        return head + bytes([len(parts)]) + b"".join(map(encode_part, parts))
    field = parts[0].split("|")
    content = bytes.fromhex(field[6])
    return head + bytes([int(field[2]), CODES[field[3]]]) + len(content).to_bytes(2, "big") + content


def has_short_form(parts):
    field = parts[0].split("|")
    alone = len(parts) == 1 and field[:2] == ["1", "0"]
    return alone and field[3] in CODES and field[4:6] == ["", "inline"]


def media_type(code):
    if code not in MEDIA_TYPES:
        raise Refused("bad value of media type")
    return MEDIA_TYPES[code]


def decode_table(reader):
    count = reader.number(1)
    if count == 0:
        raise Refused("bad value of number of parts")
    seen, parts = {0}, []
    for _ in range(count):
        number, part = decode_part(reader)
        if number in seen:
            raise Refused("bad value of part id")
        seen.add(number)
        parts.append(part)
    return parts


def decode_part(reader):
    number, priority, lifetime, code = reader.take(4)
    media = media_type(code) if code else text(reader)
    if media.startswith(OWN) or code == 0 and media in CODES:
        raise Refused("bad value of media type")
    name, body = text(reader), reader.number(1)
    if body > 1:
        raise Refused("bad value of part body")
    told = coded(reader) if body else f"inline|{reader.take(reader.number(2)).hex()}"
    return number, f"{number}|{priority}|{lifetime}|{media}|{name}|{told}"


def text(reader):
    try:
        return reader.take(reader.number(1)).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("bad value of text") from None


def coded(reader):
    length, digest, scheme = reader.varint(), reader.take(32), reader.number(1)
    if scheme not in (1, 2, 3):
        raise Refused("bad value of coding scheme")
    slice_length, slices, k, r = reader.number(2), reader.number(1), reader.number(2), reader.number(2)
    symbol = slice_length * slices
    if 0 in (length, slices, symbol, k) or slices > 8:
        raise Refused("bad value of coding parameters")
    within = {
        1: k == 1 and r == 0,
        2: r >= 1 and k + r <= 255,
        3: r >= 1 and k <= 4096 and k + r <= 8192 and slice_length % 64 == 0,
    }
    if k * symbol > 16 << 20 or not within[scheme]:
        raise Refused("bad value of block size")
    if -(-length // symbol // k) > 1 << 16:
        raise Refused("bad value of number of blocks")
    return f"coded|{length}|{digest.hex()}|{scheme}|{slice_length}|{slices}|{k}|{r}"


def encode_part(part):
    number, priority, lifetime, media, name, body, *rest = part.split("|")
    out = bytes([int(number), int(priority), int(lifetime)])
    out += bytes([CODES[media]]) if media in CODES else b"\0" + with_length(media)
    out += with_length(name)
    if body == "inline":
        content = bytes.fromhex(rest[0])
        return out + b"\0" + len(content).to_bytes(2, "big") + content
    length, digest, scheme, slice_length, slices, k, r = rest
    out += b"\1" + varint(int(length)) + bytes.fromhex(digest) + bytes([int(scheme)])
    return out + b"".join(int(value).to_bytes(size, "big") for value, size in ((slice_length, 2), (slices, 1), (k, 2), (r, 2)))


def with_length(words):
    data = words.encode("utf-8")
    return bytes([len(data)]) + data
