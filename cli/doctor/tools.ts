import type { Check } from "./checks.js";
import { requiredTools } from "./script.js";
import type { HostState } from "./state.js";

const packages: Readonly<Record<string, string>> = {
    ...requiredTools,
    modprobe: "kmod",
    conntrack: "conntrack",
    dnsmasq: "dnsmasq-base",
};

/** What goes wrong without those that can be done without. */
const optional: Readonly<Record<string, string>> = {
    conntrack: "UDP flows stay on an old target after a change",
    dnsmasq: 'networks need dns: { mode: "hosts" } or "none"',
};

/** Packages that are called otherwise than on Debian. */
const otherNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    dnf: { iproute2: "iproute", conntrack: "conntrack-tools", "dnsmasq-base": "dnsmasq" },
    yum: { iproute2: "iproute", conntrack: "conntrack-tools", "dnsmasq-base": "dnsmasq" },
    apk: { conntrack: "conntrack-tools", "dnsmasq-base": "dnsmasq" },
    pacman: { conntrack: "conntrack-tools", "dnsmasq-base": "dnsmasq" },
    zypper: { conntrack: "conntrack-tools", "dnsmasq-base": "dnsmasq" },
};

const verbs: Readonly<Record<string, string>> = { apk: "add", pacman: "-S" };

/** The line that installs tools on this host. */
function renderInstallation(tools: readonly string[], packageManager: string | undefined): string {
    const names = [...new Set(tools.map((tool) => packages[tool] ?? tool))];
    if (packageManager === undefined) return `install the packages ${names.join(" ")}`;
    const named = names.map((name) => otherNames[packageManager]?.[name] ?? name);
    return `${packageManager} ${verbs[packageManager] ?? "install"} ${named.join(" ")}`;
}

export function checkTools({ missingTools, packageManager, world }: HostState): Check[] {
    const name = "tools";
    const isAsked = world.all("network").some(({ dns }) => dns?.mode === "server");
    const required = missingTools.filter((tool) => !(tool in optional) || (tool === "dnsmasq" && isAsked));
    if (required.length > 0) {
        const remedy = [renderInstallation(required, packageManager)];
        return [{ name, result: "problem", found: `missing: ${required.join(", ")}`, remedy }];
    }
    const missing = missingTools.filter((tool) => tool in optional);
    if (missing.length > 0) {
        const found = missing.map((tool) => `missing: ${tool}; without it ${optional[tool]}`).join("; ");
        return [{ name, result: "warning", found, remedy: [renderInstallation(missing, packageManager)] }];
    }
    return [{ name, result: "ok", found: [...Object.keys(requiredTools), ...Object.keys(optional)].join(", ") }];
}
