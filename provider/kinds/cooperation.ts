import { exceptionsIn, isExcepted, meets, obstaclesTo, type Passage, stops } from "../kernel/firewall-passage.js";
import { halfOf } from "../model/half.js";
import {
    type FirewallException,
    type HostObject,
    interfaceOf,
    type NetworkObject,
    type OverlayTunnelObject,
} from "../model/object.js";
import { familyOf } from "../model/range.js";
import type { HostFacts, OtherFirewall, World } from "../model/world.js";

/** Every bridge of ours: one rule for all, so that what a packet meets does not grow with networks. */
const ownBridges = "ln+";

/** And every tunnel. */
const ownTunnels = "lt+";

const bridgesOf = (networks: readonly NetworkObject[]) => [
    ...new Set(networks.map((network) => (network.bridge === undefined ? ownBridges : interfaceOf(network)))),
];

const familiesOf = (networks: readonly NetworkObject[]) =>
    ([4, 6] as const).filter((family) => networks.some((network) => halfOf(network, family) !== undefined));

/** Those whose bridges it may change. */
const isManaged = ({ bridge }: NetworkObject) => bridge?.isManaged ?? true;

/** What of networks and tunnels has to pass the firewalls of others. */
export function passagesOf(networks: readonly NetworkObject[], tunnels: readonly OverlayTunnelObject[]): Passage[] {
    if (networks.length === 0) return [];
    const asking = networks.filter((network) => network.dns?.mode === "server" && isManaged(network));
    const keys = new Set(asking.map(({ key }) => key));
    // Hosts of a segment ask each other, over its devices.
    const hasAskingPeers = tunnels.some(({ network }) => keys.has(network));
    return [
        {
            what: "forwarded",
            families: familiesOf(networks),
            bridges: bridgesOf(networks),
            outbound: bridgesOf(networks.filter(({ internal }) => !internal)),
            hasTunnels: tunnels.length > 0,
        },
        ...(asking.length === 0
            ? []
            : [
                  {
                      what: "questions",
                      families: familiesOf(asking),
                      bridges: [...bridgesOf(asking), ...(hasAskingPeers ? [ownTunnels] : [])],
                  } as const,
              ]),
        ...tunnels.map(
            ({ port, local, peers, wireguard }): Passage => ({
                what: "tunnel",
                families: [familyOf(local)],
                port,
                // A peer of WireGuard behind NAT comes from another address.
                ...(wireguard === undefined ? { from: peers.map(({ underlayAddress }) => underlayAddress) } : {}),
            }),
        ),
    ];
}

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
    const networks = world.all("network").filter((network) => network.cooperate === true && isManaged(network));
    const keys = new Set(networks.map(({ key }) => key));
    const tunnels = world.all("overlay-tunnel").filter(({ network }) => keys.has(network));
    const passages = passagesOf(networks, tunnels);
    const wanted = firewalls.flatMap((firewall) =>
        passages
            // With ours there it lets pass what it would drop without.
            .filter(
                (passage) =>
                    stops(firewall, passage) || (meets(firewall, passage) && isExcepted(firewall, passage, known)),
            )
            .flatMap((passage) => exceptionsIn(firewall, passage)),
    );
    return [...new Map(wanted.map((each) => [JSON.stringify(each), each])).values()];
}

/** Who types it lets everybody send to a tunnel's port: our own rules let in its peers alone. */
export function byHand(passage: Passage): Passage {
    if (passage.what !== "tunnel") return passage;
    const { from: _, ...fromEverybody } = passage;
    return fromEverybody;
}

/** What of an object has to pass. */
function passagesFor(object: HostObject, world: World): Passage[] {
    const all = passagesOf(world.all("network"), world.all("overlay-tunnel"));
    return all.flatMap((passage): Passage[] => {
        if (passage.what === "forwarded") return [passage];
        if (passage.what === "questions") return object.kind === "network" ? [passage] : [];
        return object.kind === "overlay-tunnel" && object.port === passage.port ? [byHand(passage)] : [];
    });
}

/** Words about other firewalls that drop what an object is made for, with the commands that help. */
export function warnOfFirewalls(object: HostObject, world: World, { otherFirewalls }: HostFacts): string[] {
    if (otherFirewalls.length === 0) return [];
    return passagesFor(object, world).flatMap((passage) =>
        obstaclesTo(passage, otherFirewalls, world.base?.exceptions).map(
            ({ found, remedy }) =>
                `${found}: a packet has to pass every firewall of a host. To let it pass, run there: ${remedy.join("; ")}`,
        ),
    );
}
