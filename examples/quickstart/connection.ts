import * as pulumi from "@pulumi/pulumi";
import type { ConnectionArgs } from "pulumi-linuxnet";

const config = new pulumi.Config("linuxnet");

/**
 * How the host is reached, from the stack's configuration (`pulumi config set linuxnet:host 203.0.113.10`).
 * Without a key or a password it is the SSH agent's turn; without `hostKey`, that of ~/.ssh/known_hosts.
 */
export const connection: ConnectionArgs = {
    host: config.require("host"),
    port: config.getNumber("port"),
    user: config.get("user"),
    privateKey: config.getSecret("privateKey"),
    privateKeyFile: config.get("privateKeyFile"),
    privateKeyPassword: config.getSecret("privateKeyPassword"),
    password: config.getSecret("password"),
    hostKey: config.get("hostKey"),
    knownHosts: config.get("knownHosts"),
    sudo: config.getBoolean("sudo"),
};

/** Networks have IPv6 beside IPv4 (`pulumi config set ipv6 true`). */
export const ipv6 = new pulumi.Config().getBoolean("ipv6");
