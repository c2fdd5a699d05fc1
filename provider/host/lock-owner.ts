import { hostname, userInfo } from "node:os";

/** Enough to know whom to ask; a group may hold dozens. */
const maximumNames = 3;

/** Who takes the lock, for others who wait: `endpoint "web" of stack shop/dev and 12 more (alice@laptop)`. */
export function describeOwner(operations: readonly string[]): string {
    const names = operations.slice(0, maximumNames).join(", ");
    const more = operations.length - maximumNames;
    return `${names}${more > 0 ? ` and ${more} more` : ""} (${userName()}@${hostname()})`;
}

/** An account without an entry in passwd, as in some containers, has no name. */
function userName(): string {
    try {
        return userInfo().username;
    } catch {
        return `uid ${process.getuid?.()}`;
    }
}

/** What a script that did not get the lock printed: for how many seconds, and by whom it is held. */
export function describeHolder(section: string | undefined): string {
    const [seconds = "", owner = ""] = (section ?? "").trim().split("\n");
    return `${seconds === "" ? "" : `held for ${seconds} s `}by ${owner === "" ? "another program" : owner}`;
}
