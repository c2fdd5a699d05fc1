import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readHostState } from "../integration/host-state.js";
import { layTestBed } from "../integration/test-bed.js";
import { ask, serve } from "../integration/traffic.js";
import { makeScript, type Project } from "./project.js";

const bed = layTestBed();

/** One of each kind; `values.options` holds arguments and resource options by logical name, `values.names` new names. */
const program = `
const pulumi = require("@pulumi/pulumi");
const group = values.group && new pulumi.ComponentResource("lab:Group", "group");
const made = {};
function make(Kind, name, args) {
    const renamed = (values.names || {})[name];
    const { args: more, deletedWith, ...options } = (values.options || {})[name] || (values.options || {}).all || {};
    if (renamed || (group && name !== "edge")) options.aliases = [{ name, parent: pulumi.rootStackResource }];
    if (group && name !== "edge") options.parent = group;
    if (deletedWith && deletedWith !== name) options.deletedWith = made[deletedWith];
    if ((values.without || []).includes(name)) return undefined;
    return (made[name] = new linuxnet[Kind](renamed || name, { ...args, ...more }, options));
}
const edge = make("Host", "edge", { connection: values.connection });
const front = make("Network", "front", { host: edge, subnet: "172.20.0.0/24" });
const web = make("Sandbox", "web", { host: edge });
const api = make("Sandbox", "api", { host: edge });
const webFront = front && make("Endpoint", "web-front", { sandbox: web, network: front });
const apiFront = front && make("Endpoint", "api-front", { sandbox: api, network: front });
webFront && make("PortMapping", "http", { target: webFront, hostPort: 8080, targetPort: 80 });
apiFront && make("FirewallPolicy", "api-access", { target: apiFront, ingress: [{ action: "allow", from: webFront, ports: 8000 }] });
front && make("OverlayTunnel", "segment", { network: front, vni: 42, peers: [{ underlayAddress: "192.0.2.7", ipRange: "172.20.0.128/25" }] });
module.exports = Object.fromEntries(Object.entries(made).map(([name, { id }]) => [name, id]));
`;

type Values = {
    readonly options?: Readonly<Record<string, object>>;
    readonly names?: Readonly<Record<string, string>>;
    readonly group?: boolean;
    readonly without?: readonly string[];
};

const kindOf: Readonly<Record<string, string>> = {
    edge: "Host",
    front: "Network",
    web: "Sandbox",
    api: "Sandbox",
    "web-front": "Endpoint",
    "api-front": "Endpoint",
    http: "PortMapping",
    "api-access": "FirewallPolicy",
    segment: "OverlayTunnel",
};

function urnOf(name: string, stack = "test"): string {
    return `urn:pulumi:${stack}::lab::pulumi-nodejs:dynamic/linuxnet:${kindOf[name]}::${name}`;
}

/** `pulumi` on the stack, and what the tests ask of it. */
function makeStack(project: Project) {
    const options = ["--yes", "--skip-preview", "--stack", "test"];
    const change = (values: Values) =>
        writeFileSync(
            join(project.folder, "values.json"),
            JSON.stringify({ connection: bed.host.connection, ...values }),
        );
    return {
        change,
        run: (command: string, ...args: readonly string[]) => project.pulumi(command, ...options, ...args),
        async up(values: Values, ...args: readonly string[]) {
            change(values);
            return project.pulumi("up", ...options, ...args);
        },
        /** What it printed, of a run that has to fail. */
        async failure(command: string, ...args: readonly string[]) {
            const run = project.start(command, ...options, ...args);
            expect(await run.ended).not.toBe(0);
            return run.output();
        },
        expectNoChanges: () => project.pulumi("preview", "--expect-no-changes", "--stack", "test"),
        ids: async (): Promise<Readonly<Record<string, string>>> =>
            JSON.parse(await project.pulumi("stack", "output", "--json", "--stack", "test")),
    };
}

const makeProject = () => makeScript(program, { connection: bed.host.connection });

const published = async () => {
    const question = `tcp ${bed.host.address}:8080`;
    return (await ask({ machine: bed.lab.client() }, question))[question];
};

/** Files of the manifest, and bridges, by name. */
async function objectsOnHost(): Promise<readonly string[]> {
    const list = `sed -n 's/.*"owner":{[^}]*"name":"\\([^"]*\\)".*/\\1/p' /var/lib/linuxnet/objects/*.json`;
    return (await bed.host.exec(list)).stdout.split("\n").sort();
}

test("--replace: each kind is created before it is deleted, unasked, and stands as before", async () => {
    await using project = await makeProject();
    const stack = makeStack(project);
    const options = {
        "web-front": { args: { ipv4Address: "172.20.0.6" } },
        "api-front": { args: { ipv4Address: "172.20.0.7" } },
    };
    await stack.up({ options });
    const state = await readHostState(bed.host);
    const first = await stack.ids();
    // Network and Sandbox: preview.test.ts. With the Host everything is replaced.
    for (const names of [["web-front", "http", "api-access", "segment"], ["edge"]]) {
        await stack.up({ options }, ...names.flatMap((name) => ["--replace", urnOf(name)]));
        const ids = await stack.ids();
        for (const name of names) expect(ids[name], name).not.toBe(first[name]);
        expect(await readHostState(bed.host)).toEqual(state);
    }
    await stack.expectNoChanges();
    await stack.run("destroy");
    await bed.expectAsBefore();
});

