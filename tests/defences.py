#!/usr/bin/env python3
"""Takes away one defence after the other and shows which attacks then succeed: tests/defences.py [NN...]

For each NN, or for all numbers that Cargo.toml has a feature break-NN for, the attacks are built without that defence and
run. A line says which fail. All is well if these are tests of attack NN, at least one, and no others, unless the same defence
stands against another attack as well.
"""

import os
import re
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
ENGINE = ["--package", "ostrakon", "--no-default-features", "--test", "attacks", "--test", "prekeys"]
# What stands in the way of this attack is in another package.
TRANSPORTS = {"32": ["--package", "ostrakon-transports", "--lib", "--test", "quic"]}
# A defence that stands against another attack too. The ledger keeps out what is replayed, also once its session gave way. Who finds
# no keys of old epochs can neither replay them nor steal them; and the session of an endpoint that no card names ends, be it
# revoked, or of who came by an invitation in the name of another. A flipped bit can make another version of a preamble. A test
# that makes a session by hand, to show what another suite is, needs the whole key schedule. A copy
# that counts like the first is made by relays, and by two devices of one person too. Leaving the signature
# of a message to several out is a downgrade too. Strangers who write the same in messages
# of one salt have messages of their own only if ids depend on the sender.
TOO = {"04": ("05",), "05": ("25",), "15": ("01",), "23": ("15",), "24": ("15",), "26": ("28",), "30": ("35",), "37": ("08",)}


def known():
    numbers = []
    for package in ("", "transports"):
        with open(os.path.join(ROOT, package, "Cargo.toml"), encoding="utf-8") as manifest:
            numbers += re.findall(r"^break-(\d\d) = ", manifest.read(), re.MULTILINE)
    return sorted(numbers)


def attack(target, features):
    """The tests that fail in a build with these features, or None if there is no result."""
    # Nothing of these builds is looked at or built upon.
    environment = dict(os.environ, CARGO_INCREMENTAL="0", CARGO_PROFILE_DEV_DEBUG="0", RUST_BACKTRACE="0")
    command = ["cargo", "test", "--locked", "--no-fail-fast", *target, "--features", features, "attack_"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if not re.search(r"^test result: ", done.stdout, re.MULTILINE):
        print(done.stdout, done.stderr, file=sys.stderr)
        return None
    return sorted(re.findall(r"^test \S*?(attack_\w+) \.\.\. FAILED$", done.stdout, re.MULTILINE))


def verdict(number, failed):
    if failed is None:
        return "no result"
    own = [name for name in failed if name.startswith(f"attack_{number}_")]
    if not own:
        return "no attack of this number succeeds"
    expected = tuple(f"attack_{one}_" for one in (number, *TOO.get(number, ())))
    return "" if all(name.startswith(expected) for name in failed) else "others succeed too"


def main():
    numbers = sys.argv[1:] or known()
    unknown = [number for number in numbers if number not in known()]
    if unknown:
        sys.exit(f"no feature takes away a defence called {', '.join(unknown)}; there are {', '.join(known())}")
    if attack(ENGINE, "sim") != []:
        sys.exit("with all defences in place an attack succeeds, or the attacks do not build; mend that first")
    wrong = 0
    for number in numbers:
        start = time.monotonic()
        failed = attack(TRANSPORTS.get(number, ENGINE), f"break-{number}")
        why = verdict(number, failed)
        wrong += why != ""
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{number}  {' '.join(failed or ['-'])}  ({took}){'  WRONG: ' + why if why else ''}", flush=True)
    sys.exit(1 if wrong else 0)


main()
