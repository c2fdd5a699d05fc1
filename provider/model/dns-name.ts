import { isIpv6 } from "./ipv6.js";

/** RFC 1035, 2.3.4. */
const maximum = 253;
const maximumLabel = 63;

/** As hosts are called (RFC 1123, 2.1), and with "_", which Docker's names of services have. */
const label = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/;

/**
 * A name of DNS, one label or several, in lower case and without a dot at its end.
 * @throws Error when no resolver would ask for it
 */
export function parseDnsName(text: string): string {
    const name = text.toLowerCase().replace(/\.$/, "");
    const labels = name.split(".");
    if (isIpv6(name) || !labels.every((each) => label.test(each) && each.length <= maximumLabel)) {
        throw new Error(
            `"${text}" is not a DNS name: labels of up to ${maximumLabel} letters, digits, "-" or "_", no "-" at their ends, with dots between them`,
        );
    }
    if (name.length > maximum)
        throw new Error(`"${text}" is not a DNS name: it has ${name.length} characters, and ${maximum} are the most`);
    // inet_aton(3) reads "1" and "10.1" as addresses, so programs never ask for them.
    if (isNumber(labels.at(-1)))
        throw new Error(`"${text}" would be read as an address: the last label of a name is never a number`);
    if (name === "localhost" || name.endsWith(".localhost"))
        throw new Error(`"${text}" is what every machine calls itself (RFC 6761); choose another name`);
    return name;
}

const isNumber = (text = "") => /^(\d+|0x[0-9a-f]*)$/.test(text);

/** The nearest DNS name to a name of any kind: what a resource `My_Web.1` is found by. */
export function dnsNameOf(text: string, otherwise: string): string {
    const labels = text
        .toLowerCase()
        .split(".")
        .map((each) =>
            each
                .replace(/[^a-z0-9_-]/g, "-")
                .slice(0, maximumLabel)
                .replace(/^-+|-+$/g, ""),
        )
        .filter((each) => each !== "");
    const name = labels
        .join(".")
        .slice(0, maximum)
        .replace(/[.-]+$/, "");
    try {
        return parseDnsName(name);
    } catch {
        return [otherwise, ...labels].join("-").slice(0, maximumLabel).replace(/-+$/, "");
    }
}
