import { isEvery, shareFamily } from "../model/host-address.js";
import type { Binding, PortMappingObject, PortProtocol } from "../model/object.js";
import { blocksOf, formatPortRange, type PortRange } from "../model/port-range.js";
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

/**
 * An address of its own goes before every address: both together are two things, in one stack. Of another stack it would
 * take connections away from who has the port.
 */
function collides(place: Place, other: Binding, isOwnStack: boolean): boolean {
    if (place.protocol !== other.protocol || !shareFamily(place.hostAddress, other.hostAddress)) return false;
    if (isEvery(place.hostAddress) === isEvery(other.hostAddress))
        return isEvery(place.hostAddress) || place.hostAddress === other.hostAddress;
    return !isOwnStack;
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

/** Who has a port of the host; without an owner another entry of the mapping itself. */
interface Holder {
    readonly binding: Binding;
    readonly owner?: PortMappingObject;
}

/** Who has which port, read block by block as it is asked for. */
function openBook({ world, key, owner: own }: Context) {
    const blocks = new Map<string, Holder[]>();

    function holdersAt(protocol: string, block: number): Holder[] {
        const at = `${protocol} ${block}`;
        const known = blocks.get(at);
        if (known !== undefined) return known;
        const isThere = (binding: Binding) =>
            binding.protocol === protocol && blocksOf(binding.hostPort).includes(block);
        const holders = world
            .mappingsAt(protocol, block)
            .filter((other) => other.key !== key)
            .flatMap((owner) => owner.bindings.filter(isThere).map((binding): Holder => ({ binding, owner })));
        blocks.set(at, holders);
        return holders;
    }

    return {
        enter(binding: Binding): void {
            for (const block of blocksOf(binding.hostPort)) holdersAt(binding.protocol, block).push({ binding });
        },
        /** Who is in the way of a range at any of the places. */
        *rivalsOf(places: readonly Place[], range: PortRange): Generator<Holder> {
            for (const place of places) {
                for (const block of blocksOf(range)) {
                    for (const holder of holdersAt(place.protocol, block)) {
                        const isOwnStack = holder.owner === undefined || isOfStack(holder.owner.owner, own);
                        const isThere = meet(holder.binding.hostPort, range);
                        if (isThere && collides(place, holder.binding, isOwnStack)) yield holder;
                    }
                }
            }
        },
    };
}

/** The ports of the host for each entry, chosen where the program leaves them open. @throws Refusal naming who holds one */
export function chooseBindings(entries: readonly PortEntry[], context: Context): Binding[] {
    const own: Binding[][] = entries.map(() => []);
    const book = openBook(context);

    function takenIn(range: PortRange, places: readonly Place[]): Set<number> {
        const taken = new Set<number>(context.facts.busyPorts);
        for (const { binding } of book.rivalsOf(places, range)) {
            for (let port = binding.hostPort.first; port <= binding.hostPort.last; port++) taken.add(port);
        }
        return taken;
    }

    /** As many ports in a row that nobody has. */
    function findFree(size: number, from: PortRange, places: readonly Place[]): PortRange | undefined {
        const taken = takenIn(from, places);
        let free = 0;
        for (let last = from.first; last <= from.last; last++) {
            free = taken.has(last) ? 0 : free + 1;
            if (free === size) return { first: last - size + 1, last };
        }
        return undefined;
    }

    function choose(entry: PortEntry, from: PortRange, places: readonly Place[]): PortRange | undefined {
        const size = sizeOf(entry.targetPort);
        const previous = findPrevious(entry, entries.length === 1, context);
        const mayStay = previous !== undefined && (entry.hostPort === undefined || meet(previous, from));
        return (mayStay ? findFree(size, previous, places) : undefined) ?? findFree(size, from, places);
    }

    function place(entry: PortEntry, places: readonly Place[]): PortRange {
        const { hostPort, targetPort } = entry;
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
        for (const { binding, owner } of book.rivalsOf(places, hostPort)) {
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
        const places = placesOf(entry);
        const hostPort = place(entry, places);
        const bindings = places.map((each) => ({ ...each, hostPort, targetPort: entry.targetPort }));
        for (const binding of bindings) book.enter(binding);
        own[i] = bindings;
    }
    return own.flat();
}
