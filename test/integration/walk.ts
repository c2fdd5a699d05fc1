import type { LabHost } from "../../lab/index.js";
import type { Props } from "../../provider/lifecycle.js";
import type { Dice } from "../dice.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { type FaultyHost, faults } from "./faults.js";
import type { ProviderProcess } from "./provider-process.js";

/** A place in the program for one resource: its arguments name others as `{ slot }`. */
interface Slot {
    readonly name: string;
    readonly declare: "network" | "sandbox" | "endpoint" | "portMapping" | "firewallPolicy" | "overlayTunnel";
    /** Arguments that stay, and those of them that name others. */
    readonly fixed: Props;
    /** Other values for the arguments that change in place; first for a create, then for updates. */
    choose(dice: Dice, live: ReadonlySet<string>): Props;
}

const at = (slot: string) => ({ slot });
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

const networks = range(4).map((i): Slot => {
    const ipRange = `172.2${i}.0.128/26`;
    return {
        name: `n${i}`,
        declare: "network",
        fixed: { subnet: `172.2${i}.0.0/24`, ipRange },
        choose: (dice) => ({
            gateway: `172.2${i}.0.${dice.one([1, 254])}`,
            mtu: dice.one([1280, 1400, 1500]),
            // Ports are published on the first two.
            internal: i > 1 && dice.chance(0.5),
            isolateEndpoints: dice.chance(0.3),
            defaultPolicy: dice.one(["network", "deny"]),
            hostAccess: dice.chance(0.7),
            directAccess: i < 2 && dice.chance(0.3),
            masquerade: dice.chance(0.7),
            attachable: dice.chance(0.5),
            name: dice.one([`n${i}`, `net-${i}`]),
            labels: { a: dice.one(["b", "c"]) },
        }),
    };
});

const sandboxes = range(7).map(
    (i): Slot => ({
        name: `s${i}`,
        declare: "sandbox",
        fixed: i % 2 === 0 ? {} : { name: `sandbox-${i}` },
        choose: (dice) => ({
            sysctls: Object.fromEntries(
                dice
                    .some(["net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_default_ttl", "net.core.somaxconn"], 3)
                    .map((key) => [key, String(50 + dice.below(50))]),
            ),
            labels: { a: dice.one(["b", "c"]) },
        }),
    }),
);

const endpoints = range(10).map((i): Slot => {
    const network = (i * 3 + Math.floor(i / 7)) % 4;
    return {
        name: `e${i}`,
        declare: "endpoint",
        fixed: { sandbox: at(`s${i % 7}`), network: at(`n${network}`) },
        choose: (dice) => ({
            ...(dice.chance(0.5) ? { ipv4Address: `172.2${network}.0.${10 + i + 20 * dice.below(3)}` } : {}),
            ...(dice.chance(0.3) ? { macAddress: `02:00:00:00:0${dice.below(3)}:0${i}` } : {}),
            ...(dice.chance(0.2) ? { interfaceName: dice.one([`eth${i}`, `if${i}`]) } : {}),
            gatewayPriority: dice.one([0, 5, -5, "never"]),
        }),
    };
});

const mappings = range(4).map(
    (i): Slot => ({
        name: `m${i}`,
        declare: "portMapping",
        // Endpoints of the first two networks.
        fixed: { target: at(`e${[0, 3, 4, 8][i]}`) },
        choose: (dice) => {
            const first = 8000 + 100 * i + 10 * dice.below(3);
            const size = dice.below(3);
            const ports = (from: number) => (size === 0 ? from : `${from}-${from + size}`);
            return {
                targetPort: ports(dice.one([70, 80])),
                hostPort: ports(first),
                hostAddress: dice.chance(0.3) ? "127.0.0.1" : undefined,
                protocol: dice.one([["tcp"], ["udp"], ["tcp", "udp"]]),
            };
        },
    }),
);

const policies = range(4).map(
    (i): Slot => ({
        name: `p${i}`,
        declare: "firewallPolicy",
        fixed: {},
        choose(dice, live) {
            const targets = [...live].filter((name) => /^[ens]/.test(name)).sort();
            const rules = (side: "from" | "to") =>
                range(dice.below(3)).map(() => ({
                    action: dice.one(["allow", "drop", "reject"]),
                    [side]: dice.one([
                        ["any"],
                        ["host", "external"],
                        ["172.20.0.0/16"],
                        [at(dice.one(targets)), "internal"],
                    ]),
                    ...(dice.chance(0.5) ? { ports: [dice.one([80, "8000-8010", "53/udp"])] } : {}),
                    ...(dice.chance(0.3) ? { description: "said here" } : {}),
                }));
            const both = dice.below(3);
            return {
                target: [at(dice.one(targets)), ...dice.some(targets, 2).map(at)].filter(
                    (value, k, all) => all.findIndex(({ slot }) => slot === value.slot) === k,
                ),
                ingress: both === 0 ? undefined : rules("from"),
                egress: both === 1 ? undefined : rules("to"),
                defaultAction: dice.one(["drop", "reject", "allow"]),
                priority: dice.below(3),
            };
        },
    }),
);

