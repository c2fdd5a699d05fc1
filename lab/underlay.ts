import { randomInt } from "node:crypto";
import {
    type AddressPlan,
    hostNumbers,
    labCount,
    overlapsDestination,
    planAddresses,
    planMachine,
} from "./address-plan.js";
import { type Namespace, outerPidScript, startNamespace } from "./namespace.js";
import { systemPath } from "./requirements.js";

/** The network between a lab's machines: a bridge in a namespace of its own, and one link to the calling program. */
export type Underlay = {
    readonly plan: AddressPlan;
    readonly mtuBytes: number;
    readonly switch: Namespace;
    /** Takes the link away, then everything else. */
    stop(): Promise<void>;
};

/**
 * Starts the underlay on the first free subnet.
 *
 * No lock is needed: making the link in the caller's namespace is what claims the subnet, the kernel refuses a second
 * interface of that name, and takes the name back when the lab is gone.
 */
export async function startUnderlay(mtuBytes: number): Promise<Underlay> {
    const destinations = await readDestinations();
    const start = randomInt(labCount);
    for (let step = 0; step < labCount; step++) {
        const plan = planAddresses((start + step) % labCount);
        if (destinations.some((destination) => overlapsDestination(plan, destination))) continue;
        const started = await startSwitch(plan, mtuBytes);
        if (started === "taken") continue;
        return {
            plan,
            mtuBytes,
            switch: started,
            stop: async () => {
                // Explicitly, and first: a dead namespace gives its links back a moment later only.
                await runIp(["link", "delete", plan.linkName], true);
                await started.stop();
            },
        };
    }
    throw new Error(`All ${labCount} lab subnets of 198.18.0.0/15 are in use on this machine.`);
}

async function startSwitch(plan: AddressPlan, mtuBytes: number): Promise<Namespace | "taken"> {
    const router = planMachine(plan, hostNumbers.router);
    const outside = planMachine(plan, hostNumbers.outside);
    try {
        return await startNamespace("The lab's underlay", switchScript, {
            LAB_OUTSIDE_NAMESPACE: `/proc/${process.pid}/ns/net`,
            LAB_LINK: plan.linkName,
            LAB_MTU: String(mtuBytes),
            LAB_ROUTER: `${router.address}/24`,
            LAB_ROUTER_IPV6: `${router.ipv6Address}/64`,
            LAB_OUTSIDE: `${outside.address}/24`,
            LAB_OUTSIDE_IPV6: `${outside.ipv6Address}/64`,
        });
    } catch (error) {
        if (error instanceof Error && error.message.includes("File exists")) return "taken";
        throw error;
    }
}

const switchScript = `${outerPidScript}
ip link set lo up
# br_netfilter would send bridged packets through the firewall; its switches are per namespace.
for key in arptables iptables ip6tables; do
    file=/proc/sys/net/bridge/bridge-nf-call-$key
    if [ -e "$file" ]; then echo 0 >"$file"; fi
done
ip link add outside type veth peer name "$LAB_LINK" netns "$LAB_OUTSIDE_NAMESPACE"
# A fixed MAC: without one a bridge takes the lowest of its ports', and neighbours would lose the router.
ip link add underlay address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0
ip link set underlay mtu "$LAB_MTU" up
ip link set outside mtu "$LAB_MTU" master underlay up
ip address add "$LAB_ROUTER" dev underlay
# A forwarding router without further routes answers "network unreachable" at once; others let callers wait.
echo 1 >/proc/sys/net/ipv4/ip_forward
if [ -e /proc/net/if_inet6 ]; then
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    ip address add "$LAB_ROUTER_IPV6" dev underlay nodad || :
fi
outside() { nsenter --net="$LAB_OUTSIDE_NAMESPACE" ip "$@"; }
outside link set "$LAB_LINK" mtu "$LAB_MTU" up
outside address add "$LAB_OUTSIDE" dev "$LAB_LINK"
outside address add "$LAB_OUTSIDE_IPV6" dev "$LAB_LINK" nodad 2>/dev/null || :
mount -t proc -o nosuid,nodev,noexec proc /proc
echo ready
exec sleep infinity >/dev/null </dev/null
`;

async function readDestinations(): Promise<string[]> {
    const routes: { dst?: string }[] = JSON.parse(await runIp(["-4", "-json", "route", "show", "table", "all"]));
    return routes.map((route) => route.dst ?? "");
}

async function runIp(args: readonly string[], mayFail = false): Promise<string> {
    const { execa } = await import("execa");
    const { stdout } = await execa("ip", args, { env: { PATH: systemPath }, reject: !mayFail });
    return stdout;
}
