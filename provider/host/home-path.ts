import { homedir } from "node:os";
import { join } from "node:path";

/** `~/x` as the user's shell would read it; other paths as they are. */
export function expandHome(path: string): string {
    return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}