const tunnels = range(2).map(
    (i): Slot => ({
        name: `t${i}`,
        declare: "overlayTunnel",
        fixed: { network: at(`n${i + 1}`) },
        choose: (dice) => ({
            vni: 10 + i + 10 * dice.below(2),
            port: dice.one([4789, 4790]),
            peers: range(dice.below(3)).map((k) => ({
                underlayAddress: `198.18.255.${254 - k}`,
                ipRange: `172.2${i + 1}.0.${192 + 16 * k}/${dice.one([29, 30])}`,
            })),
            mtu: dice.one([1300, 1400]),
        }),
    }),
);

/** In the order in which an engine creates them; those of one wave at once. */
const waves = [[...networks, ...sandboxes], endpoints, [...mappings, ...policies, ...tunnels]];
const slots = waves.flat();

/** A resource that is there, and the program's arguments for it. */
interface Live {
    readonly slot: Slot;
    readonly resource: Resource;
    args: Props;
}

function slotsIn(value: unknown): string[] {
    if (typeof value !== "object" || value === null) return [];
    if ("slot" in value) return [String(value.slot)];
    return Object.values(value).flatMap(slotsIn);
}

/** A program in the making: what is live, and the operations that an engine would run. */
export class Walk {
    readonly #live = new Map<string, Live>();
    readonly log: string[] = [];
    crashes = 0;

    constructor(
        readonly host: LabHost,
        readonly stack: Stack,
        readonly dice: Dice,
        readonly faulty: FaultyHost,
        readonly provider: ProviderProcess,
    ) {}

    #resolve = (value: unknown): unknown => {
        if (Array.isArray(value)) return value.map(this.#resolve);
        if (typeof value !== "object" || value === null) return value;
        if ("slot" in value) return this.#live.get(String(value.slot))?.resource;
        return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, this.#resolve(entry)]));
    };

