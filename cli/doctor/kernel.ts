import type { Check } from "./checks.js";
import type { HostState } from "./state.js";

/** Concatenated sets with intervals came with these (nf_tables NFT_SET_CONCAT). */
const oldest = { kernel: "5.6", nftables: "0.9.4" };
/** The oldest nft that the tests run with. */
const oldestTestedNft = "1.0.6";

function isOlder(version: string, than: string): boolean {
    const numbers = (text: string) => text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0);
    const [own, other] = [numbers(version), numbers(than)];
    const at = other.findIndex((number, i) => (own[i] ?? 0) !== number);
    return at >= 0 && (own[at] ?? 0) < (other[at] ?? 0);
}

export function checkVersions({ kernel, nftables, chains, missingTools }: HostState): Check[] {
    const kernelCheck: Check = isOlder(kernel, oldest.kernel)
        ? {
              name: "kernel",
              result: "problem",
              found: `${kernel} is older than ${oldest.kernel}`,
              remedy: ["install a newer kernel"],
          }
        : { name: "kernel", result: "ok", found: kernel };
    // Already told by the check of the tools.
    if (missingTools.includes("nft")) return [kernelCheck];
    return [kernelCheck, checkNft(nftables, chains !== undefined)];
}

function checkNft(version: string, answers: boolean): Check {
    const name = "nftables";
    if (isOlder(version, oldest.nftables)) {
        const found = `${version} is older than ${oldest.nftables}`;
        return { name, result: "problem", found, remedy: ["install a newer nftables"] };
    }
    if (!answers) {
        return {
            name,
            result: "problem",
            found: `${version} does not answer \`nft -j list chains\``,
            remedy: ["install an nftables with JSON support, on a kernel with nf_tables"],
        };
    }
    return isOlder(version, oldestTestedNft)
        ? { name, result: "warning", found: `${version}; the oldest that is tested is ${oldestTestedNft}` }
        : { name, result: "ok", found: version };
}

export function checkCapabilities({ capabilities }: HostState): Check {
    const name = "capabilities";
    const lacks = (capability: string) => !capabilities.includes(capability);
    const modules = [...(lacks("bridge") ? ["bridge"] : []), ...(lacks("bridgeFirewall") ? ["br_netfilter"] : [])];
    if (modules.length > 0) {
        return {
            name,
            result: "problem",
            found: `the kernel has no ${modules.join(", ")}; networks need it`,
            remedy: ["install the kernel's extra modules (linux-modules-extra-*, kernel-modules), or another kernel"],
        };
    }
    if (lacks("vxlan"))
        return { name, result: "warning", found: "the kernel has no vxlan: overlay tunnels cannot be made" };
    return { name, result: "ok", found: capabilities.join(", ") };
}

export function checkBridgeSwitches({ bridgeSwitches }: HostState): Check {
    const name = "br_netfilter";
    const found =
        bridgeSwitches === undefined
            ? "not loaded; the first network loads it, with its global switches off"
            : bridgeSwitches.some((isOn) => isOn)
              ? "on for all bridges: the host's firewalls also see what others' bridges carry"
              : "loaded, off for the bridges of others";
    return { name, result: "ok", found };
}

export function checkConnections({ connections }: HostState): Check {
    const name = "conntrack table";
    if (connections === undefined) return { name, result: "ok", found: "not in use yet" };
    const { inUse, maximum } = connections;
    const used = Math.round((100 * inUse) / maximum);
    const found = `${inUse} of ${maximum} connections (${used} %)`;
    if (used < 70) return { name, result: "ok", found };
    return {
        name,
        result: used < 95 ? "warning" : "problem",
        found: `${found}; beyond it new connections are dropped`,
        remedy: [`sysctl -w net.netfilter.nf_conntrack_max=${maximum * 2}, and the same line in /etc/sysctl.d`],
    };
}
