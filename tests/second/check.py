"""Opens every vector of a folder and compares what comes of it with what the file states: check.py FOLDER

A vector that succeeds has to fail with a bit flipped, so that a check which compares nothing does not pass.
"""

import collections
import pathlib
import sys

from card import check_card
from coding import check_coding
from content import check_content
from enrolment import check_code, check_enrolment
from fragment import check_fragment
from frames import check_chunk, check_envelope, check_piece, check_varint
from generation import check_answer, check_generation
from generation import check_epoch as check_later_epoch
from generation import check_preamble as check_later_preamble
from incarnation import check_incarnation
from introduction import check_introduction
from invitation import check_invitation
from keys import check_safety_number, check_tag
from grant import check_grant
from lockbox import check_lockbox
from manifest import check_manifest
from report import check_report
from roster import check_roster
from session import check_epoch, check_preamble
from shared import check_shared
from signer import check_root
from spending import check_spending
from vector import Refused, Vector
from voice import check_number, check_step

CHECKS = {
    "card": check_card,
    "coding": check_coding,
    "content": check_content,
    "enrolment": check_enrolment,
    "enrolment-code": check_code,
    "envelope": check_envelope,
    "epoch": check_epoch,
    "fragment": check_fragment,
    "generation": check_generation,
    "generation-answer": check_answer,
    "generation-epoch": check_later_epoch,
    "generation-preamble": check_later_preamble,
    "grant": check_grant,
    "incarnation": check_incarnation,
    "introduction": check_introduction,
    "invitation": check_invitation,
    "lockbox": check_lockbox,
    "mailbox-tag": check_tag,
    "manifest": check_manifest,
    "manifest-chunk": check_chunk,
    "piece": check_piece,
    "preamble": check_preamble,
    "report": check_report,
    "root": check_root,
    "roster": check_roster,
    "safety-number": check_safety_number,
    "shared": check_shared,
    "spending": check_spending,
    "varint": check_varint,
    "voice-number": check_number,
    "voice-step": check_step,
}


def outcome(vector):
    """`success`, or the words of the refusal. An error of any other kind is an outcome that no vector expects."""
    try:
        CHECKS[vector.text("type")](vector)
        return "success"
    except Refused as refused:
        return str(refused)
    except Exception as error:  # a vector that is malformed itself, an unknown type, a difference
        return f"{type(error).__name__}: {error}"


def changed(vector):
    """Its first, middle and last byte, each with a bit flipped: the copies that are still taken, though none may be."""
    body, still = vector.body, 0
    for at in {0, len(body) // 2, len(body) - 1}:
        vector.body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        still += outcome(vector) == "success"
    vector.body = body
    return still


def main(folder):
    taken, refused, differing = collections.Counter(), collections.Counter(), 0
    for path in sorted(pathlib.Path(folder).glob("*.txt")):
        vector = Vector(path)
        expected, got = vector.text("expect"), outcome(vector)
        if got != expected:
            differing += 1
            print(f"{vector.name}: expected {expected!r}, but {got}", file=sys.stderr)
        if expected == "success" and changed(vector):
            differing += 1
            print(f"{vector.name}: taken although a bit of it was flipped", file=sys.stderr)
        counter = taken if expected == "success" else refused
        counter[vector.text("type")] += got == expected
    for kind in CHECKS:
        print(f"{kind}: {taken[kind]} opened, {refused[kind]} refused as stated")
        if not taken[kind]:
            differing += 1
            print(f"{kind}: no vector of this type was opened", file=sys.stderr)
    print(f"second implementation: {sum(taken.values()) + sum(refused.values())} as stated, {differing} not")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