    /** Twice at most: what a crash left half done is done by the next identical operation. */
    async #twice<T>(what: string, work: () => Promise<T>): Promise<T> {
        this.log.push(what);
        try {
            return await work();
        } catch (error) {
            const count = await this.faulty.clear();
            if (count === 0) throw error;
            this.log.push(`  again, after: ${(error as Error).message}`);
            return await work();
        }
    }

    async #create(slot: Slot, args: Props): Promise<void> {
        const resource = await this.#twice(
            `create ${slot.name} ${JSON.stringify(args)}`,
            () => this.stack[slot.declare](slot.name, this.#resolve(args) as Props) as Promise<Resource>,
        );
        this.#live.set(slot.name, { slot, resource, args });
    }

    async #update(live: Live, changes: Props): Promise<void> {
        const text = JSON.stringify(changes, (_key, value) => (value === undefined ? "(none)" : value));
        const outcome = await this.#twice(`update ${live.slot.name} ${text}`, () =>
            live.resource.update(this.#resolve(changes) as Props),
        );
        if (outcome === "replace") throw new Error(`${live.slot.name} was replaced, not updated`);
        live.args = { ...live.args, ...changes };
    }

    async #delete(live: Live): Promise<void> {
        await this.#twice(`delete ${live.slot.name}`, () => live.resource.delete());
        this.#live.delete(live.slot.name);
    }

    /** What names it, and what names that: the last ones first. */
    #dependentsOf(name: string): Live[] {
        const direct = [...this.#live.values()].filter(({ args }) => slotsIn(args).includes(name));
        return [...new Set([...direct.flatMap((live) => this.#dependentsOf(live.slot.name)), ...direct])];
    }

    #creatable(): Slot[] {
        return slots.filter(
            ({ name, fixed }) => !this.#live.has(name) && slotsIn(fixed).every((other) => this.#live.has(other)),
        );
    }

    #chooseFor(slot: Slot): Props | undefined {
        const live = new Set(this.#live.keys());
        if (slot.declare === "firewallPolicy" && ![...live].some((name) => /^[ens]/.test(name))) return undefined;
        return slot.choose(this.dice, live);
    }

    /** Several operations that an engine would run at once: none names what another takes away. */
    #chooseBatch(count: number): (() => Promise<void>)[] {
        const batch: (() => Promise<void>)[] = [];
        const busy = new Set<string>();
        for (let i = 0; i < count; i++) {
            const kind = this.dice.below(10);
            const free = [...this.#live.values()].filter(({ slot }) => !busy.has(slot.name));
            if (kind < 4 || free.length === 0) {
                const creatable = this.#creatable().filter(({ name }) => !busy.has(name));
                const slot = this.dice.one(creatable);
                const chosen = slot && this.#chooseFor(slot);
                if (slot === undefined || chosen === undefined) continue;
                const args = { ...slot.fixed, ...chosen };
                if (slotsIn(args).some((name) => busy.has(name))) continue;
                for (const name of [slot.name, ...slotsIn(args)]) busy.add(name);
                batch.push(() => this.#create(slot, args));
            } else if (kind < 8) {
                const live = this.dice.one(free);
                const chosen = this.#chooseFor(live.slot) ?? {};
                const names = this.dice.chance(0.3) ? Object.keys(chosen) : this.dice.some(Object.keys(chosen), 2);
                // Ports go together.
                const pair = names.includes("hostPort")
                    ? ["targetPort"]
                    : names.includes("targetPort")
                      ? ["hostPort"]
                      : [];
                const sides = names.includes("ingress") || names.includes("egress") ? ["ingress", "egress"] : [];
                const all = [...new Set([...names, ...pair, ...sides])].filter((name) => name in chosen);
                const changes = Object.fromEntries(all.map((name) => [name, chosen[name]]));
                if (slotsIn(changes).some((name) => busy.has(name) || name === live.slot.name)) continue;
                for (const name of [live.slot.name, ...slotsIn(changes)]) busy.add(name);
                batch.push(() => this.#update(live, changes));
            } else {
                const live = this.dice.one(free);
                const all = [...this.#dependentsOf(live.slot.name), live];
                if (all.length > 6 || all.some(({ slot }) => busy.has(slot.name))) continue;
                for (const each of all) busy.add(each.slot.name);
                for (const each of all) for (const name of slotsIn(each.args)) busy.add(name);
                batch.push(async () => {
                    for (const each of all) await this.#delete(each);
                });
            }
        }
        return batch;
    }

    async #run(batch: readonly (() => Promise<void>)[]): Promise<void> {
        const outcomes = await Promise.allSettled(batch.map((work) => work()));
        const failed = outcomes.find((outcome) => outcome.status === "rejected");
        if (failed !== undefined) throw failed.reason;
    }

    /** `pulumi up` of a program with most of its resources. */
    async start(): Promise<void> {
        for (const wave of waves) {
            const chosen = wave.filter((slot) => this.#creatable().includes(slot) && this.dice.chance(0.8));
            await this.#run(
                chosen.flatMap((slot) => {
                    const args = this.#chooseFor(slot);
                    return args === undefined ? [] : [() => this.#create(slot, { ...slot.fixed, ...args })];
                }),
            );
        }
    }

    /** One random thing happens. */
    async step(): Promise<void> {
        const kind = this.dice.below(10);
        if (kind < 4) return this.#run(this.#chooseBatch(1));
        if (kind < 7) return this.#run(this.#chooseBatch(2 + this.dice.below(5)));
        if (kind < 9) return this.#crash();
        await this.damage();
        await this.refreshAndRepair();
    }

    async #crash(): Promise<void> {
        const batch = this.#chooseBatch(1 + this.dice.below(3));
        const [fault, step, transactions] = [
            this.dice.one([...faults, "kills the provider"] as const),
            1 + this.dice.below(10),
            this.dice.one([1, 2, 99]),
        ];
        this.log.push(`crash: step ${step} of ${transactions} transactions ${fault}`);
        if (fault === "kills the provider") return this.#killProvider(batch, step);
        await this.faulty.inject(fault, step, transactions);
        await this.#run(batch);
        this.crashes += await this.faulty.clear();
    }

    async #killProvider(batch: readonly (() => Promise<void>)[], step: number): Promise<void> {
        const paused = await this.faulty.pause(step);
        const ended = this.#run(batch).then(() => this.faulty.clear());
        if (await paused.reached()) {
            await this.provider.kill();
            await paused.resume();
            this.crashes++;
        }
        await ended;
    }

    /** Somebody changes the host behind the provider's back. */
    async damage(): Promise<void> {
        const names = (kind: string) =>
            [...this.#live.values()].filter(({ resource }) => resource.kind === kind).map(({ resource }) => resource);
        const outs = (resource: Resource) => resource.outs as unknown as Record<string, string>;
        const endpoint = this.dice.one(names("endpoint"));
        const bridge = this.dice.one(names("network"));
        const sandbox = this.dice.one(names("sandbox"));
        const tunnel = this.dice.one(names("overlay-tunnel"));
        const commands = [
            "nft flush ruleset",
            "nft delete table bridge linuxnet",
            "nft flush chain inet linuxnet forward",
        ];
        if (endpoint !== undefined) {
            const { hostInterface: veth, interfaceName, address } = outs(endpoint);
            const inside = `ip -n $(for n in $(ls /run/netns); do if ip -n $n -br addr | grep -q ' ${address}/'; then echo $n; fi; done)`;
            commands.push(
                `ip link del ${veth}`,
                `ip link set ${veth} down`,
                `ip link set ${veth} nomaster`,
                `ip link set ${veth} mtu 1290`,
                `${inside} link set dev ${interfaceName} down`,
                `${inside} address flush dev ${interfaceName}`,
                `${inside} route flush table main`,
                `${inside} route flush table 1000`,
                `${inside} link set dev ${interfaceName} address 02:00:00:00:00:99`,
                `nft delete element bridge linuxnet endpoints '{ "${veth}" }'`,
                `nft flush chain inet linuxnet in_${veth}`,
            );
        }
        if (bridge !== undefined) {
            const { interfaceName, gateway } = outs(bridge);
            commands.push(
                `ip link del ${interfaceName}`,
                `ip link set ${interfaceName} down`,
                `ip link set ${interfaceName} mtu 1290`,
                `ip address del ${gateway}/24 dev ${interfaceName}`,
                `nft delete element inet linuxnet networks '{ "${interfaceName}" }'`,
                `echo 0 >/proc/sys/net/ipv4/conf/${interfaceName}/forwarding`,
            );
        }
        if (sandbox !== undefined) commands.push(`ip netns del ${outs(sandbox)["name"]}`);
        if (tunnel !== undefined) {
            const { interfaceName } = outs(tunnel);
            commands.push(
                `ip link del ${interfaceName}`,
                `ip link set ${interfaceName} down`,
                "ip neigh flush nud permanent",
            );
        }
        for (const command of [this.dice.one(commands), ...this.dice.some(commands, 2)]) {
            this.log.push(`damage: ${command}`);
            await this.host.exec(command, { check: false });
        }
    }

    /** `pulumi up --refresh`. @throws when anything is gone, or drift is left */
    async refreshAndRepair(): Promise<void> {
        const all = [...this.#live.values()];
        await Promise.all([this.stack.host, ...all.map(({ resource }) => resource)].map((each) => each.refresh()));
        await this.stack.host.update({});
        for (const wave of waves) {
            const names = wave.map(({ name }) => name);
            const due = all.filter(({ slot }) => names.includes(slot.name));
            await Promise.all(due.map(({ resource }) => resource.update({})));
        }
        this.log.push("refreshed and repaired");
        const left = await Promise.all(
            all.map(async ({ slot, resource }) => {
                const drift = await resource.refresh();
                return drift === "gone" || drift.length > 0 ? [`${slot.name}: ${drift}`] : [];
            }),
        );
        left.push([...(await this.stack.host.refresh())]);
        if (left.flat().length > 0) throw new Error(`drift is left:\n${left.flat().join("\n")}`);
    }

    /** The same program on another host, created in one go; what the provider chose is written out. */
    async createFresh(host: LabHost): Promise<Stack> {
        const stack = await openStack(host, { provider: this.provider });
        const fresh = new Walk(host, stack, this.dice, this.faulty, this.provider);
        for (const wave of waves) {
            const due = wave.flatMap((slot) => this.#live.get(slot.name) ?? []);
            await fresh.#run(
                due.map(({ slot, args, resource }) => {
                    const { address: ipv4Address, macAddress, interfaceName } = resource.outs as unknown as Props;
                    const chosen = slot.declare === "endpoint" ? { ipv4Address, macAddress, interfaceName } : {};
                    return () => fresh.#create(slot, { ...args, ...chosen });
                }),
            );
        }
        return stack;
    }

    get size(): number {
        return this.#live.size;
    }
}
