import type { Line } from "../../../provider/kernel/line.js";

/** What the kernel holds, one entry a thing. A model for planner tests only: it knows what our lines need, and is strict. */
export type Kernel = Map<string, Readonly<Record<string, string>>>;

/** `mtu 1500 master ln1 up` as properties; words without a value are flags. */
function properties(words: readonly string[], flags: readonly string[] = []): Record<string, string> {
    const found: Record<string, string> = {};
    for (let i = 0; i < words.length; i++) {
        const word = words[i] ?? "";
        if (flags.includes(word)) found[word] = "yes";
        else found[word] = words[++i] ?? "";
    }
    return found;
}

function must(condition: boolean, message: string): asserts condition {
    if (!condition) throw new Error(message);
}

function dropFrom(kernel: Kernel, isGone: (key: string, value: Readonly<Record<string, string>>) => boolean): void {
    for (const [key, value] of [...kernel]) if (isGone(key, value)) kernel.delete(key);
}

/**
 * The kernel drops an interface's routes and neighbours with its last address (fib_disable_ip), and routes that name an
 * address as their source with that address (fib_sync_down_addr).
 */
function dropAddress(kernel: Kernel, ns: string, dev: string, address: string): void {
    must(kernel.delete(`address ${ns} ${dev} ${address}`), `no address ${address} on ${dev}`);
    dropRoutesFrom(kernel, ns, address);
    if ([...kernel.keys()].some((key) => key.startsWith(`address ${ns} ${dev} `))) return;
    dropFrom(kernel, (key, { dev: on }) => /^(route|neighbour) /.test(key) && key.split(" ")[1] === ns && on === dev);
}

function dropRoutesFrom(kernel: Kernel, ns: string, address: string): void {
    dropFrom(kernel, (key, { src }) => key.startsWith(`route ${ns} `) && src === address.split("/")[0]);
}

function dropLink(kernel: Kernel, ns: string, name: string): void {
    const link = kernel.get(`link ${ns} ${name}`);
    must(link !== undefined, `no link ${name}`);
    kernel.delete(`link ${ns} ${name}`);
    const of = (key: string) => key.split(" ")[1] === ns;
    for (const key of kernel.keys()) {
        if (key.startsWith(`address ${ns} ${name} `)) dropRoutesFrom(kernel, ns, key.split(" ")[3] ?? "");
    }
    dropFrom(
        kernel,
        (key, value) =>
            of(key) &&
            ((/^(route|neighbour|fdb|address) /.test(key) && value["dev"] === name) ||
                (key.startsWith("sysctl ") && key.includes(`/conf/${name}/`))),
    );
    for (const [key, value] of kernel) {
        if (!key.startsWith(`link ${ns} `) || value["master"] !== name) continue;
        const { master: _master, ...rest } = value;
        kernel.set(key, rest);
    }
    const [, peerNs, peer] = /^(.*)\/(.*)$/.exec(link["peer"] ?? "") ?? [];
    if (peerNs !== undefined && peer !== undefined && kernel.has(`link ${peerNs} ${peer}`)) {
        dropLink(kernel, peerNs, peer);
    }
}

function addLink(kernel: Kernel, ns: string, words: readonly string[]): void {
    const peerAt = words.indexOf("peer");
    const own = properties(peerAt < 0 ? words : words.slice(0, peerAt), ["nolearning"]);
    const { name = "", ...rest } = own;
    must(!kernel.has(`link ${ns} ${name}`), `link ${name} exists`);
    if (peerAt < 0) {
        kernel.set(`link ${ns} ${name}`, rest);
        return;
    }
    const { name: peer = "", netns = "", ...peerRest } = properties(words.slice(peerAt + 1));
    must(kernel.has(`netns ${netns}`), `no namespace ${netns}`);
    must(!kernel.has(`link ${netns} ${peer}`), `link ${peer} exists in ${netns}`);
    kernel.set(`link ${ns} ${name}`, { ...rest, peer: `${netns}/${peer}` });
    kernel.set(`link ${netns} ${peer}`, { ...peerRest, type: "veth", peer: `${ns}/${name}` });
}

