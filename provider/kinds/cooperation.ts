import {
    exceptionForPeer,
    exceptionForTunnels,
    exceptionInForward,
    exceptionInInput,
    hasException,
    mattersTo,
} from "../kernel/other-firewalls.js";
import { type FirewallException, interfaceOf, type NetworkObject } from "../model/object.js";
import type { OtherFirewall, World } from "../model/world.js";

/** Every bridge of ours: one rule for all, so that what a packet meets does not grow with networks. */
const ownBridges = "ln+";

const bridgesOf = (networks: readonly NetworkObject[]) => [
    ...new Set(networks.map((network) => (network.bridge === undefined ? ownBridges : interfaceOf(network)))),
];

/**
 * What the firewalls of others need so that the networks whose Hosts have `cooperate` work as they are meant: nothing where
 * none drops, or where somebody has let ours pass already.
 * @param known what is ours of it by now
 */
export function exceptionsFor(
    world: World,
    firewalls: readonly OtherFirewall[],
    known: readonly FirewallException[],
): FirewallException[] {
    if (firewalls.length === 0) return [];
    const networks = world
        .all("network")
        .filter(({ cooperate, bridge }) => cooperate === true && (bridge?.isManaged ?? true));
    if (networks.length === 0) return [];
    const keys = new Set(networks.map(({ key }) => key));
    const tunnels = world.all("overlay-tunnel").filter(({ network }) => keys.has(network));
    const bridges = bridgesOf(networks);
    const outbound = new Set(bridgesOf(networks.filter(({ internal }) => !internal)));
    const wanted = firewalls.flatMap((firewall) => {
        const isOurs = hasException(firewall, known);
        if (firewall.hook === "forward") {
            if (!isOurs && !mattersTo(firewall)) return [];
            return [
                ...bridges.flatMap((name) => exceptionInForward(firewall, name, outbound.has(name))),
                ...(tunnels.length === 0 ? [] : exceptionForTunnels(firewall)),
            ];
        }
        return tunnels
            .filter(({ port }) => isOurs || mattersTo(firewall, port))
            .flatMap(({ port, peers, wireguard }) =>
                // A peer behind NAT comes from another address.
                wireguard !== undefined
                    ? [exceptionInInput(firewall.place, port)]
                    : peers.flatMap(({ underlayAddress }) => exceptionForPeer(firewall.place, port, underlayAddress)),
            );
    });
    return [...new Map(wanted.map((each) => [JSON.stringify(each), each])).values()];
}
