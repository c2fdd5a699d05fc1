import { createLab, type LabHost } from "../../lab/index.js";
import { closeSessions } from "../../provider/sessions.js";
import { range } from "../measure.js";
import { type Joined, join, openCalls, refTo } from "../provider-calls.js";
import { type FirstPacket, measureFirstPackets, startServer } from "./first-packet.js";

/** A new connection to an endpoint with a policy, beside one whose only policy lets one member in. */
export interface PolicyCost {
    readonly what: "members" | "policies on other endpoints";
    readonly count: number;
    readonly packet: FirstPacket;
}

const port = 80;
/** In documentation and test networks (RFC 5737, RFC 2544): nobody is there. */
const stranger = (i: number) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;

/** A host with sandboxes; the first one answers and is published. */
async function openSide(host: LabHost, count: number) {
    const calls = await openCalls(host.connection);
    const joined: Joined = await join(calls, count);
    const target = refTo("endpoint", joined.endpoints[0]);
    await startServer(host, String(joined.sandboxes[0]?.outs["name"]), port);
    await calls.create("portMapping", "web", { target, hostPort: 8080, targetPort: port });
    return { ...{ calls, joined, target }, address: `${host.address}:8080` };
}

export async function measurePolicies(
    members: readonly number[],
    others: readonly number[],
    turns: number,
): Promise<PolicyCost[]> {
    await using lab = await createLab({ hosts: 2 });
    const [first, second] = lab.hosts;
    const client = lab.client();
    const few = await openSide(first, 1);
    const many = await openSide(second, 1 + (others.at(-1) ?? 0));
    /** The client is the last who is let in. */
    const allow = (count: number) => ({
        ingress: [
            {
                action: "allow",
                ports: [port],
                from: [...range(count - 1).map(stranger), client.address],
            },
        ],
    });
    await few.calls.create("firewallPolicy", "web", { target: few.target, ...allow(1) });
    let policy = await many.calls.create("firewallPolicy", "web", { target: many.target, ...allow(1) });
    const rows: PolicyCost[] = [];
    const measure = async (what: PolicyCost["what"], count: number) => {
        const packet = await measureFirstPackets(client, "tcp", [few.address, many.address], turns);
        rows.push({ what, count, packet });
    };
    await measure("policies on other endpoints", 0);
    let made = 0;
    for (const count of others) {
        const wanted = many.joined.endpoints.slice(1 + made, 1 + count);
        await Promise.all(
            wanted.map((endpoint, i) =>
                many.calls.create("firewallPolicy", `other-${made + i}`, {
                    ...{ target: refTo("endpoint", endpoint), ...allow(10) },
                }),
            ),
        );
        made = count;
        await measure("policies on other endpoints", count);
    }
    for (const count of members) {
        policy = await many.calls.update("firewallPolicy", "web", { target: many.target, ...allow(count) }, policy);
        await measure("members", count);
    }
    await closeSessions();
    return rows;
}
