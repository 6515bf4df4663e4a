"""What is compared: how each is installed, started and watched. Host a sends, host b receives."""

import re
import subprocess
import sys
import time
from pathlib import Path

import ask
import tools
from links import A, B, PATIENCE

HERE = Path(__file__).resolve().parent
PORT = 7900


class Peer:
    """A way to bring one file from a to b."""

    name = ""

    @classmethod
    def install(cls):
        """Has what it needs installed."""

    def __init__(self, net, scratch, path, link):
        self.net, self.scratch, self.path, self.link = net, scratch, path, link
        self.size, self.digest = path.stat().st_size, tools.digest(path)
        self.processes = []
        self.sender = None
        self.inbox = scratch / "inbox"
        self.inbox.mkdir()

    def spawn(self, host, *command, log="log", **more):
        process = tools.Process(self.net.host(host, *command), self.scratch / log, **more)
        self.processes.append(process)
        return process

    def prepare(self):
        """Everything that happens before the clock runs."""

    def start(self):
        """Begins to send, or goes on after a kill."""
        raise NotImplementedError

    def arrived(self):
        """The file at the receiver's side, if it is there."""
        found = [path for path in self.inbox.rglob("*") if path.is_file() and path.stat().st_size == self.size]
        return next((path for path in found if tools.digest(path) == self.digest), None)

    def wait(self, until):
        """Whether the file was whole at the receiver's side before that moment."""
        while time.monotonic() < until:
            if self.arrived():
                return True
            if self.given_up():
                return self.arrived() is not None
            time.sleep(0.02)
        return False

    def given_up(self):
        """Whether the sender has ended, so that nothing more will come."""
        if self.sender is None or self.sender.running():
            return False
        time.sleep(1)
        return True

    def why(self):
        return self.sender.last() if self.sender and not self.sender.running() else "too slow"

    def kill_sender(self):
        self.sender.kill()

    def stop(self):
        for process in self.processes:
            process.kill()


class Ostrakon(Peer):
    name, control = "ostrakon", "own"

    def ostrakon(self, host, *command):
        home = self.scratch / f"home-{host}"
        return [str(tools.PROGRAMS / "ostrakon"), *command, "--home", str(home)]

    def prepare(self):
        self.introduce()
        self.net.run("a", *self.ostrakon("a", "link", "add", "direct", f"quic://{B}:{PORT}", "--person", "Bo", "--control", self.control))
        self.begin_receiver()
        self.begin_sender()
        self.sent = False
        # Warm: the connection is there before the clock runs, as it is between nodes that run for long.
        self.wait_until_up()

    def introduce(self):
        """Two homes that know each other."""
        for host, name in (("a", "Amina"), ("b", "Bo")):
            self.net.run(host, *self.ostrakon(host, "init", "--name", name))
            self.net.run(host, *self.ostrakon(host, "card", "--out", str(self.scratch / f"{host}.card")))
        self.net.run("a", *self.ostrakon("a", "person", "add", str(self.scratch / "b.card")))
        self.net.run("b", *self.ostrakon("b", "person", "add", str(self.scratch / "a.card")))

    def begin_receiver(self):
        self.spawn("b", *self.ostrakon("b", "node", "--listen", f"0.0.0.0:{PORT}"), log="b.log")
        self.receiver = self.node("b")

    def begin_sender(self):
        self.sender = self.spawn("a", *self.ostrakon("a", "node", "--listen", "none"), log="a.log")

    def node(self, host):
        """The node on a host, to ask it, once it answers."""
        until = time.monotonic() + ask.PATIENCE
        while True:
            try:
                return ask.Node(self.scratch / f"home-{host}")
            except OSError as error:
                if time.monotonic() > until:
                    raise tools.Failed(f"the node of {host} does not come up: {error}") from error
                time.sleep(0.02)

    def wait_until_up(self, patience=30):
        node = self.node("a")
        until = time.monotonic() + patience
        while not all(link["up"] for link in node.ask("status")["links"]):
            if time.monotonic() > until:
                raise tools.Failed(f"no connection within {patience} s")
            time.sleep(0.1)
        node.close()

    def start(self):
        if not self.sent:
            self.net.run("a", *self.ostrakon("a", "send", "Bo", "--file", str(self.path)))
            self.sent = True
        else:
            self.begin_sender()

    def arrived(self):
        """Where the file was saved, if a whole message with just this file is in the inbox."""
        for message in self.receiver.ask("inbox")["messages"]:
            if message["complete"] and [part["bytes"] for part in message["parts"]] == [self.size]:
                saved = self.receiver.ask("save", message=message["message"], dir=str(self.scratch / "saved"))
                return next((path for path in saved["files"] if tools.digest(path) == self.digest), None)
        return None


class Tcp(Peer):
    """One stream of bytes, with a congestion control of one's choice."""

    control = ""

    def prepare(self):
        self.spawn("b", sys.executable, HERE / "tcp.py", "receive", B, PORT, self.inbox / "file", log="b.log")
        time.sleep(0.5)

    def start(self):
        self.sender = self.spawn("a", sys.executable, HERE / "tcp.py", "send", B, PORT, self.path, self.control, log="a.log")


class TcpCubic(Tcp):
    name, control = "TCP CUBIC", "cubic"


