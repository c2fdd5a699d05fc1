import type { Check } from "./checks.js";
import { requiredTools } from "./script.js";
import type { HostState } from "./state.js";

const packages: Readonly<Record<string, string>> = { ...requiredTools, modprobe: "kmod", conntrack: "conntrack" };

/** Packages that are called otherwise than on Debian. */
const otherNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    dnf: { iproute2: "iproute", conntrack: "conntrack-tools" },
    yum: { iproute2: "iproute", conntrack: "conntrack-tools" },
    apk: { conntrack: "conntrack-tools" },
    pacman: { conntrack: "conntrack-tools" },
    zypper: { conntrack: "conntrack-tools" },
};

const verbs: Readonly<Record<string, string>> = { apk: "add", pacman: "-S" };

/** The line that installs tools on this host. */
function renderInstallation(tools: readonly string[], packageManager: string | undefined): string {
    const names = [...new Set(tools.map((tool) => packages[tool] ?? tool))];
    if (packageManager === undefined) return `install the packages ${names.join(" ")}`;
    const named = names.map((name) => otherNames[packageManager]?.[name] ?? name);
    return `${packageManager} ${verbs[packageManager] ?? "install"} ${named.join(" ")}`;
}

export function checkTools({ missingTools, packageManager }: HostState): Check[] {
    const name = "tools";
    const required = missingTools.filter((tool) => tool !== "conntrack");
    if (required.length > 0) {
        const remedy = [renderInstallation(required, packageManager)];
        return [{ name, result: "problem", found: `missing: ${required.join(", ")}`, remedy }];
    }
    if (missingTools.includes("conntrack")) {
        return [
            {
                name,
                result: "warning",
                found: "missing: conntrack; without it UDP flows stay on an old target after a change",
                remedy: [renderInstallation(["conntrack"], packageManager)],
            },
        ];
    }
    return [{ name, result: "ok", found: [...Object.keys(requiredTools), "conntrack"].join(", ") }];
}
