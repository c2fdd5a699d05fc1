import * as pulumi from "@pulumi/pulumi";
import type { ConnectionArgs } from "pulumi-linuxnet";

const config = new pulumi.Config("linuxnet");

/** What the stack's configuration says of one host; what it does not say is the same for all (`linuxnet:user`, ...). */
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
 *     pulumi config set --path linuxnet:hosts.edge.host 203.0.113.10
 *     pulumi config set --path linuxnet:hosts.app.host 203.0.113.20
 *     pulumi config set --path linuxnet:hosts.data.host 203.0.113.30
 *     pulumi config set linuxnet:user root
 *
 * Without a key it is the SSH agent's turn; without `hostKey`, that of ~/.ssh/known_hosts.
 */
const hosts = config.requireSecretObject<Record<string, HostConfig>>("hosts");

/** @param name of a host below `linuxnet:hosts` */
export function connectionOf(name: string): pulumi.Output<ConnectionArgs> {
    return hosts.apply((all) => {
        const host = all[name];
        if (host === undefined) throw new Error(`The configuration linuxnet:hosts needs a host ${name}.`);
        return {
            user: config.get("user"),
            privateKeyFile: config.get("privateKeyFile"),
            sudo: config.getBoolean("sudo"),
            ...host,
        };
    });
}

/** Networks have IPv6 beside IPv4 (`pulumi config set ipv6 true`). */
export const ipv6 = new pulumi.Config().getBoolean("ipv6");
