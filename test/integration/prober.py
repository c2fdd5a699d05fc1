"""Listens and asks in several network namespaces at once, from one process: a socket stays where it was made.

Reads one JSON command a line from the pipe that is its argument, prints "@<number> <JSON>" for each. Places are paths of network namespaces; "" is the one it
was started in.

  listen  { "places": { name: path }, "ports": { name: [port] } }   on every address of each place, by tcp and udp
  ask     { "probes": [{ id, from, source, spoofs, to, protocol, port, hold, answers }], "silence": ms, "patience": ms }
          -> { id: answer }: "web at 172.20.0.2:80 to 172.20.0.3", "reply" to an echo, "refused", "unreachable",
          "nothing". Ends when whoever should answer (`answers`) has done so and the rest was silent for a while.
  again   { "ids": [id], "patience": ms } -> { id: answer }: the same question on flows that were held open
"""

import ctypes, errno, json, os, selectors, socket, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
selector = selectors.DefaultSelector()
places, listeners, flows, counters = {}, [], {}, {}
ERRORS = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "refused", errno.EPERM: "nothing"}
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES)
# Level, and number for IPv4 and IPv6: not all versions of Python know their names.
TRANSPARENT = {socket.AF_INET: (socket.SOL_IP, 19), socket.AF_INET6: (41, 75)}


def enter(place):
    number = home if not place else os.open(place, os.O_RDONLY)
    if libc.setns(number, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), f"setns {place}")
    if number != home:
        os.close(number)


