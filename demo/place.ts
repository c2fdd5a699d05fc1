import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createHost, type HostSnapshot, snapshotHost } from "../lab/index.js";
import { type Login, labMachine, type Machine, sshCommand, sshMachine, thisMachine } from "./machine.js";

/** Where the demo takes place: a host, and somebody outside it. */
export interface Place extends AsyncDisposable {
    /** What it is, in words. */
    readonly title: string;
    /** It is gone afterwards, with everything on it. */
    readonly isThrowaway: boolean;
    readonly host: Machine;
    /** Address of the host. */
    readonly address: string;
    /** Of a throwaway host. */
    readonly ipv6Address?: string;
    /** Can it reach the addresses of sandboxes, as far as routing goes? Then it tries to. */
    readonly outside: Pick<Machine, "run" | "runtime"> & { readonly hasRoutes: boolean };
    /** Stack configuration that leads the program to the host; files go into the folder. */
    configure(folder: string): Record<string, string>;
    /** What a user types to log in, once the stack's folder is there. */
    login(folder: string): string;
    /** What must be the same before and after. */
    snapshot(): Promise<HostSnapshot>;
}

/** The four networks of the production layout. */
const networks = "172.20.0.0/14";
/** What networks have of IPv6 unless the program says otherwise (RFC 4193). */
const localIpv6 = "fd00::/8";

/** A throwaway host on this machine, and a machine beside it that sends packets for the sandboxes to the host. */
export async function makeThrowawayHost(): Promise<Place> {
    const host = await createHost();
    const { connection } = host;
    const client = host.lab.client();
    await client.exec(["ip", "route", "add", networks, "via", host.address]);
    await client.exec(["ip", "route", "add", localIpv6, "via", host.ipv6Address]);
    return {
        isThrowaway: true,
        title: `Throwaway host at ${host.address}`,
        host: labMachine(host),
        address: host.address,
        ipv6Address: host.ipv6Address,
        outside: { ...labMachine(client), hasRoutes: true },
        configure: (folder) => {
            writeFileSync(join(folder, "key"), connection.privateKey, { mode: 0o600 });
            writeFileSync(join(folder, "known_hosts"), `${host.address} ${connection.hostKey}\n`);
            writeFileSync(join(folder, "ssh_config"), renderSshConfig(host.address, connection.user, folder));
            return {
                "linuxnet:host": host.address,
                "linuxnet:user": connection.user,
                "linuxnet:privateKeyFile": join(folder, "key"),
                "linuxnet:hostKey": connection.hostKey,
            };
        },
        login: (folder) => `ssh -F ${join(folder, "ssh_config")} host`,
        snapshot: () => snapshotHost(host),
        [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    };
}

function renderSshConfig(address: string, user: string, folder: string): string {
    const lines = ["Host host", `HostName ${address}`, `User ${user}`, `IdentityFile ${join(folder, "key")}`];
    return [...lines, `UserKnownHostsFile ${join(folder, "known_hosts")}`, ""].join("\n");
}

/** A host of the user's: `user@machine[:port]`. The one outside is this machine. */
export async function useHost(target: string, keyFile: string | undefined): Promise<Place> {
    const login = parseTarget(target, keyFile === undefined ? undefined : resolve(keyFile));
    const host = sshMachine(login);
    const hasPython = await host.run("command -v python3 || echo none");
    if (hasPython === "none")
        throw new Error(`The demo's small servers need python3 on ${login.host}: install it there.`);
    return {
        isThrowaway: false,
        title: `${login.user}@${login.host}`,
        host,
        address: login.host,
        outside: { ...thisMachine, hasRoutes: false },
        configure: () => ({
            "linuxnet:host": login.host,
            "linuxnet:port": String(login.port),
            "linuxnet:user": login.user,
            "linuxnet:sudo": String(login.user !== "root"),
            ...(login.keyFile === undefined ? {} : { "linuxnet:privateKeyFile": login.keyFile }),
        }),
        login: () => sshCommand(login).join(" "),
        snapshot: async () => withoutOthers(await snapshotHost({ exec: runAsExec(host) })),
        [Symbol.asyncDispose]: async () => undefined,
    };
}

function parseTarget(target: string, keyFile: string | undefined): Login {
    const [, user = "root", host, port = "22"] = /^(?:([^@]+)@)?(\[[^\]]+\]|[^:@]+)(?::(\d+))?$/.exec(target) ?? [];
    if (host === undefined) throw new Error(`--host: expected user@machine or user@machine:port, got "${target}".`);
    return { user, host: host.replace(/^\[|\]$/g, ""), port: Number(port), keyFile };
}

function runAsExec(machine: Machine): Parameters<typeof snapshotHost>[0]["exec"] {
    return async (script) => ({ stdout: await machine.run(String(script)), stderr: "", exitCode: 0 });
}

/** On a living machine other programs come and go below /run. */
function withoutOthers(snapshot: HostSnapshot): HostSnapshot {
    return { ...snapshot, files: snapshot.files.filter((file) => !/^\/run\/(?!netns|linuxnet)/.test(file)) };
}
