"""Preambles, from both ends, and what follows from them."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import card
import keys
from fields import Reader
from vector import Refused, same


def check_preamble(vector):
    me, number = keys.KeyFile(vector.bytes("recipient-key-file")), vector.number("epoch")
    session, epoch = accept(me, card.from_text(vector.text("sender-card")), vector.body, stated(vector))
    same(session.id, vector.bytes("session-id"), "session id")
    same(epoch, number, "epoch")
    session, announce = opened(vector)
    same(session.id, vector.bytes("session-id"), "session id of the sender")
    same(announce(number), vector.body, "bytes")


def check_epoch(vector):
    """The recipient has the preamble of epoch 0 only, and finds the epoch by its five lower bits."""
    me, number, message = keys.KeyFile(vector.bytes("recipient-key-file")), vector.number("epoch"), vector.bytes("message")
    session, newest = accept(me, card.from_text(vector.text("sender-card")), vector.bytes("preamble"))
    window = [epoch for epoch in range(max(0, newest - 13), newest + 19) if epoch & 31 == number & 31]
    same(window, [number], "epochs of the window with these five bits")
    same(keys.message_keys(session, number, message), vector.body, "of the recipient")
    same(keys.message_keys(opened(vector)[0], number, message), vector.body, "of the sender")


def stated(vector):
    """The invitation of the recipient: its id and its secret."""
    if not vector.all("invitation"):
        return None
    return vector.bytes("invitation"), vector.bytes("invitation-secret")


def opened(vector):
    """The session as its sender opens it, and what writes its preamble."""
    me, to = keys.KeyFile(vector.bytes("sender-key-file")), card.from_text(vector.text("recipient-card"))
    secret = vector.bytes("ephemeral-secret")
    ephemeral, static, root = keys.public(secret), keys.public(me.static), me.person
    prekey_id, prekey = to["prekeys"][-1]
    inbox = keys.agree(secret, to["inbox"])
    agreements = [keys.agree(me.static, prekey), inbox, keys.agree(secret, prekey), keys.agree(me.static, to["inbox"])]
    invitation = stated(vector)
    session = keys.Session(
        root, to["root"], static, to["inbox"], prekey_id, ephemeral, agreements, invitation=invitation
    )

    def announce(epoch):
        body = static + root + b"".join(map(keys.u32, (prekey_id, session.generation, epoch)))
        body += invitation[0] if invitation else b""
        nonce = session.confirmation(body)
        sealed = outer(ephemeral, to["inbox"], inbox).encrypt(nonce, body, ephemeral)
        return (b"\xe0\x03" if invitation else b"\xe0\x01") + ephemeral + nonce + sealed

    return session, announce


def outer(ephemeral, inbox_public, agreement):
    salt = keys.h(b"preamble", ephemeral, inbox_public)
    return ChaCha20Poly1305(keys.expand(keys.extract(salt, agreement), b"preamble", 0))


def accept(me, sender, frame, invitation=None):
    """The session and the epoch that a preamble announces."""
    reader = Reader(frame)
    lengths = {b"\xe0\x01": 92, b"\xe0\x03": 100}
    length = lengths.get(reader.take(2))
    if length is None:
        raise Refused("bad value of kind")
    ephemeral, nonce, sealed = reader.take(32), reader.take(12), reader.take(length)
    reader.end()
    inbox = keys.agree(me.inbox, ephemeral)
    try:
        body = outer(ephemeral, keys.public(me.inbox), inbox).decrypt(nonce, sealed, ephemeral)
    except InvalidTag:
        raise Refused("a preamble does not open") from None
    reader = Reader(body)
    static, root = reader.take(32), reader.take(32)
    prekey_id, generation, epoch = (reader.number(4) for _ in range(3))
    named = reader.rest or None
    if root != sender["root"] or static not in [endpoint[1] for endpoint in sender["endpoints"]]:
        raise Refused("a preamble of a stranger")
    if named and (invitation is None or invitation[0] != named):
        raise Refused("a preamble with an invitation that is not open")
    prekey = me.prekey(prekey_id)
    agreements = [keys.agree(prekey, static), inbox, keys.agree(prekey, ephemeral), keys.agree(me.inbox, static)]
    own = me.person, keys.public(me.inbox)
    session = keys.Session(root, own[0], static, own[1], prekey_id, ephemeral, agreements, generation, invitation if named else None)
    if session.confirmation(body) != nonce:
        raise Refused("a preamble does not open")
    if epoch > 16_384:
        raise Refused("a preamble of an epoch that is too far ahead")
    return session, epoch