def word(error):
    return "unreachable" if error in UNREACHABLE else ERRORS.get(error, errno.errorcode.get(error, str(error)))


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def unblocked(kind, address, protocol=0):
    made = socket.socket(family_of(address), kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def listen(command):
    places.update(command["places"])
    for name, place in command["places"].items():
        enter(place)
        shown = json.loads(subprocess.run(["ip", "-j", "address"], capture_output=True, check=True).stdout)
        addresses = [
            one["local"] for link in shown for one in link.get("addr_info", []) if not one["local"].startswith("fe80:")
        ]
        for port in command["ports"][name]:
            for address in addresses:
                where = f"{name} at {address}:{port}"
                server = unblocked(socket.SOCK_STREAM, address)
                server.bind((address, port))
                server.listen(256)
                watch(server, lambda server=server, where=where: accept(server, where))
                # Of each address its own: what a wildcard socket answers leaves by the route, not by where it came in.
                answerer = unblocked(socket.SOCK_DGRAM, address)
                answerer.bind((address, port))
                watch(answerer, lambda answerer=answerer, where=where: answer(answerer, where))
                listeners.extend([server, answerer])
    enter("")
    return {}


def watch(it, act, events=selectors.EVENT_READ):
    selector.register(it, events, act)


def forget(it):
    try:
        selector.unregister(it)
    except (KeyError, ValueError):
        pass
    it.close()


def accept(server, where):
    connection, peer = server.accept()
    connection.setblocking(False)
    listeners.append(connection)

    def talk():
        try:
            data = connection.recv(4096)
        except OSError:
            data = b""
        if data:
            connection.send(f"{where} to {peer[0]}\n".encode())
        else:
            listeners.remove(connection)
            forget(connection)

    watch(connection, talk)


def answer(answerer, where):
    try:
        _data, peer = answerer.recvfrom(4096)
        answerer.sendto(f"{where} to {peer[0]}\n".encode(), peer)
    except OSError:
        pass


def next_number(place):
    counters[place] = counters.get(place, 0) + 1
    return counters[place]


class Flow:
    """One question: `answer` is what came of it."""

    def __init__(self, probe):
        self.probe, self.answer, self.socket = probe, None, None
        place, source, protocol = places[probe["from"]], probe.get("source"), probe["protocol"]
        enter(place)
        try:
            to, is_echo = probe["to"], protocol.startswith("icmp")
            if is_echo:
                number = socket.IPPROTO_ICMPV6 if ":" in to else socket.IPPROTO_ICMP
                self.socket = unblocked(socket.SOCK_RAW, to, number)
            else:
                self.socket = unblocked(socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM, to)
            if probe.get("spoofs"):
                self.socket.setsockopt(*TRANSPARENT[self.socket.family], 1)
            if is_echo:
                self.number = next_number(place) % 65536
                if source:
                    self.socket.bind((source, 0))
                watch(self.socket, self.read_echo)
                self.socket.sendto(echo_request(self.number, ":" in to), (to, 0))
                return
            # A port of its own: connection tracking remembers the flows before.
            self.socket.bind((source or ("::" if ":" in to else "0.0.0.0"), 10000 + next_number(place) % 40000))
            if protocol == "tcp":
                watch(self.socket, self.connected, selectors.EVENT_WRITE)
                failed = self.socket.connect_ex((probe["to"], probe["port"]))
                if failed not in (0, errno.EINPROGRESS):
                    selector.unregister(self.socket)
                    self.fail(failed)
            else:
                self.socket.connect((probe["to"], probe["port"]))
                watch(self.socket, self.read)
                self.send()
        except OSError as error:
            self.fail(error.errno)

    def fail(self, number):
        self.answer = word(number)

    def send(self):
        try:
            self.socket.send(b"?")
        except OSError as error:
            self.fail(error.errno)

    def connected(self):
        failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        selector.modify(self.socket, selectors.EVENT_READ, self.read)
        if failed:
            selector.unregister(self.socket)
            self.fail(failed)
        else:
            self.send()

    def read(self):
        try:
            data = self.socket.recv(4096)
            self.answer = data.decode().strip() if data else "closed"
            if not data:
                selector.unregister(self.socket)
        except OSError as error:
            self.fail(error.errno)

    def read_echo(self):
        # A raw socket sees every ICMP message of its namespace; that of IPv4 with the header before it.
        data, peer = self.socket.recvfrom(4096)
        is_ipv6 = ":" in self.probe["to"]
        request, reply, error = (128, 129, 1) if is_ipv6 else (8, 0, 3)
        skip = (lambda packet: packet[40:]) if is_ipv6 else (lambda packet: packet[(packet[0] & 15) * 4 :])
        if not is_ipv6:
            data = skip(data)
        if data[0] == reply and peer[0] == self.probe["to"] and struct.unpack("!H", data[4:6])[0] == self.number:
            self.answer = "reply"
        elif data[0] == error:
            inner = skip(data[8:])
            if inner[0] == request and struct.unpack("!H", inner[4:6])[0] == self.number:
                self.answer = "unreachable"

    def close(self):
        if self.socket is not None:
            forget(self.socket)


def echo_request(number, is_ipv6):
    body = struct.pack("!HH", number, 1) + b"linuxnet"
    # The kernel writes the checksum of ICMPv6, which needs the addresses.
    return struct.pack("!BBH", 128 if is_ipv6 else 8, 0, 0 if is_ipv6 else checksum(b"\x08\0\0\0" + body)) + body


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def turn(seconds):
    for key, _events in selector.select(max(0, seconds)):
        if selector.get_map().get(key.fd) is not None:
            key.data()


def wait(asked, silence, patience):
    """Until those who should answer did, and the rest was silent for a while."""
    started = time.monotonic()
    while True:
        now = time.monotonic() - started
        missing = any(flow.answer is None and flow.probe.get("answers") for flow in asked)
        if now > patience or (not missing and now > silence):
            return
        turn(0.005 if missing else min(0.02, silence - now))


def ask(command):
    # Whoever should be silent is asked first: when the others have answered, his packets have had their time.
    ordered = sorted(command["probes"], key=lambda probe: bool(probe.get("answers")))
    asked = []
    for probe in ordered:
        asked.append(Flow(probe))
        turn(0)
    enter("")
    wait(asked, command["silence"] / 1000, command["patience"] / 1000)
    answers = {flow.probe["id"]: flow.answer or "nothing" for flow in asked}
    for flow in asked:
        if flow.probe.get("hold"):
            flows[flow.probe["id"]] = flow
        else:
            flow.close()
    return answers


def again(command):
    asked = [flows[one] for one in command["ids"]]
    for flow in asked:
        flow.answer, flow.probe["answers"] = None, True
        flow.send()
    wait(asked, 0, command["patience"] / 1000)
    return {flow.probe["id"]: flow.answer or "nothing" for flow in asked}


commands = {"listen": listen, "ask": ask, "again": again}
queue, pending = [], b""
# Also for writing: no end of file when one writer is done.
pipe = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)


def read_commands():
    global pending
    *lines, pending = (pending + os.read(pipe, 65536)).split(b"\n")
    queue.extend(lines)


watch(pipe, read_commands)
print("ready", flush=True)
while True:
    turn(60)
    while queue:
        command = json.loads(queue.pop(0))
        print(f"@{command['number']} {json.dumps(commands[command['do']](command))}", flush=True)
