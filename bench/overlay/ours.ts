import type { LabHost } from "../../lab/index.js";
import { type Calls, type Made, openCalls, refTo } from "../provider-calls.js";
import type { Path } from "./path.js";

export interface OursOptions {
    readonly name: string;
    /** 0-255; two of them on the same hosts need two. */
    readonly number: number;
    readonly encryption?: "none" | "ipsec" | "wireguard";
}

/** Two hosts with the provider's handlers. */
export type Opened = readonly [{ host: LabHost; calls: Calls }, { host: LabHost; calls: Calls }];

export async function openBoth([left, right]: Path["hosts"]): Promise<Opened> {
    const open = async (host: LabHost) => ({ host, calls: await openCalls(host.connection) });
    return [await open(left), await open(right)];
}

/** A segment of ours over two hosts, with one sandbox on each. */
export async function layOurs(
    [left, right]: Opened,
    { name, number, encryption = "none" }: OursOptions,
): Promise<{ readonly path: Path; readonly mtuBytes: number }> {
    const secret = encryption === "ipsec" ? { key: "only as secret as the benchmark that prints it" } : {};
    const range = (index: number) => `10.${number}.${index}.0/24`;
    const lay = async (own: Opened[0], other: Opened[0], index: 0 | 1) => {
        const host = refTo("host", own.calls.host);
        const networkArgs = {
            host,
            subnet: `10.${number}.0.0/16`,
            ipRange: range(index),
            gateway: `10.${number}.${index}.1`,
        };
        const network = await own.calls.create("network", `mesh-${number}`, networkArgs);
        const { identity } = other.calls.host.outs;
        const known = identity === undefined ? {} : { host: refTo("host", other.calls.host), identity };
        const tunnel = await own.calls.create("overlayTunnel", `mesh-${number}`, {
            ...{ network: refTo("network", network), vni: 4000 + number, port: 4900 + number },
            ...(encryption === "none" ? {} : { encryption, ...secret }),
            peers: [{ ...known, underlayAddress: other.host.address, ipRange: range(1 - index) }],
        });
        const sandbox = await own.calls.create("sandbox", `app-${number}`, { host });
        const endpoint = await own.calls.create("endpoint", `app-${number}-mesh`, {
            ...{ sandbox: refTo("sandbox", sandbox), network: refTo("network", network) },
        });
        return { tunnel, sandbox, endpoint };
    };
    const ends = [await lay(left, right, 0), await lay(right, left, 1)] as const;
    const text = (made: Made, key: string) => String(made.outs[key]);
    return {
        path: {
            ...{ name, hosts: [left.host, right.host] },
            namespaces: [text(ends[0].sandbox, "name"), text(ends[1].sandbox, "name")],
            address: text(ends[1].endpoint, "address"),
        },
        mtuBytes: Number(ends[0].tunnel.outs["mtu"]),
    };
}
