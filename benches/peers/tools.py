"""Building, installing and watching programs."""

import contextlib
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAMS = TARGET / "release"
# Seconds in which something is installed, and in which a program that was killed is gone.
INSTALLED, GONE = 300, 10


class Failed(Exception):
    """A peer cannot be installed or does not do what is asked of it."""


def begin(programs):
    """Has the programs at hand: those in a folder, or else built. Ends where the system would refuse what is to come."""
    global PROGRAMS
    if os.geteuid() != 0:
        sys.exit("network namespaces need root: run it again as root")
    if programs:
        PROGRAMS = programs
    else:
        build()


def build():
    """Builds ostrakon, the emulator and the bare QUIC streams."""
    for arguments in (
        ["build", "--release", "--locked", "--bin", "ostrakon"],
        ["build", "--release", "--locked", "-p", "ostrakon-netsim", "--features", "cli"],
        ["build", "--release", "--locked", "-p", "ostrakon-transports", "--example", "quic_stream"],
    ):
        subprocess.run(["cargo", *arguments], cwd=ROOT, check=True)


def package(program, name=None):
    """Has a program of the distribution installed."""
    if shutil.which(program):
        return
    if not shutil.which("apt-get"):
        raise Failed(f"install {name or program} by hand: there is no apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", name or program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=INSTALLED)
    if done.returncode != 0 or not shutil.which(program):
        raise Failed(f"apt-get cannot install {name or program}: {done.stderr.strip()[-200:]}")


def python_packages(*names):
    """A Python that has these packages, in an environment of its own."""
    place = TARGET / "peers-python"
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run(["python3", "-m", "venv", str(place)], check=True, timeout=INSTALLED)
    done = subprocess.run([str(python), "-m", "pip", "install", "-q", *names], capture_output=True, text=True, timeout=INSTALLED)
    if done.returncode != 0:
        raise Failed(f"pip cannot install {', '.join(names)}: {done.stderr.strip()[-200:]}")
    return python


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, load {load:.1f} at the end"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Process:
    """A program in a session of its own, whose output goes to a file."""

    def __init__(self, command, log, **more):
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, **more)

    def running(self):
        return self.child.poll() is None

    def kill(self, how=signal.SIGKILL):
        """Ends it and what it has started. Only its own session is meant."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, how)
        # Should the kernel hold on to it, then without us.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(GONE)

    def last(self):
        lines = Path(self.log).read_text(errors="replace").strip().splitlines()
        return lines[-1][:160] if lines else ""