function runIp(kernel: Kernel, ns: string, words: readonly string[]): void {
    const [object, verb, ...rest] = words;
    if (object !== "netns") must(ns === "" || kernel.has(`netns ${ns}`), `no namespace ${ns}`);
    const devAt = rest.indexOf("dev");
    const dev = rest[devAt + 1] ?? "";
    switch (`${object} ${verb}`) {
        case "netns add":
            must(!kernel.has(`netns ${rest[0]}`), `namespace ${rest[0]} exists`);
            kernel.set(`netns ${rest[0]}`, {});
            kernel.set(`link ${rest[0]} lo`, {});
            return;
        case "netns del": {
            must(kernel.has(`netns ${rest[0]}`), `no namespace ${rest[0]}`);
            const inside = [...kernel.keys()].filter((key) => key.startsWith(`link ${rest[0]} `));
            for (const key of inside) if (kernel.has(key)) dropLink(kernel, rest[0] ?? "", key.split(" ")[2] ?? "");
            dropFrom(kernel, (key) => key === `netns ${rest[0]}` || key.split(" ")[1] === rest[0]);
            return;
        }
        case "link add":
            addLink(kernel, ns, rest);
            return;
        case "link set": {
            const key = `link ${ns} ${dev}`;
            const link = kernel.get(key);
            must(link !== undefined, `no link ${dev}`);
            const { dev: _dev, type: _type, ...set } = properties(rest, ["up"]);
            must(
                set["master"] === undefined || kernel.has(`link ${ns} ${set["master"]}`),
                `no bridge ${set["master"]}`,
            );
            const { group, ...others } = { ...link, ...set };
            kernel.set(key, group === undefined || group === "0" ? others : { ...others, group });
            return;
        }
        case "link del": {
            if (rest[0] === "dev") {
                dropLink(kernel, ns, dev);
                return;
            }
            const members = [...kernel].filter(
                ([key, { group }]) => key.startsWith(`link ${ns} `) && group === rest[1],
            );
            must(members.length > 0, `no link of group ${rest[1]}`);
            for (const [key] of members) dropLink(kernel, ns, key.split(" ")[2] ?? "");
            return;
        }
        case "rule add":
            must(!kernel.has(`rule ${ns} ${rest.join(" ")}`), "rule exists");
            kernel.set(`rule ${ns} ${rest.join(" ")}`, {});
            return;
        case "rule del":
            must(kernel.delete(`rule ${ns} ${rest.join(" ")}`), "no such rule");
            return;
        case "address replace":
            must(kernel.has(`link ${ns} ${dev}`), `no link ${dev}`);
            kernel.set(`address ${ns} ${dev} ${rest[0]}`, { dev });
            return;
        case "address del":
            dropAddress(kernel, ns, dev, rest[0] ?? "");
            return;
        case "route replace": {
            const { [rest[0] ?? ""]: _to, ...set } = properties(["to", ...rest], ["onlink"]);
            const hasAddress = (prefix: string) => [...kernel.keys()].some((key) => key.startsWith(prefix));
            const isReachable =
                set["onlink"] === undefined ? hasAddress(`address ${ns} ${dev} `) : kernel.has(`link ${ns} ${dev}`);
            must(isReachable, `network is unreachable over ${dev}`);
            const isOwn = [...kernel.keys()].some(
                (key) => key.startsWith(`address ${ns} `) && key.split(" ")[3]?.split("/")[0] === set["src"],
            );
            must(set["src"] === undefined || isOwn, `${set["src"]} is no address of the host`);
            kernel.set(`route ${ns} ${set["table"]} ${rest[0]}`, set);
            return;
        }
        case "route del":
            must(kernel.delete(`route ${ns} ${rest[rest.indexOf("table") + 1]} ${rest[0]}`), `no route to ${rest[0]}`);
            return;
        case "neigh replace":
            must(kernel.has(`link ${ns} ${dev}`), `no link ${dev}`);
            kernel.set(`neighbour ${ns} ${dev} ${rest[0]}`, properties(rest.slice(1)));
            return;
        case "neigh del":
            must(kernel.delete(`neighbour ${ns} ${dev} ${rest[0]}`), `no neighbour ${rest[0]}`);
            return;
        default:
            throw new Error(`ip ${words.join(" ")}`);
    }
}

function runBridge(kernel: Kernel, words: readonly string[]): void {
    const [, verb, mac, , dev = "", side] = words;
    const key = `fdb  ${dev} ${mac} ${side}`;
    if (verb === "del") {
        must(kernel.delete(key), `no entry of ${mac}`);
        return;
    }
    const link = kernel.get(`link  ${dev}`);
    must(link !== undefined && (side !== "master" || link["master"] !== undefined), `no bridge port ${dev}`);
    kernel.set(key, { dev, to: words.at(-1) ?? "" });
}

