"""One file as an LXMF message: lxmf_peer.py receive DIR HOST PORT INBOX, lxmf_peer.py send DIR HOST PORT FILE ADDRESS."""

import sys
import time
from pathlib import Path

import LXMF
import RNS

CONFIG = """[reticulum]
enable_transport = no
share_instance = no
panic_on_interface_error = yes
[interfaces]
[[line]]
type = {kind}
enabled = yes
{rest}
"""


def begin(place, kind, rest):
    place = Path(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / "config").write_text(CONFIG.format(kind=kind, rest=rest))
    RNS.Reticulum(str(place), loglevel=RNS.LOG_ERROR)
    return place


def receive(place, host, port, inbox):
    place = begin(place, "TCPServerInterface", f"listen_ip = {host}\nlisten_port = {port}")
    router = LXMF.LXMRouter(storagepath=str(place / "lxmf"), delivery_limit=1_000_000)
    destination = router.register_delivery_identity(RNS.Identity(), display_name="b")

    def delivered(message):
        (Path(inbox) / "file").write_bytes(message.fields[LXMF.FIELD_FILE_ATTACHMENTS][0][1])

    router.register_delivery_callback(delivered)
    (place / "address").write_text(destination.hash.hex())
    while True:
        router.announce(destination.hash)
        time.sleep(2)


def send(place, host, port, path, address):
    place = begin(place, "TCPClientInterface", f"target_host = {host}\ntarget_port = {port}")
    router = LXMF.LXMRouter(storagepath=str(place / "lxmf"), delivery_limit=1_000_000)
    source = router.register_delivery_identity(RNS.Identity(), display_name="a")
    to = bytes.fromhex(Path(address).read_text())
    while (identity := RNS.Identity.recall(to)) is None:
        time.sleep(0.05)
    destination = RNS.Destination(identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "lxmf", "delivery")
    message = LXMF.LXMessage(destination, source, "", "file", desired_method=LXMF.LXMessage.DIRECT)
    message.fields[LXMF.FIELD_FILE_ATTACHMENTS] = [["file", Path(path).read_bytes()]]
    router.handle_outbound(message)
    while message.state not in (LXMF.LXMessage.DELIVERED, LXMF.LXMessage.FAILED):
        time.sleep(0.05)
    print("state", message.state)


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](*sys.argv[2:])
