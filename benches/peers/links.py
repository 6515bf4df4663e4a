"""The links, through the real-time emulator."""

import contextlib
import json
import subprocess
from dataclasses import dataclass

import tools

NAME = "peers"
# Where the hosts of the first link are.
A, B = "10.77.0.1", "10.77.0.2"


@dataclass(frozen=True)
class Link:
    """A profile with what differs from it, and what the bound is computed from: the way from host a to b."""

    name: str
    profile: str
    changes: tuple
    rate_bps: int
    rtt_s: float
    loss: float


def link(name, profile, rate_mbit, rtt_s, loss, *more):
    changes = (f"rate={rate_mbit}mbit", f"rate-back={min(rate_mbit, 2)}mbit", f"rtt={int(rtt_s * 1000)}ms", f"loss={loss}", f"loss-back={loss}", "queue=1bdp", *more)
    return Link(name, profile, changes, int(rate_mbit * 1_000_000), rtt_s, loss)


ALL = {
    each.name: each
    for each in (
        link("geo", "geo", 10, 0.6, 0.01),
        link("geo-bad", "geo", 10, 0.6, 0.10),
        link("lossy20", "geo", 20, 0.1, 0.20),
        link("lte", "lte", 10, 0.08, 0.0),
    )
}

_seed = 1


def seed(number):
    global _seed
    _seed = number


class Network:
    """Two hosts, a and b, and the link between them."""

    def host(self, host, *command):
        """The command line that runs a command on a host."""
        return [str(tools.PROGRAMS / "netsim"), "exec", NAME, host, "--", *map(str, command)]

    def run(self, host, *command):
        done = subprocess.run(self.host(host, *command), capture_output=True, text=True)
        if done.returncode != 0:
            raise tools.Failed(f"{command[0]}: {(done.stderr or done.stdout).strip()[-200:]}")
        return done.stdout

    def offered(self):
        """IP bytes that were offered to the link so far, both ways."""
        done = subprocess.run([str(tools.PROGRAMS / "netsim"), "stats", NAME, "--json"], capture_output=True, text=True, check=True)
        links = json.loads(done.stdout)["links"]
        return sum(way["offered_bytes"] for link in links for way in link["directions"])


@contextlib.contextmanager
def up(link):
    netsim = str(tools.PROGRAMS / "netsim")
    subprocess.run([netsim, "down", NAME], capture_output=True)
    subprocess.run([netsim, "up", NAME, "--profile", link.profile, "--seed", str(_seed), *link.changes], check=True, capture_output=True)
    try:
        network = Network()
        # Receivers must be able to hold a bandwidth-delay product, or they are measured and not the link.
        for host in "ab":
            for key in ("net.core.rmem_max", "net.core.wmem_max"):
                subprocess.run(network.host(host, "sysctl", "-qw", f"{key}=8388608"), capture_output=True)
        yield network
    finally:
        subprocess.run([netsim, "down", NAME], capture_output=True)
