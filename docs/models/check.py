"""Runs every case of every model and compares each verdict with what its file expects: check.py VERIFPAL [MODEL...]

A model states its cases in lines `// case: LEAKS -> CODE | CODE`: the verdicts of its queries, in their order, with one
session of everybody and with two. A verdict is the first letter of what is asked for, and 0 if it holds, 1 if it does not,
and r if the attack that was found is that something genuine is taken a second time. The tool shows one attack for each
verdict, so an r with two sessions does not rule a forgery out; the 0 with one session does, within one session.

LEAKS is `nothing leaks`, or `before, Bob leaks b_s; Alice leaks a_s` for what an attacker has from the beginning, or the same
with `after` for what he gets once all is over, or with `listening` for what somebody has from the beginning who changes nothing.
The leaks are put in at the line `// before` or `// after`.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

CASE = re.compile(r"^// case: (.+) -> (\w+) \| (\w+)$", re.MULTILINE)


def with_leaks(text, leaks):
    if leaks == "nothing leaks":
        return text
    when, blocks = leaks.split(", ", 1)
    if when == "listening":
        when, text = "before", text.replace("attacker[active]", "attacker[passive]")
    put = ["phase[1]"] if when == "after" else []
    for block in blocks.split("; "):
        who, what = block.split(" leaks ")
        put.append(f"principal {who}[leaks {what}]")
    mark = f"\n// {when}\n"
    if text.count(mark) != 1:
        raise SystemExit(f"a model has to have one line `// {when}` for its case `{leaks}`")
    return text.replace(mark, "\n" + "\n".join(put) + "\n")


def verdicts(verifpal, text, sessions):
    with tempfile.NamedTemporaryFile("w", suffix=".vp", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        command = [verifpal, "verify", "--format", "json", "--sessions", str(sessions), file.name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"verifpal failed: {done.stdout} {done.stderr}")
    model = json.loads(done.stdout)["models"][0]
    return "".join(query["kind"][0] + verdict(query) for query in model["analysis"]["queries"])


def verdict(query):
    if not query["resolved"]:
        # The search has to have gone to its end.
        return "0" if query["envelope"]["exhausted"] else "?"
    return "r" if query.get("subtype", "").startswith("duplicate acceptance") else "1"


def main(verifpal, paths):
    differing, queries = 0, 0
    for path in paths:
        text = path.read_text(encoding="utf-8")
        cases = CASE.findall(text)
        if not cases or len(cases) != text.count("// case:"):
            raise SystemExit(f"{path.name}: a case is missing or does not read")
        for leaks, *expected in cases:
            for sessions, code in enumerate(expected, 1):
                start = time.monotonic()
                got = verdicts(verifpal, with_leaks(text, leaks), sessions)
                seconds = time.monotonic() - start
                queries += len(code) // 2
                differing += got != code
                told = "as expected" if got == code else f"EXPECTED {code}"
                print(f"{path.name}, {leaks}, {sessions} session(s): {got} {told}, {seconds:.1f} s", flush=True)
    print(f"models: {queries} verdicts, {differing} runs not as expected")
    return 1 if differing else 0


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    models = [here / name for name in sys.argv[2:]] or sorted(here.glob("*.vp"))
    sys.exit(main(sys.argv[1], models))
