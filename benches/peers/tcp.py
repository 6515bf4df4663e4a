"""One file over one TCP connection: tcp.py send HOST PORT FILE CONTROL, tcp.py receive HOST PORT FILE.

Or bytes without end: tcp.py flood HOST PORT CONTROL, tcp.py count HOST PORT FILE, which keeps their number in the file."""

import socket
import sys


def send(host, port, path, control):
    with socket.socket() as line, open(path, "rb") as file:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        line.connect((host, int(port)))
        line.sendfile(file)
        line.shutdown(socket.SHUT_WR)
        line.recv(1)


def receive(host, port, path):
    with socket.create_server((host, int(port))) as server:
        while True:
            line, _ = server.accept()
            with line, open(path, "wb") as file:
                while data := line.recv(1 << 16):
                    file.write(data)


def flood(host, port, control):
    with socket.socket() as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        line.connect((host, int(port)))
        while True:
            line.sendall(bytes(1 << 16))


def count(host, port, path):
    with socket.create_server((host, int(port))) as server, open(path, "w") as file:
        line, _ = server.accept()
        total = 0
        while data := line.recv(1 << 16):
            total += len(data)
            file.seek(0)
            file.write(str(total))
            file.flush()


if __name__ == "__main__":
    {"send": send, "receive": receive, "flood": flood, "count": count}[sys.argv[1]](*sys.argv[2:])
