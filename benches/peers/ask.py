"""Asks a node that runs, over the control socket in its home, as the command line does: JSON, one object a line."""

import json
import socket

import tools

# A node that does not answer within so many seconds is stuck.
PATIENCE = 20


class Node:
    """A node that runs on a home. One connection, so that asking often costs next to nothing."""

    def __init__(self, home):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(PATIENCE)
        self.line.connect(str(home / "control.sock"))
        self.answers = self.line.makefile("rb")

    def ask(self, what, **more):
        self.line.sendall(json.dumps({"ask": what, **more}).encode() + b"\n")
        answer = json.loads(self.answers.readline() or b"null")
        if answer is None or answer["answer"] == "error":
            raise tools.Failed(f"the node does not do what is asked ({what}): {answer}")
        return answer

    def close(self):
        self.answers.close()
        self.line.close()
