"""The reception report. What is held of a block is a list of masks, one byte for each symbol: the slices that are here.
A part is kept as the text that the vectors state it in: `part complete`, or `part solved-up-to block:solved block:masks`.
"""

from fields import Reader, varint
from vector import Refused, same

FLAGS = ("complete", "manifest", "partial", "unwanted", "apart")
SYMBOLS = 8192
BLOCKS = 1 << 16
# The message that the vectors report on has parts 1 to 199.
PARTS = range(1, 200)


def check_report(vector):
    full = vector.bytes("full-mask")[0]
    header, parts = decode(vector.body, full)
    flags, message, number, delay = header
    same(" ".join(name for bit, name in enumerate(FLAGS) if flags >> bit & 1), vector.text("flags"), "flags")
    same(message, vector.bytes("message"), "message")
    same([number, delay], [vector.number("number"), vector.number("delay-ms")], "number, delay-ms")
    same(parts, vector.all("part"), "parts")
    flags = sum(1 << FLAGS.index(name) for name in vector.text("flags").split())
    made = bytes([1, flags]) + vector.bytes("message") + vector.number("number").to_bytes(4, "big")
    made += vector.number("delay-ms").to_bytes(2, "big")
    made += b"".join(encode_part(part, full) for part in vector.all("part"))
    same(made, vector.body, "bytes")


def decode(data, full):
    reader = Reader(data)
    reader.version(1)
    header = (reader.flags(31, "report flags"), reader.take(16), reader.number(4), reader.number(2))
    parts, last = [], -1
    while reader.rest:
        part = reader.number(1)
        if part <= last:
            raise Refused("bad value of order of parts")
        if part not in PARTS:
            raise Refused("bad value of part")
        last = part
        parts.append(f"{part} {decode_state(reader, full)}")
    return header, parts


def decode_state(reader, full):
    state = reader.number(1)
    if state == 0:
        return "complete"
    if state > 2:
        raise Refused("bad value of state of a part")
    solved, first = reader.varint(BLOCKS), reader.varint(BLOCKS)
    words, block = [str(solved)], solved + first
    for _ in range(reader.varint(BLOCKS)):
        block += reader.varint()
        if block >= BLOCKS:
            raise Refused("bad value of block")
        words.append(f"{block}:{decode_block(reader, full)}")
        block += 1
    if state == 2 or first:
        words.append("cut off")  # no vector states this
    return " ".join(words)


def decode_block(reader, full):
    form = reader.number(1)
    if form == 0:
        return "solved"
    if form > 3:
        raise Refused("bad value of form of a block")
    held = {}
    if form == 3:
        groups = reader.number(1)
        if groups > 8:
            raise Refused("bad value of number of groups")
        for _ in range(groups):
            mask = reader.number(1)
            for symbol in bitmap(reader):
                held[symbol] = held.get(symbol, 0) | mask
    else:
        held = {symbol: full for symbol in (bitmap(reader) if form == 1 else runs(reader))}
        symbol = 0
        for _ in range(reader.varint(SYMBOLS)):
            symbol += reader.varint(SYMBOLS)
            if symbol >= SYMBOLS:
                raise Refused("bad value of symbol")
            held[symbol] = held.get(symbol, 0) | reader.number(1)
            symbol += 1
    return bytes(held.get(symbol, 0) & full for symbol in range(max(held, default=-1) + 1)).hex()


def bitmap(reader):
    bits = int.from_bytes(reader.take(reader.varint(SYMBOLS // 8)), "little")
    return [symbol for symbol in range(bits.bit_length()) if bits >> symbol & 1]


def runs(reader):
    here = list(range(reader.varint(SYMBOLS)))
    held, at = set(here), 0
    for _ in range(reader.varint(SYMBOLS)):
        start = at + reader.varint(SYMBOLS)
        at = start + reader.varint(SYMBOLS) + 1
        if at > len(here):
            raise Refused("bad value of run")
        held.difference_update(range(start, at))
    return sorted(held)


def encode_part(part, full):
    number, state, *listed = part.split()
    if state == "complete":
        return bytes([int(number), 0])
    out = bytes([int(number), 1]) + varint(int(state)) + varint(0) + varint(len(listed))
    following = int(state)
    for word in listed:
        block, held = word.split(":")
        out += varint(int(block) - following) + encode_block(held, full)
        following = int(block) + 1
    return out


def encode_block(held, full):
    if held == "solved":
        return b"\0"
    masks = bytes.fromhex(held)
    whole = [symbol for symbol, mask in enumerate(masks) if mask == full]
    pieces = [(symbol, mask) for symbol, mask in enumerate(masks) if mask not in (0, full)]
    tail, following = varint(len(pieces)), 0
    for symbol, mask in pieces:
        tail += varint(symbol - following) + bytes([mask])
        following = symbol + 1
    forms = [b"\1" + put_bitmap(whole) + tail, b"\2" + put_runs(whole) + tail, b"\3" + put_groups(masks, full)]
    return min(forms, key=len)  # of equally long ones the first


def put_bitmap(symbols):
    bits = sum(1 << symbol for symbol in symbols)
    length = -(-bits.bit_length() // 8)
    return varint(length) + bits.to_bytes(length, "little")


def put_runs(whole):
    gaps, at = [], 0
    for symbol in whole:
        if symbol > at:
            gaps.append((at, symbol))
        at = symbol + 1
    out, end = varint(at) + varint(len(gaps)), 0
    for start, stop in gaps:
        out += varint(start - end) + varint(stop - start - 1)
        end = stop
    return out


def put_groups(masks, full):
    groups = {}
    for slice_number in range(8):
        if full >> slice_number & 1:
            of_slice = tuple(symbol for symbol, mask in enumerate(masks) if mask >> slice_number & 1)
            groups[of_slice] = groups.get(of_slice, 0) | 1 << slice_number
    return bytes([len(groups)]) + b"".join(bytes([mask]) + put_bitmap(symbols) for symbols, mask in groups.items())