function runNft(kernel: Kernel, text: string): void {
    const [verb, object, family, , name = "", ...rest] = text.split(" ");
    const key = `${object} ${family} ${name}`;
    const isLedTo = (chain: string) =>
        [...kernel.values()].some(({ rules = "", value = "" }) =>
            `${rules}\n${value}`.match(`(goto|jump) ${chain}\\b`),
        );
    if (verb === "delete" && object === "table") {
        must(kernel.has(`table ${family}`), `no table ${family}`);
        dropFrom(
            kernel,
            (each) => /^(table|set|map|counter|chain|element) /.test(each) && each.split(" ")[1] === family,
        );
        return;
    }
    if (object === "table") {
        kernel.set(`table ${family}`, {});
        return;
    }
    must(kernel.has(`table ${family}`), `no table for ${text}`);
    switch (`${verb} ${object}`) {
        case "add set":
        case "add map":
            kernel.set(`set ${family} ${name}`, {});
            return;
        case "add counter":
            kernel.set(key, {});
            return;
        case "delete counter":
        case "delete set":
            must(
                ![...kernel.values()].some(({ rules = "" }) => rules.match(`["@]${name}\\b`)),
                `${object} ${name} is busy`,
            );
            must(kernel.delete(key), `no ${object} ${name}`);
            return;
        case "add chain":
            if (!kernel.has(key)) kernel.set(key, { rules: "" });
            return;
        case "flush chain":
            must(kernel.has(key), `no chain ${name}`);
            kernel.set(key, { rules: "" });
            return;
        case "add rule": {
            const chain = kernel.get(`chain ${family} ${name}`);
            must(chain !== undefined, `no chain ${name}`);
            for (const [, set] of text.matchAll(/(?:update|add) @(\w+)/g)) {
                must(kernel.has(`set ${family} ${set}`), `no set ${set}`);
            }
            for (const [, counter] of text.matchAll(/counter name "(\w+)"/g)) {
                must(kernel.has(`counter ${family} ${counter}`), `no counter ${counter}`);
            }
            for (const [, target] of text.matchAll(/(?:goto|jump) (\w+)/g)) {
                must(kernel.has(`chain ${family} ${target}`), `no chain ${target}`);
            }
            kernel.set(`chain ${family} ${name}`, { rules: `${chain["rules"]}${rest.join(" ")}\n` });
            return;
        }
        case "delete chain":
            must(!isLedTo(name), `chain ${name} is busy`);
            must(kernel.delete(key), `no chain ${name}`);
            return;
        case "add element": {
            must(kernel.has(`set ${family} ${name}`), `no set ${name}`);
            const [of = "", value = ""] = rest.slice(1, -1).join(" ").split(" : ");
            const target = /^goto (\w+)$/.exec(value)?.[1];
            must(target === undefined || kernel.has(`chain ${family} ${target}`), `no chain ${target}`);
            const there = kernel.get(`element ${family} ${name} ${of}`);
            must(there === undefined || there["value"] === value, `element ${of} exists`);
            kernel.set(`element ${family} ${name} ${of}`, { value });
            return;
        }
        case "delete element": {
            const of = rest.slice(1, -1).join(" ");
            must(kernel.delete(`element ${family} ${name} ${of}`), `no element ${of}`);
            return;
        }
        default:
            throw new Error(text);
    }
}

/** Runs one line. @throws Error where the kernel would refuse it. */
export function runLine(kernel: Kernel, line: Line): void {
    const ns = line.netns ?? "";
    switch (line.tool) {
        case "ip":
            runIp(kernel, ns, line.args);
            return;
        case "bridge":
            runBridge(kernel, line.args);
            return;
        case "nft":
            runNft(kernel, line.args.join(" "));
            return;
        case "sysctl": {
            const [key = "", value = ""] = line.args;
            const [, dev] = /\/conf\/(ln[^/]+)\//.exec(key) ?? [];
            must(dev === undefined || kernel.has(`link ${ns} ${dev}`), `no link ${dev}`);
            // 0 is what a new interface has.
            if (value === "0") kernel.delete(`sysctl ${ns} ${key}`);
            else kernel.set(`sysctl ${ns} ${key}`, { value });
            return;
        }
        case "command":
            if (line.args.join(" ").includes("umount /run/netns")) {
                must(![...kernel.keys()].some((key) => key.startsWith("netns ")), "/run/netns is busy");
            }
            return;
        case "conntrack":
            return;
    }
}

/** Runs an nft transaction: all of it or nothing. */
export function runTransaction(kernel: Kernel, lines: readonly Line[]): void {
    const copy = new Map(kernel);
    for (const line of lines) runLine(copy, line);
    kernel.clear();
    for (const [key, value] of copy) kernel.set(key, value);
}
