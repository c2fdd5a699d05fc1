import type { LabMachine } from "../../lab/index.js";

/** Somebody on a segment: a network namespace of a machine, and its address there. */
export interface Member {
    readonly machine: LabMachine;
    readonly namespace: string;
    readonly address: string;
}

export interface PairAnswers {
    readonly pairs: number;
    readonly answered: number;
    /** Of those answered: to the first datagram. */
    readonly atOnce: number;
    /** `from -> to` of the first few that did not answer. */
    readonly missing: readonly string[];
    readonly seconds: number;
}

const port = 7077;

// One process for all namespaces of a machine: a socket stays where it was made. Python 3.11 has no os.setns.
const enter = `
import ctypes, json, os, select, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def at(namespace, make):
    number = os.open("/run/netns/" + namespace, os.O_RDONLY)
    if libc.setns(number, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns " + namespace)
    os.close(number)
    return make()
def udp(address, port):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE: bursts of all the others
    made.setblocking(False)
    made.bind((address, port))
    return made
`;

const echo = `${enter}
poll, sockets = select.epoll(), {}
for namespace, address in json.loads(sys.argv[1]):
    made = at(namespace, lambda: udp(address, ${port}))
    sockets[made.fileno()] = made
    poll.register(made, select.EPOLLIN)
print("ready", flush=True)
while True:
    for number, _events in poll.poll():
        try:
            data, peer = sockets[number].recvfrom(64)
            sockets[number].sendto(data, peer)
        except OSError:
            pass
`;

// Who did not answer is asked again after a second, for half a minute.
const ask = `${enter}
members, targets = json.load(sys.stdin)
poll, sockets, waiting = select.epoll(), {}, {}
for namespace, address in members:
    made = at(namespace, lambda: udp(address, 0))
    sockets[made.fileno()] = (made, address)
    waiting[address] = {target for target in targets if target != address}
    poll.register(made, select.EPOLLIN)
pairs = sum(map(len, waiting.values()))
def read(seconds):
    for number, _events in poll.poll(seconds):
        made, address = sockets[number]
        try:
            while True:
                _data, peer = made.recvfrom(64)
                waiting[address].discard(peer[0])
        except OSError:
            pass
at_once = None
deadline = time.monotonic() + 30
while True:
    for made, address in sockets.values():
        for target in sorted(waiting[address]):
            try:
                made.sendto(b"?", (target, ${port}))
            except OSError:
                pass
            read(0)
    again = time.monotonic() + 1
    while time.monotonic() < again and any(waiting.values()):
        read(0.01)
    if at_once is None:
        at_once = pairs - sum(map(len, waiting.values()))
    if not any(waiting.values()) or time.monotonic() > deadline:
        break
missing = [f"{address} -> {target}" for address, left in waiting.items() for target in sorted(left)]
print(json.dumps([pairs, pairs - len(missing), at_once, missing[:5]]))
`;

/** Machines that ask at once: each keeps a processor busy. */
const askersAtOnce = 4;

/** Every member asks every other one by UDP, and answers. */
export async function askAllPairs(members: readonly Member[]): Promise<PairAnswers> {
    const machines = [...new Set(members.map(({ machine }) => machine))].map((machine) => ({
        machine,
        own: members.filter((one) => one.machine === machine).map(({ namespace, address }) => [namespace, address]),
    }));
    const targets = members.map(({ address }) => address);
    const servers = await Promise.all(
        machines.map(async ({ machine, own }) => {
            const server = await machine.spawn(["python3", "-c", echo, JSON.stringify(own)]);
            await server.waitFor("ready");
            return server;
        }),
    );
    const startedAt = performance.now();
    const results: [number, number, number, string[]][] = [];
    const left = [...machines];
    const work = async () => {
        for (let next = left.shift(); next !== undefined; next = left.shift()) {
            const stdin = JSON.stringify([next.own, targets]);
            const { stdout } = await next.machine.exec(["python3", "-c", ask], { stdin, timeoutMs: 120_000 });
            results.push(JSON.parse(stdout));
        }
    };
    try {
        await Promise.all(Array.from({ length: askersAtOnce }, work));
    } finally {
        await Promise.all(servers.map((server) => server.stop()));
    }
    const sum = (index: 0 | 1 | 2) => results.reduce((total, result) => total + result[index], 0);
    return {
        pairs: sum(0),
        answered: sum(1),
        atOnce: sum(2),
        missing: results.flatMap((result) => result[3]).slice(0, 5),
        seconds: (performance.now() - startedAt) / 1000,
    };
}
