import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { listeningPorts } from "../../demo/expected.js";
import { type LayoutOutputs, layoutWays, listKnockers, listNameKnockers, nameWays } from "../../demo/layout.js";
import { labMachine, type Machine } from "../../demo/machine.js";
import { type Knocker, listDoors, observeWays } from "../../demo/matrix.js";
import { makeThrowawayHost, type Place } from "../../demo/place.js";
import { quoteWord } from "../../demo/runtime.js";
import { startServers } from "../../demo/servers.js";
import type { Way } from "../../demo/way.js";
import { createLab, snapshotHost } from "../../lab/index.js";
import {
    configureHosts,
    examples,
    inBothFamilies,
    inWords,
    repository,
    upTwice,
    withIpv6,
    withStack,
} from "./example-stack.js";
import { scan, tcpPorts } from "./scan.js";

type Addresses = Readonly<Record<string, string>>;

describe("examples", () => {
    test.each(["quickstart", "production", "two-hosts", "multi-tier-overlay", "microservices"])(
        "%s: passes the compiler",
        async (name) => {
            const tsc = join(repository, "node_modules/typescript/bin/tsc");
            const { exitCode, all } = await execa(process.execPath, [tsc, "-p", join(examples, name)], {
                all: true,
                reject: false,
            });
            expect({ exitCode, all }).toEqual({ exitCode: 0, all: "" });
        },
    );

    test("quickstart: what listens in the sandbox answers on the host's port, over IPv6 too when it is switched on", async () => {
        await using place = await makeThrowawayHost();
        const before = await place.snapshot();
        await withStack("quickstart", place.configure, async (stack) => {
            const { run, port } = await upTwice<{ run: string; port: number }>(stack);
            const namespaces = { web: run.replace("ip netns exec ", "") };
            const ask = (address: string) =>
                place.outside.run(`curl -sS --max-time 5 http://${address}:${port}/ 2>&1 || :`);
            await using _servers = await startServers(place.host, namespaces, { web: [80] });
            expect(await ask(place.address)).toMatch(/^This is web on port 80/);
            expect(await ask(`[${place.ipv6Address}]`)).toMatch(/Couldn't connect|refused/);
            await stack.configure({ "linuxnet-quickstart:ipv6": "true" });
            await upTwice(stack);
            for (const address of [place.address, `[${place.ipv6Address}]`])
                expect(await ask(address)).toMatch(/^This is web on port 80/);
        });
        expect(await place.snapshot()).toEqual(before);
    });

    test("production: everybody reaches what is intended, and nothing else", async () => {
        await using place = await makeThrowawayHost();
        const before = await place.snapshot();
        const dualStack = (folder: string) => ({ ...place.configure(folder), "linuxnet-production:ipv6": "true" });
        await withStack(".", dualStack, async (stack) => {
            const outputs = await upTwice<LayoutOutputs>(stack);
            await using _servers = await startServers(place.host, outputs.namespaces, listeningPorts);
            const knockers = await withIpv6(listKnockers(place, outputs));
            expect(inWords(await observeWays(knockers))).toEqual(inWords(inBothFamilies(layoutWays)));
            // No program in a sandbox needs an address.
            for (const family of [4, 6] as const)
                expect(inWords(await observeWays(listNameKnockers(place, outputs, family)))).toEqual(inWords(nameWays));
            await expectPublishedOnly(place, outputs);

            // The same program with one rule less, and IPv4 alone as it is by itself, shows exactly that.
            using program = copyWithout("production", "allow(apiClients, 5432), ");
            await stack.configure({ "linuxnet-production:ipv6": "false" });
            await stack.up({ program: program.folder });
            const isLost = ({ from, to }: Way) => from.startsWith("api-") && to === "db:5432";
            const left = layoutWays.filter((way) => !isLost(way));
            expect(left).toHaveLength(layoutWays.length - 3);
            expect(inWords(await observeWays(knockers))).toEqual(inWords(left));
        });
        expect(await place.snapshot()).toEqual(before);
    });

    test("two-hosts: sandboxes of both hosts are on one network", async () => {
        await using lab = await createLab({ hosts: 2 });
        const [west, east] = lab.hosts;
        const before = await Promise.all(lab.hosts.map(snapshotHost));
        const config = { "linuxnet-two-hosts:ipv6": "true" };
        await withStack("two-hosts", configureHosts({ west, east }, config), async (stack) => {
            const { addresses, namespaces } = await upTwice<{ addresses: Addresses; namespaces: Addresses }>(stack);
            const [onWest, onEast] = [labMachine(west), labMachine(east)];
            const machines: Record<string, Machine> = { web: onWest, worker: onEast, queue: onEast };
            const pick = (...names: string[]) =>
                Object.fromEntries(names.map((name) => [name, namespaces[name] ?? ""]));
            await using _west = await startServers(onWest, pick("web"), { web: [80] });
            await using _east = await startServers(onEast, pick("worker", "queue"), { worker: [80], queue: [80] });
            const doors = Object.entries(addresses).map(([name, address]) => {
                return { to: `${name}:80`, by: "shared", address, port: 80 };
            });
            const published = { to: "west:8080", by: "published", address: west.address, port: 8080 };
            const sandboxes = Object.entries(machines).map(
                ([name, machine]): Knocker => ({ name, machine, namespace: namespaces[name], doors }),
            );
            const client: Knocker = {
                name: "outside",
                machine: labMachine(lab.client()),
                doors: [...doors, published],
            };
            const pairs = Object.keys(machines).flatMap((from) =>
                Object.keys(machines).map((to) => ({ from, to: `${to}:80`, by: "shared" })),
            );
            const expected = [
                ...pairs.filter(({ from, to }) => to !== `${from}:80`),
                { from: "outside", to: "west:8080", by: "published" },
            ];
            // Over the hosts they find each other by name.
            for (const family of [4, 6] as const) {
                const names = doors.map((door) => ({ ...door, address: door.to.replace(":80", ""), family }));
                const asking = sandboxes.map((sandbox) => ({ ...sandbox, doors: names }));
                expect(inWords(await observeWays(asking))).toEqual(inWords(expected.slice(0, -1)));
            }
            const hosts = [onWest, onEast].map((machine, i): Knocker => ({ name: `host ${i}`, machine, doors: [] }));
            const observed = await observeWays(await withIpv6([...sandboxes, ...hosts, client]));
            expect(inWords(observed)).toEqual(inWords(inBothFamilies(expected)));
        });
        expect(await Promise.all(lab.hosts.map(snapshotHost))).toEqual(before);
    });

    test("microservices: every tier reaches the next one only", async () => {
        const edge = ["gateway", "web", "admin", "auth"];
        const logic = "users accounts catalog search cart orders payments shipping pricing reviews".split(" ");
        const data = ["users-db", "orders-db", "catalog-db", "sessions", "events", "files"];
        const all = [...edge, ...logic, ...data];
        const ways = (sources: string[], targets: string[]) =>
            sources.flatMap((from) => targets.map((to) => ({ from, to: `${to}:8080`, by: "tier" })));
        const expected = [
            ...ways(edge, logic),
            ...ways(logic, data),
            { from: "outside", to: "host:8080", by: "published" },
        ];

        await using place = await makeThrowawayHost();
        const { host, outside, address } = place;
        // Outside tries the services' own addresses too.
        await outside.run(`ip route add 10.40.0.0/16 via ${address}`);
        const before = await place.snapshot();
        const dualStack = (folder: string) => ({ ...place.configure(folder), "linuxnet-microservices:ipv6": "true" });
        await withStack("microservices", dualStack, async (stack) => {
            const { addresses, namespaces } = await upTwice<{ addresses: Addresses; namespaces: Addresses }>(stack);
            expect(Object.keys(namespaces).sort()).toEqual([...all].sort());
            const ports = Object.fromEntries(all.map((name) => [name, [8080]]));
            await using _servers = await startServers(host, namespaces, ports);
            const byTier = Object.fromEntries(all.map((name) => [name, { tier: addresses[name] ?? "" }]));
            const published = { to: "host:8080", by: "published", address, port: 8080 };
            const doors = [...listDoors(ports, byTier), published];
            const sandboxes = all.map((name): Knocker => ({ name, machine: host, namespace: namespaces[name], doors }));
            const knockers = [
                ...sandboxes,
                { name: "host", machine: host, doors },
                { name: "outside", machine: outside, doors },
            ];
            const observed = await observeWays(await withIpv6(knockers));
            expect(inWords(observed)).toEqual(inWords(inBothFamilies(expected)));
        });
        expect(await place.snapshot()).toEqual(before);
    });
});

/** Every port of every address, tried from outside: what is published is found, and the host's own sshd; nothing else. */
async function expectPublishedOnly(place: Place, { addresses, namespaces }: LayoutOutputs): Promise<void> {
    const gateways = [0, 1, 2, 3].map((i) => `172.2${i}.0.1`);
    const own = [place.address, ...gateways];
    const all = [...own, ...Object.values(addresses).flatMap((each) => Object.values(each))];
    const scanner = await place.outside.run("ip -json -4 route get 172.20.0.2");
    const [{ prefsrc }] = JSON.parse(scanner);
    // Somebody who answers over UDP too: without him nobody would know that datagrams are sent.
    await using _control = await startUdpControl(place.host);
    const machine = { machine: place.outside, address: prefsrc };
    const { answered, arrived, synCount } = await scan(machine, place.host, Object.values(namespaces), all);
    expect(synCount).toBe(all.length * tcpPorts);
    const published = [80, 443, 3000].flatMap((port) => own.map((address) => `${address} tcp ${port}`));
    const control = [`${place.address} tcp 22`, `${place.address} udp ${udpControl}`];
    expect(answered).toEqual([...published, ...control].sort());
    const front = (name: string) => addresses[name]?.["frontend"];
    expect(new Set(arrived)).toEqual(
        new Set([`${front("nginx")} tcp 80`, `${front("nginx")} tcp 443`, `${front("grafana")} tcp 3000`]),
    );
}

const udpControl = 514;

async function startUdpControl(host: Machine): Promise<AsyncDisposable> {
    const lines = [
        "import socket",
        "s = socket.socket(2, 2)",
        `s.bind(("", ${udpControl}))`,
        'print("ready", flush=True)',
    ];
    const answer = "while True: s.sendto(b'!', s.recvfrom(99)[1])";
    const started = await host.start([`python3 -c ${quoteWord([...lines, answer].join("\n"))}`]);
    await started.waitFor(/ready/);
    return started;
}

/** A copy of an example outside the repository, with a piece of the program left out. */
function copyWithout(example: string, piece: string): Disposable & { readonly folder: string } {
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-example-"));
    cpSync(join(examples, example), folder, { recursive: true, filter: (path) => !path.includes("node_modules") });
    symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
    const path = join(folder, "index.ts");
    const program = readFileSync(path, "utf8");
    expect(program.split(piece)).toHaveLength(2);
    writeFileSync(path, program.replace(piece, ""));
    return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
