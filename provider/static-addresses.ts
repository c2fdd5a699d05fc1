import { formatAddress, rangeOf } from "./model/range.js";

type Inputs = Readonly<Record<string, unknown>>;

/**
 * Addresses that the program gives to endpoints, by id of their network. Each endpoint without one brings them to its check,
 * which comes before its create in the same process.
 */
const known = new Map<string, Set<string>>();

const networkOf = (inputs: Inputs) => (inputs["network"] as { readonly id?: unknown } | undefined)?.id;

/** Keeps what the program says of others on an endpoint's network. What is unknown in a preview allocates nothing. */
export function noteStaticAddresses(news: Inputs): void {
    const [network, listed] = [networkOf(news), news["staticAddresses"]];
    if (typeof network !== "string" || typeof listed !== "string") return;
    const addresses = known.get(network) ?? new Set();
    known.set(network, addresses);
    for (const address of listed.split(" ").flatMap(canonical)) addresses.add(address);
}

/** What an endpoint with these inputs leaves to others. */
export function staticAddressesFor(inputs: Inputs): ReadonlySet<string> {
    return known.get(networkOf(inputs) as string) ?? new Set();
}

/** A text that is no address is refused where it is given. */
function canonical(address: string): string[] {
    try {
        const { first, family } = rangeOf(address);
        return [formatAddress(first, family)];
    } catch {
        return [];
    }
}