test("options of one run: targets, refresh, state delete and continue-on-error do what they promise", async () => {
    await using project = await makeProject();
    const stack = makeStack(project);
    await stack.up({});
    const first = await stack.ids();
    await using _web = await serve({ machine: bed.host, sandbox: "web" }, "web", "tcp:80");
    expect(await published()).toContain("web to");

    // --target: the other change waits.
    const labelled = { front: { args: { labels: { a: "1" } } }, api: { args: { labels: { a: "1" } } } };
    expect(await stack.up({ options: labelled }, "--target", urnOf("front"))).toMatch(/~ 1 updated/);
    expect(await stack.up({ options: labelled })).toMatch(/~ 1 updated/);

    // state delete: up finds its own object again, under a new generation.
    await project.pulumi("state", "delete", urnOf("http"), "--yes", "--stack", "test");
    expect(await stack.up({})).toMatch(/\+ 1 created/);
    expect((await stack.ids())["http"]).not.toBe(first["http"]);
    expect(await published()).toContain("web to");

    // --refresh: drift is found and repaired in one run.
    const state = await readHostState(bed.host);
    await bed.host.exec(`nft flush ruleset; ip link del ${first["front"]?.split(".")[0]}`);
    await stack.run("up", "--refresh");
    expect(await readHostState(bed.host)).toEqual(state);
    expect(await published()).toContain("web to");

    // destroy --target: nothing that others need, unless --target-dependents.
    const refused = await stack.failure("destroy", "--target", urnOf("front"));
    expect(refused).toContain("pass --target-dependents to proceed");
    expect(await readHostState(bed.host)).toEqual(state);
    await stack.run("destroy", "--target", urnOf("front"), "--target-dependents");
    expect(await objectsOnHost()).toEqual(["api", "web"]);

    // --continue-on-error: what does not hang on the failed one is done.
    const bad = { front: { args: { gateway: "10.0.0.1" } }, api: { args: { labels: { b: "2" } } } };
    stack.change({ options: bad });
    expect(await stack.failure("up", "--continue-on-error")).toContain("gateway 10.0.0.1 is outside subnet");
    expect((await bed.host.exec("cat /var/lib/linuxnet/objects/*")).stdout).toContain('"labels":{"b":"2"}');
    await stack.run("destroy");
    await bed.expectAsBefore();
});

test("options of one resource: replacement, protection, aliases and a new stack name do what they promise", async () => {
    await using project = await makeProject();
    const stack = makeStack(project);
    await stack.up({});
    await using _web = await serve({ machine: bed.host, sandbox: "web" }, "web", "tcp:80");
    const indexes = async () => (await bed.host.exec("ip -o link show type veth | sed 's/@.*//'")).stdout;

    // deleteBeforeReplace: false, replaceOnChanges and ignoreChanges.
    const old = await stack.ids();
    const links = await indexes();
    const changed = {
        front: { args: { subnet: "172.30.0.0/24" }, deleteBeforeReplace: false },
        api: { args: { labels: { c: "3" } }, replaceOnChanges: ["labels.c"] },
        web: { args: { labels: { d: "4" } }, ignoreChanges: ["labels"], protect: true },
    };
    // The tunnel's range is of the old subnet.
    const without = ["segment"];
    await stack.up({ options: changed, without });
    const anew = await stack.ids();
    for (const name of ["front", "api", "web-front", "api-front"]) expect(anew[name], name).not.toBe(old[name]);
    expect(anew["web"]).toBe(old["web"]);
    expect((await bed.host.exec("cat /var/lib/linuxnet/objects/*.json")).stdout).not.toContain('"d":"4"');
    expect(await indexes()).not.toBe(links);
    await bed.host.exec("ping -c 1 -W 2 172.30.0.1", { sandbox: "api" });
    expect(await published()).toContain("web to");
    await stack.expectNoChanges();

    // protect: destroy fails, and leaves what is protected.
    expect(await stack.failure("destroy")).toContain("protected");
    expect(await objectsOnHost()).toEqual(["web"]);
    await stack.up({ options: changed, without });

    // aliases, another parent, another stack name: labels only.
    const kept = await indexes();
    const ids = await stack.ids();
    const renamed = {
        options: { ...changed, web: {} },
        names: { web: "www", front: "facade" },
        group: true,
        without,
    };
    expect(await stack.up(renamed)).toMatch(/~ 7 updated/);
    expect(await stack.ids()).toEqual(ids);
    await project.pulumi("stack", "rename", "other", "--stack", "test");
    expect(await project.pulumi("up", "--yes", "--skip-preview", "--stack", "other")).toMatch(/~ 8 updated/);
    expect((await bed.host.exec("cat /var/lib/linuxnet/objects/*.json")).stdout).not.toContain('"stack":"test"');
    expect(await indexes()).toBe(kept);
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "other");
    await bed.expectAsBefore();
});

test("deletedWith: a Network, and a Host, take along what hangs on them", async () => {
    await using project = await makeProject();
    const stack = makeStack(project);
    const hanging = ["web-front", "api-front", "http", "api-access", "segment"];
    const withFront = Object.fromEntries(hanging.map((name) => [name, { deletedWith: "front" }]));
    await stack.up({ options: withFront });
    expect(await objectsOnHost()).toEqual(["api", "front", "web", ...hanging].sort());
    await stack.up({ options: withFront, without: ["front"] });
    expect(await objectsOnHost()).toEqual(["api", "web"]);
    await stack.expectNoChanges();
    await stack.up({ options: { all: { deletedWith: "edge" } } });
    await stack.run("destroy");
    await bed.expectAsBefore();
});
