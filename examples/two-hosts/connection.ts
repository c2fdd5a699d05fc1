import * as pulumi from "@pulumi/pulumi";
import type { ConnectionArgs } from "pulumi-linuxnet";

const config = new pulumi.Config("linuxnet");

/** What the stack's configuration says of one host; what it does not say is the same for both (`linuxnet:user`, ...). */
interface HostConfig {
    host: string;
    port?: number;
    user?: string;
    privateKey?: string;
    privateKeyFile?: string;
    hostKey?: string;
    sudo?: boolean;
}

/**
 * How the hosts are reached: the configuration `linuxnet:hosts`, by name.
 *
 *     pulumi config set --path linuxnet:hosts.west.host 203.0.113.10
 *     pulumi config set --path linuxnet:hosts.east.host 203.0.113.20
 *     pulumi config set linuxnet:user root
 *
 * Without a key it is the SSH agent's turn; without `hostKey`, that of ~/.ssh/known_hosts.
 */
export const connections = config
    .requireSecretObject<Record<"west" | "east", HostConfig>>("hosts")
    .apply((hosts) => ({ west: connect(hosts.west), east: connect(hosts.east) }));

function connect(host: HostConfig | undefined): ConnectionArgs {
    if (host === undefined) throw new Error("The configuration linuxnet:hosts needs a host west and a host east.");
    return {
        user: config.get("user"),
        privateKeyFile: config.get("privateKeyFile"),
        sudo: config.getBoolean("sudo"),
        ...host,
    };
}

/** Networks have IPv6 beside IPv4 (`pulumi config set ipv6 true`). */
export const ipv6 = new pulumi.Config().getBoolean("ipv6");