class TcpBbr(Tcp):
    name, control = "TCP BBR", "bbr"


class Quinn(Peer):
    """One stream of the QUIC library that ostrakon uses, with a congestion control of the library."""

    control = ""

    def prepare(self):
        program = tools.PROGRAMS / "examples" / "quic_stream"
        self.spawn("b", program, "receive", f"{B}:{PORT}", self.inbox / "file", self.control, log="b.log")
        time.sleep(0.5)

    def start(self):
        program = tools.PROGRAMS / "examples" / "quic_stream"
        self.sender = self.spawn("a", program, "send", f"{B}:{PORT}", self.path, self.control, log="a.log")


class QuinnCubic(Quinn):
    name, control = "quinn CUBIC", "cubic"


class QuinnBbr(Quinn):
    name, control = "quinn BBR", "bbr"


class Rsync(Peer):
    name = "rsync"

    @classmethod
    def install(cls):
        tools.package("rsync")

    def prepare(self):
        config = self.scratch / "rsyncd.conf"
        config.write_text(f"use chroot = no\nuid = 0\ngid = 0\n[inbox]\npath = {self.inbox}\nread only = no\n")
        self.spawn("b", "rsync", "--daemon", "--no-detach", f"--config={config}", f"--port={PORT}", f"--address={B}", log="b.log")
        time.sleep(0.5)

    def start(self):
        self.sender = self.spawn("a", "rsync", "--partial", "--inplace", self.path, f"rsync://{B}:{PORT}/inbox/", log="a.log")


class Uftp(Peer):
    """Multicast file transfer, here to one host, at a rate that it has to be told."""

    name = "uftp"

    @classmethod
    def install(cls):
        tools.package("uftp")

    def prepare(self):
        # It asks for the sender's name, and would wait ten seconds for an answer that cannot come.
        self.spawn("b", "env", "RES_OPTIONS=timeout:1 attempts:1", "uftpd", "-d", "-D", self.inbox, "-I", B, "-p", PORT, log="b.log")
        time.sleep(0.5)

    def start(self):
        rate = int(self.link.rate_bps / 1000 * 0.94)
        self.sender = self.spawn("a", "uftp", "-M", B, "-I", A, "-p", PORT, "-R", rate, "-s", 20, self.path, log="a.log")


class Nncp(Peer):
    """Store and forward: packed into a spool, called, tossed out of it."""

    name = "NNCP"

    @classmethod
    def install(cls):
        tools.package("nncp-call", "nncp")

    def prepare(self):
        own = {host: self.configure(host) for host in "ab"}
        for host, other in (("a", "b"), ("b", "a")):
            text = own[host]
            there = self_block(own[other])
            address = f'addrs: {{ lan: "{B}:{PORT}" }}' if other == "b" else ""
            block = f'{other}: {{ id: "{there["id"]}" exchpub: "{there["exchpub"]}" signpub: "{there["signpub"]}" noisepub: "{there["noisepub"]}" incoming: "{self.inbox}" {address} }}'
            text = text.replace("neigh: {", "neigh: {\n" + block, 1)
            (self.scratch / f"{host}.hjson").write_text(text)
        self.spawn("b", "nncp-daemon", "-cfg", self.scratch / "b.hjson", "-bind", f"{B}:{PORT}", "-autotoss", log="b.log")
        self.packed = False
        time.sleep(0.5)

    def configure(self, host):
        spool = self.scratch / f"spool-{host}"
        spool.mkdir()
        text = subprocess.run(["nncp-cfgnew", "-nocomments"], capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
        text = re.sub(r"spool: .*", f"spool: {spool}", text)
        return re.sub(r"log: .*", f"log: {self.scratch}/{host}.nncp.log", text)

    def start(self):
        config = self.scratch / "a.hjson"
        if not self.packed:
            self.net.run("a", "nncp-file", "-cfg", config, "-quiet", self.path, "b:")
            self.packed = True
        self.sender = self.spawn("a", "nncp-call", "-cfg", config, "-onlinedeadline", 60, "b", log="a.log")


def self_block(config):
    """The public half of a configuration."""
    inner = config[config.index("self: {") :]
    return {key: re.search(rf"\b{key}: (\S+)", inner).group(1).strip('"') for key in ("id", "exchpub", "signpub", "noisepub")}


class Lxmf(Peer):
    """Messages over Reticulum, here by a TCP interface."""

    name = "LXMF"
    python = None

    @classmethod
    def install(cls):
        Lxmf.python = tools.python_packages("rns", "lxmf")

    def prepare(self):
        self.spawn("b", self.python, HERE / "lxmf_peer.py", "receive", self.scratch / "b", B, PORT, self.inbox, log="b.log")
        address = self.scratch / "b" / "address"
        until = time.monotonic() + 20
        while not address.exists():
            if time.monotonic() > until:
                raise tools.Failed("the receiver does not come up")
            time.sleep(0.1)
        self.address = address

    def start(self):
        self.sender = self.spawn("a", self.python, HERE / "lxmf_peer.py", "send", self.scratch / "a", B, PORT, self.path, self.address, log="a.log")


ALL = (Ostrakon, QuinnBbr, QuinnCubic, TcpBbr, TcpCubic, Rsync, Nncp, Uftp, Lxmf)
