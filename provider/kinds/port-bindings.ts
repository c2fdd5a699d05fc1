import type { Binding, PortMappingObject, PortProtocol } from "../model/object.js";
import { formatPortRange, type PortRange } from "../model/port-range.js";
import { isOfStack } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import { type BuildContext, defined, describeObject } from "./kind.js";

type Context = BuildContext<PortMappingObject>;

/** One port or range that is to be published. */
export interface PortEntry {
    readonly targetPort: PortRange;
    /** Longer than the target's one port: the first free one of it. Absent: any free one. */
    readonly hostPort?: PortRange;
    readonly protocols: readonly PortProtocol[];
    /** `undefined`: every address of the host. */
    readonly addresses: readonly (string | undefined)[];
}

type Place = Pick<Binding, "protocol" | "hostAddress">;

/** Below what Linux hands out to clients (ip_local_port_range). */
const chosenFrom: PortRange = { first: 20000, last: 32767 };

export const sizeOf = (range: PortRange) => range.last - range.first + 1;
export const meet = (a: PortRange, b: PortRange) => a.first <= b.last && b.first <= a.last;
const contains = (range: PortRange, port: number) => port >= range.first && port <= range.last;

/**
 * An address of its own goes before every address: both together are two things, in one stack. Of another stack it would
 * take connections away from who has the port.
 */
function collides(place: Place, other: Binding, isOwnStack: boolean): boolean {
    if (place.protocol !== other.protocol) return false;
    if (place.hostAddress === other.hostAddress) return true;
    return !isOwnStack && (place.hostAddress === undefined || other.hostAddress === undefined);
}

function placesOf({ protocols, addresses }: PortEntry): Place[] {
    return addresses.flatMap((hostAddress) => protocols.map((protocol) => defined({ protocol, hostAddress }) as Place));
}

/** What was chosen before and stays: the port of the same target port, or of the only entry whatever it leads to by now. */
function findPrevious(entry: PortEntry, isOnly: boolean, { previous }: Context): PortRange | undefined {
    const [place] = placesOf(entry);
    const same = previous?.bindings.find(
        ({ protocol, hostAddress, targetPort }) =>
            protocol === place?.protocol &&
            hostAddress === place.hostAddress &&
            targetPort.first === entry.targetPort.first &&
            targetPort.last === entry.targetPort.last,
    );
    const before = same ?? (isOnly ? previous?.bindings[0] : undefined);
    return before !== undefined && sizeOf(before.hostPort) === sizeOf(entry.targetPort) ? before.hostPort : undefined;
}

function refuseLengths({ hostPort, targetPort }: Required<PortEntry>): void {
    if (sizeOf(targetPort) === 1 || sizeOf(hostPort) === sizeOf(targetPort)) return;
    throw new Refusal(
        `hostPort ${formatPortRange(hostPort)} and targetPort ${formatPortRange(targetPort)} differ in length. Make them equal.`,
    );
}

/** The ports of the host for each entry, chosen where the program leaves them open. @throws Refusal naming who holds one */
export function chooseBindings(entries: readonly PortEntry[], context: Context): Binding[] {
    const own: Binding[][] = entries.map(() => []);
    const others = context.world.all("port-mapping").filter((other) => other.key !== context.key);

    /** Who of others, or of this mapping's other entries, is in the way. */
    function* rivalsOf(places: readonly Place[]): Generator<{ binding: Binding; owner?: PortMappingObject }> {
        for (const binding of own.flat()) if (places.some((place) => collides(place, binding, true))) yield { binding };
        for (const owner of others) {
            const isOwnStack = isOfStack(owner.owner, context.owner);
            for (const binding of owner.bindings) {
                if (places.some((place) => collides(place, binding, isOwnStack))) yield { binding, owner };
            }
        }
    }

    function choose(entry: PortEntry, from: PortRange, places: readonly Place[]): PortRange | undefined {
        const taken = [...rivalsOf(places)].map(({ binding }) => binding.hostPort);
        const isFree = (range: PortRange) => {
            if (taken.some((other) => meet(other, range))) return false;
            for (const port of context.facts.busyPorts ?? []) if (contains(range, port)) return false;
            return true;
        };
        const previous = findPrevious(entry, entries.length === 1, context);
        const mayStay = previous !== undefined && (entry.hostPort === undefined || meet(previous, from));
        if (mayStay && isFree(previous)) return previous;
        const more = sizeOf(entry.targetPort) - 1;
        for (let first = from.first; first + more <= from.last; first++) {
            const range = { first, last: first + more };
            if (isFree(range)) return range;
        }
        return undefined;
    }

    function place(entry: PortEntry): PortRange {
        const { hostPort, targetPort } = entry;
        const places = placesOf(entry);
        if (hostPort === undefined) {
            const chosen = choose(entry, chosenFrom, places);
            if (chosen !== undefined) return chosen;
            throw new Refusal(
                `no free host port is left from ${chosenFrom.first} to ${chosenFrom.last}. Give hostPort.`,
            );
        }
        refuseLengths({ ...entry, hostPort });
        // A range for one target port: its first free one, as Docker does.
        const chosen = sizeOf(hostPort) === sizeOf(targetPort) ? undefined : choose(entry, hostPort, places);
        if (chosen !== undefined) return chosen;
        for (const { binding, owner } of rivalsOf(places)) {
            if (!meet(binding.hostPort, hostPort)) continue;
            const port = `host port ${formatPortRange(binding.hostPort)}/${binding.protocol}`;
            if (owner === undefined) throw new Refusal(`${port} is published twice by it. Take one of them out.`);
            throw new Refusal(
                `${port} is already published by ${describeObject(owner)}. Choose another hostPort, or leave it out.`,
            );
        }
        return hostPort;
    }

    // Those with a port of the program's go first, so that what is chosen takes none of them.
    const isFixed = ({ hostPort, targetPort }: PortEntry) =>
        hostPort !== undefined && sizeOf(hostPort) === sizeOf(targetPort);
    const order = [...entries.keys()].sort(
        (a, b) => Number(isFixed(entries[b] as PortEntry)) - Number(isFixed(entries[a] as PortEntry)) || a - b,
    );
    for (const i of order) {
        const entry = entries[i] as PortEntry;
        const hostPort = place(entry);
        own[i] = placesOf(entry).map((each) => ({ ...each, hostPort, targetPort: entry.targetPort }));
    }
    return own.flat();
}
