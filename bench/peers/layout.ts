import { range } from "../measure.js";

/**
 * The work that all do side by side: one bridge with an address, and for each endpoint a namespace, a veth pair with its
 * inner end in it, an address and a default route. Ours does more: two routes and a rule by source, the guard of the port,
 * names and owners, the manifest, the way back, and reading it back.
 */
export const bridge = "bench0";
export const gateway = "10.8.0.1";

export function endpointNames(index: number) {
    const address = `10.8.${Math.floor(index / 250)}.${(index % 250) + 2}`;
    return { namespace: `bench-${index}`, outer: `bench-v${index}`, inner: "eth0", address: `${address}/16` };
}

export const makeBridge = [
    `link add name ${bridge} type bridge`,
    `address add ${gateway}/16 dev ${bridge}`,
    `link set dev ${bridge} up`,
];

export const dropBridge = `link del dev ${bridge}`;

/** As most people write it: the pair is made here and one end moved. */
export function makePair(index: number): string[] {
    const { namespace, outer, inner } = endpointNames(index);
    return [
        `netns add ${namespace}`,
        `link add name ${outer} type veth peer name ${outer}p`,
        `link set dev ${outer}p netns ${namespace} name ${inner}`,
        `link set dev ${outer} master ${bridge} up`,
    ];
}

/** Who knows the kernel makes the other end where it belongs: moving an interface waits for the kernel (20 ms). */
export function makePairInPlace(index: number): string[] {
    const { namespace, outer, inner } = endpointNames(index);
    return [
        `netns add ${namespace}`,
        `link add name ${outer} type veth peer name ${inner} netns ${namespace}`,
        `link set dev ${outer} master ${bridge} up`,
    ];
}

export function configureInside(index: number): string[] {
    const { inner, address } = endpointNames(index);
    return [
        "link set dev lo up",
        `link set dev ${inner} up`,
        `address add ${address} dev ${inner}`,
        `route add default via ${gateway}`,
    ];
}

export function dropPair(index: number): string[] {
    const { namespace, outer } = endpointNames(index);
    return [`link del dev ${outer}`, `netns del ${namespace}`];
}

const batch = (lines: readonly string[], inside = "") => `ip ${inside}-batch - <<'END'\n${lines.join("\n")}\nEND\n`;
const insideAll = (count: number) =>
    range(count)
        .map((i) => batch(configureInside(i), `-n ${endpointNames(i).namespace} `))
        .join("");

/** One script of `ip -batch`, as it is written by hand. */
export const plainScript = {
    create: (count: number) => batch([...makeBridge, ...range(count).flatMap(makePair)]) + insideAll(count),
    delete: (count: number) => batch([...range(count).flatMap(dropPair), dropBridge]),
};

/** The same with every trick: pairs made in place, interfaces left to go with their namespaces, and waited for once. */
export const tunedScript = {
    create: (count: number) => batch([...makeBridge, ...range(count).flatMap(makePairInPlace)]) + insideAll(count),
    delete: (count: number) =>
        batch([...range(count).map((i) => `netns del ${endpointNames(i).namespace}`), dropBridge]) +
        "while ip -o link | grep -q bench-v; do sleep 0.02; done\n",
};

/** The same by single commands, as tasks of Ansible and operations of pyinfra run them. */
export function createCommands(index: number): string[] {
    const { namespace } = endpointNames(index);
    return [
        ...makePairInPlace(index).map((line) => `ip ${line}`),
        ...configureInside(index).map((line) => `ip -n ${namespace} ${line}`),
    ];
}

export function deleteCommands(index: number): string[] {
    return dropPair(index).map((line) => `ip ${line}`);
}
