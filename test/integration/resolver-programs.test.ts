import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStack, type Resource } from "./driver.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();

/** Runs a command as users do: with the sandbox's files in place of the host's. */
async function within(sandbox: Resource<"sandbox">, command: string, stdin = "") {
    const words = ["ip", "netns", "exec", sandbox.outs.name, "sh", "-c", command];
    return (await bed.host.exec(words, { stdin, timeoutMs: 60_000 })).stdout;
}

const node = (body: string) =>
    `${process.execPath} -e 'const dns = require("dns"), say = (e, all) => console.log(e ? e.code : all.map((one) => one.address ?? one).sort().join(" ")); ${body}'`;

const sorted = (text: string) => text.split(/\s+/).filter(Boolean).sort();
const ipv4 = (i: number) => `172.20.0.${i + 10}`;
const ipv6 = (i: number) => `fd00:20::${(i + 16).toString(16)}`;
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

test("resolver: glibc, musl, dig, nslookup and Node find each of 1,000 names of a network, and all addresses of a name of 100", async () => {
    await using stack = await openStack(bed.host);
    await bed.host.exec("$(command -v musl-gcc || echo cc) -x c - -o /run/lab/look-up", {
        stdin: readFileSync(join(__dirname, "look-up.c"), "utf8"),
    });
    const wide = await stack.network("wide", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const aliasesOf = (i: number) => ["all", ...range(9).map((j) => `name-${i}-${j}`)];
    const apps = await Promise.all(
        range(100).map((i) =>
            stack.join(`app-${i}`, wide, {
                aliases: aliasesOf(i),
                ipv4Address: ipv4(i),
                ipv6Address: ipv6(i),
            }),
        ),
    );
    const [{ sandbox }] = apps as [(typeof apps)[0]];
    const all = sorted(
        range(100)
            .map((i) => `${ipv4(i)} ${ipv6(i)}`)
            .join(" "),
    );

    // 1,000 names, each with the address of its own endpoint and no other.
    const names = range(100).flatMap((i) => [`app-${i}`, ...aliasesOf(i).slice(1)].map((name) => [name, i] as const));
    expect(names).toHaveLength(1000);
    for (const [how, type, addressOf] of [
        ["", "A", ipv4],
        ["+tcp +keepopen", "AAAA", ipv6],
    ] as const) {
        const asked = names.map(([name]) => `${how} ${name} ${type}`).join("\n");
        const found = await within(sandbox, "cat >/run/lab/asked; dig -f /run/lab/asked +noall +answer", asked);
        expect(found.split("\n").map((line) => line.split(/\s+/).filter((_, i) => i === 0 || i === 4))).toEqual(
            names.map(([name, i]) => [`${name}.`, addressOf(i)]),
        );
    }
    const words = names.map(([name]) => name).join(" ");
    const expected = names.flatMap(([name, i]) => [`${name}: ${ipv4(i)}`, `${name}: ${ipv6(i)}`]);
    expect((await within(sandbox, `/run/lab/look-up ${words}`)).split("\n").sort()).toEqual(expected.sort());

    // The answers with 100 addresses: 1,600 and 2,800 bytes.
    const found = {
        getent: await within(sandbox, "getent ahosts all | awk '/STREAM/ { print $1 }'"),
        dig: await within(sandbox, "dig +short all; dig +short all AAAA"),
        "dig +tcp": await within(sandbox, "dig +short +tcp all; dig +short +tcp all AAAA"),
        nslookup: await within(sandbox, "nslookup all | awk '/^Name/ { getline; print $2 }'"),
        "dns.lookup": await within(sandbox, node('dns.lookup("all", { all: true }, say)')),
        "dns.resolve": await within(sandbox, node('dns.resolve4("all", say); dns.resolve6("all", say)')),
    };
    for (const [program, text] of Object.entries(found)) expect(sorted(text), program).toEqual(all);
    // musl keeps 48 at most, and before 1.2.4 asks by UDP alone and takes what is in a datagram.
    const some = sorted((await within(sandbox, "/run/lab/look-up all")).replaceAll("all: ", ""));
    expect(some.length).toBeGreaterThan(40);
    expect(all).toEqual(expect.arrayContaining(some));

    const others = "172.20.0.15 fd00:20::15 nobody app-3.wide";
    expect((await within(sandbox, `/run/lab/look-up ${others}`)).split("\n")).toEqual([
        "172.20.0.15: app-5.wide",
        "fd00:20::15: app-5.wide",
        expect.stringMatching(/^nobody: Name does not (resolve|exist)$/),
        "app-3.wide: 172.20.0.13",
        "app-3.wide: fd00:20::13",
    ]);
    const asked = [
        'dns.reverse("172.20.0.15", say)',
        'dns.reverse("fd00:20::15", say)',
        'dns.lookup("nobody", say)',
        'dns.resolve4("nobody", say)',
    ];
    for (const [i, question] of asked.entries())
        expect(await within(sandbox, node(question)), question).toBe(i < 2 ? "app-5.wide" : "ENOTFOUND");
    expect(sorted(await within(sandbox, "nslookup fd00:20::15 | grep -o 'name = .*'"))).toContain("app-5.wide.");
    // All at once: one after the other waits for the kernel a hundred times.
    await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()));
}, 120_000);
