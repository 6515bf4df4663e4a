"""The links, through the real-time emulator."""

import contextlib
import json
import subprocess
import tempfile
from dataclasses import dataclass

import tools

NAME = "peers"
# Where the hosts of the first link are.
A, B = "10.77.0.1", "10.77.0.2"
# An order to the emulator that is not done after so many seconds never will be.
PATIENCE = 30


# Useful bytes over IP bytes of a full packet: a constant of the limit, not of an implementation.
USEFUL = 0.94


def least_time(links, losses, bytes_):
    """In how many seconds the links can carry so many bytes, each from its delay on, if so much of each is lost. A link that
    helps brings it down, and one that begins too late would bring it up."""
    rate = late = 0.0
    least = float("inf")
    for link, loss in sorted(zip(links, losses), key=lambda each: each[0].rtt_s):
        carried = link.rate_bps / 8 * (1 - loss) * USEFUL
        rate, late = rate + carried, late + carried * link.rtt_s / 2
        least = min(least, (bytes_ + late) / rate)
    return least


def address(host, number):
    """Where a host is on the link of that number, counted from 0."""
    return f"10.77.{number}.{1 + 'ab'.index(host)}"


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
    """Two hosts, a and b, and the links between them."""

    def host(self, host, *command):
        """The command line that runs a command on a host."""
        return [str(tools.PROGRAMS / "netsim"), "exec", NAME, host, "--", *map(str, command)]

    def run(self, host, *command):
        done = subprocess.run(self.host(host, *command), capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise tools.Failed(f"{command[0]}: {(done.stderr or done.stdout).strip()[-200:]}")
        return done.stdout

    def ways(self):
        """What became of the packets of each link, there and back, in the order of the links."""
        links = json.loads(netsim("stats", NAME, "--json", check=True).stdout)["links"]
        return [[next(way for way in link["directions"] if way["from"] == host) for host in "ab"] for link in links]

    def offered(self):
        """IP bytes that were offered to the links so far, both ways."""
        return sum(way["offered_bytes"] for ways in self.ways() for way in ways)


def netsim(*command, check=False):
    program = str(tools.PROGRAMS / "netsim")
    return subprocess.run([program, *command], capture_output=True, text=True, check=check, timeout=PATIENCE)


def scenario(links):
    """Two nodes with all these links between them, as `netsim up --topology` reads it."""
    blocks = ["[scenario]\nduration = \"1d\"", *(f'[[node]]\nname = "{host}"' for host in "ab")]
    for link in links:
        values = [f'profile = "{link.profile}"', *('{} = "{}"'.format(*change.split("=")) for change in link.changes)]
        blocks.append("\n".join([f'[[link]]\nname = "{link.name}"\nbetween = ["a", "b"]', *values]))
    return "\n\n".join(blocks) + "\n"


@contextlib.contextmanager
def up(*links):
    """A network of hosts a and b with these links between them."""
    netsim("down", NAME)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(scenario(links))
        file.flush()
        netsim("up", NAME, "--topology", file.name, "--seed", str(_seed), check=True)
    try:
        network = Network()
        # Receivers must be able to hold a bandwidth-delay product, or they are measured and not the link.
        for host in "ab":
            for key in ("net.core.rmem_max", "net.core.wmem_max"):
                subprocess.run(network.host(host, "sysctl", "-qw", f"{key}=8388608"), capture_output=True, timeout=PATIENCE)
        yield network
    finally:
        netsim("down", NAME)
