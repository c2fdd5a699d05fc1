import type { LabHost } from "../../lab/index.js";

/** Sets the switches that Docker, firewalld and kube-proxy turn on for all bridges of a machine; disposing sets them back. */
export async function setBridgeNetfilter(host: LabHost, value: "0" | "1"): Promise<AsyncDisposable> {
    const keys = ["iptables", "ip6tables", "arptables"].map((key) => `/proc/sys/net/bridge/bridge-nf-call-${key}`);
    const before = (await host.exec(["cat", ...keys])).stdout.split("\n");
    const write = (values: readonly string[]) =>
        host.exec(keys.map((key, i) => `echo ${values[i]} >${key}`).join("; "));
    await write([value, value, value]);
    return { [Symbol.asyncDispose]: async () => void (await write(before)) };
}
