"""Sends one SYN to each TCP port and one datagram to each UDP port of addresses, as fast as it can.

scan.py <own address> <source port> <first TCP port>-<last> <UDP ports, with commas> <address>...
"""

import socket, struct, sys

own, source, tcp, udp, *targets = sys.argv[1:]
first, last = map(int, tcp.split("-"))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.bind((own, 0))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind((own, int(source)))
# Sequence 1, no acknowledgement, five words, SYN, a full window.
middle = struct.pack("!IIBBH", 1, 0, 0x50, 2, 65535)
head = struct.pack("!H", int(source))


def sum_words(data):
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


for target in targets:
    ends = socket.inet_aton(own) + socket.inet_aton(target)
    base = sum_words(ends) + socket.IPPROTO_TCP + 20 + int(source) + sum_words(middle)
    for port in range(first, last + 1):
        total = base + port
        total = (total >> 16) + (total & 0xFFFF)
        total = ~(total + (total >> 16)) & 0xFFFF
        raw.sendto(head + struct.pack("!H", port) + middle + struct.pack("!HH", total, 0), (target, 0))
    for port in map(int, udp.split(",")):
        try:
            datagrams.sendto(b"?", (target, port))
        except OSError:
            pass  # A refusal of the one before.
