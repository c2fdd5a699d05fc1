import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createHost, type HostSnapshot, snapshotHost } from "../../lab/index.js";
import { fixtures, kept, placesOf, restoreKept } from "../integration/kept-host.js";
import { makeScript } from "./project.js";

/** The value with the places that `make.mjs` left open filled in; secrets are JSON inside of JSON. */
function fillIn(value: unknown, fill: (text: string) => string): unknown {
    if (typeof value === "string") return fill(value);
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((entry) => fillIn(entry, fill));
    const entries = Object.entries(value).map(([key, entry]) => {
        if (key !== "plaintext") return [key, fillIn(entry, fill)];
        return [key, JSON.stringify(fillIn(JSON.parse(entry), fill))];
    });
    return Object.fromEntries(entries);
}

/** Tunnels were ports of bridges; now they are routed to, know who may speak over them, and lead answers back. */
const isOfTunnel = /\blt[0-9a-f]{12}\b|route to 172\.20\.0\.128\/25|network_subnets|\b1280180225\b/;

/** What stays as it was made by an earlier build. */
function untouched({ interfaces, routes, rules, namespaces, sysctls }: HostSnapshot) {
    const others = (list: readonly unknown[]) => list.filter((each) => !isOfTunnel.test(JSON.stringify(each)));
    return {
        interfaces: others(interfaces),
        routes: others(routes),
        rules: others(rules),
        namespaces,
        sysctls: others(Object.entries(sysctls)),
    };
}

interface State {
    readonly deployment: {
        readonly resources: { readonly id?: string; readonly urn: string; readonly outputs?: { drift?: string[] } }[];
    };
}

test.each(kept)("kept state of $name: is refreshed, updated and destroyed by this build", async ({ name }) => {
    await using host = await createHost();
    const before = await snapshotHost(host);
    const read = (file: string) => readFileSync(join(fixtures, name, file), "utf8");
    const program = read("program.cjs");
    await using project = await makeScript(
        `${program}\nmodule.exports(linuxnet, values.connection, values.change); module.exports = {};`,
        { connection: host.connection },
    );
    await restoreKept(host, name);
    const restored = await snapshotHost(host);
    await host.exec("ping -c 1 -W 2 172.20.0.1", { sandbox: "web" });
    const state = fillIn(JSON.parse(read("state.json")), placesOf(host)) as State;
    // Import encrypts what is in clear, once it is told with what: the new stack's own passphrase.
    const [, salt] =
        /^encryptionsalt: (.*)$/m.exec(readFileSync(join(project.folder, "Pulumi.test.yaml"), "utf8")) ?? [];
    const secrets = { secrets_providers: { type: "passphrase", state: { salt } } };
    const imported = { ...state, deployment: { ...state.deployment, ...secrets } };
    writeFileSync(join(project.folder, "state.json"), JSON.stringify(imported));
    await project.pulumi("stack", "import", "--file", "state.json", "--stack", "test");
    const resources = async () => (JSON.parse(await project.exportState()) as State).deployment.resources;
    const ids = async () =>
        (await resources()).flatMap(({ id, urn }) => (id === undefined ? [] : [`${urn} ${id}`])).sort();
    const idsBefore = await ids();

    // Rules may be written otherwise since, and there are more of them; everything else is as this build would make it.
    await project.pulumi("refresh", "--yes", "--skip-preview", "--stack", "test");
    const drift = (await resources()).flatMap(({ outputs }) => outputs?.drift ?? []);
    const isNew =
        /has other rules than this version writes$|(of same_sandbox in|chain direct of|^counter \S+ of) table inet linuxnet is missing$|^folder \S+identity is missing$|^mtu is 1400, and that of the uplink is 1500$/;
    expect(drift.filter((text) => !isNew.test(text) && !isOfTunnel.test(text))).toEqual([]);
    expect(await snapshotHost(host)).toEqual(restored);
    await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    expect(untouched(await snapshotHost(host))).toEqual(untouched(restored));
    await project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--stack", "test");
    await project.pulumi("preview", "--expect-no-changes", "--stack", "test");

    writeFileSync(join(project.folder, "values.json"), JSON.stringify({ connection: host.connection, change: "data" }));
    const updated = await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    expect(updated).toMatch(new RegExp(`^ *~ 1 updated\\n *${idsBefore.length - 1} unchanged$`, "m"));
    expect(await ids()).toEqual(idsBefore);
    await host.exec("ping -c 1 -W 2 172.20.0.1", { sandbox: "web" });

    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect(await snapshotHost(host)).toEqual(before);
});
