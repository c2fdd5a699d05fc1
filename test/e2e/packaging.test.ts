import {
    existsSync,
    mkdirSync,
    mkdtempSync,
    readdirSync,
    readFileSync,
    rmSync,
    symlinkSync,
    writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { homedir, hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import * as linuxnet from "pulumi-linuxnet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLab } from "../../lab/index.js";
import { makeProject, type Project } from "./project.js";

const root = join(__dirname, "..", "..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
/** Where the packed file is installed, as a user's project would. */
const installed = join(folder, "installed");
let packed: readonly string[];

beforeAll(async () => {
    mkdirSync(installed);
    const pack = await execa("npm", ["pack", "--json", "--pack-destination", folder], { cwd: root });
    const [{ filename, files }] = JSON.parse(pack.stdout);
    packed = files.map(({ path }: { path: string }) => path);
    writeFileSync(join(installed, "package.json"), '{ "name": "installed", "private": true }\n');
    const versions = ["@pulumi/pulumi", "@types/node", "ts-node", "typescript"].map(
        (name) => `${name}@${manifest.devDependencies[name]}`,
    );
    const options = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
    await execa("npm", ["install", ...options, join(folder, filename), ...versions], { cwd: installed });
});

afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
});

test("package: what is packed is the product: no tests, no tools, no paths of this machine", async () => {
    const allowed = /^(package\.json|README\.md|CHANGELOG\.md|LICENSE|(dist\/)?(sdk|provider|lab|cli)\/[\w/.-]+)$/;
    expect(packed.filter((path) => !allowed.test(path) || /\.test\.|tsbuildinfo/.test(path))).toEqual([]);
    for (const path of packed) {
        const text = readFileSync(join(installed, "node_modules", "pulumi-linuxnet", path), "utf8");
        for (const local of [root, `${homedir()}/`, `${tmpdir()}/linuxnet-test`, hostname()]) {
            if (local.length > 3) expect(text.includes(local), `${path} has ${local}`).toBe(false);
        }
    }
});

test("package: every entry of package.json resolves where it is installed", async () => {
    const require = createRequire(join(installed, "index.js"));
    for (const [name, entry] of Object.entries<{ types?: string; default?: string }>(manifest.exports)) {
        const from = `pulumi-linuxnet${name.slice(1)}`;
        expect(require.resolve(from).startsWith(installed), from).toBe(true);
        for (const path of Object.values(entry)) {
            if (path.startsWith("./")) expect(packed, from).toContain(path.slice(2));
        }
        const importing = [
            "--input-type=module",
            "-e",
            `await import(${JSON.stringify(from)}, ${from.endsWith("json") ? '{ with: { type: "json" } }' : "{}"})`,
        ];
        await execa(process.execPath, importing, { cwd: installed });
    }
    const command = join(installed, "node_modules", ".bin", "linuxnet");
    expect((await execa(command, ["--help"], { cwd: installed })).stdout).toContain("Usage: linuxnet");
});

const typed = `import { Host, Network, type NetworkArgs } from "pulumi-linuxnet";
import * as linuxnet from "pulumi-linuxnet";
const host: linuxnet.Host = new Host("edge", { connection: { host: "192.0.2.1" } });
const args: NetworkArgs = { host, subnet: "172.20.0.0/24" };
const front = new Network("front", args);
export const subnet = front.subnet;
export const address = new linuxnet.Sandbox("web", { host }).connect(front).address;
`;

const compilerOptions = { target: "es2022", types: ["node"], strict: true, skipLibCheck: true, noEmit: true };

/** A TypeScript program, either kind. */
function programFiles(kind: "commonjs" | "module"): Record<string, string> {
    const isModule = kind === "module";
    const modules = isModule
        ? { module: "nodenext", moduleResolution: "nodenext" }
        : { module: "commonjs", moduleResolution: "node10", ignoreDeprecations: "6.0" };
    const runtime = isModule
        ? { name: "nodejs", options: { nodeargs: "--loader ts-node/esm --no-warnings" } }
        : { name: "nodejs" };
    return {
        // JSON is YAML.
        "Pulumi.yaml": JSON.stringify({ name: "typed", runtime }),
        "package.json": JSON.stringify({ name: "typed", type: kind, main: "index.ts" }),
        "tsconfig.json": JSON.stringify({ compilerOptions: { ...compilerOptions, ...modules } }),
        "index.ts": typed,
    };
}

async function previewOf(project: Project): Promise<Record<string, number>> {
    const { changeSummary } = JSON.parse(await project.pulumi("preview", "--json", "--stack", "test"));
    return changeSummary;
}

test.each(["commonjs", "module"] as const)("package: installed, a TypeScript program (%s) previews", async (kind) => {
    const install = async (project: string) =>
        symlinkSync(join(installed, "node_modules"), join(project, "node_modules"));
    await using project = await makeProject(programFiles(kind), { install });
    expect(await previewOf(project)).toEqual({ create: 5 });
});

test("package: as a link of a workspace, a TypeScript program previews", async () => {
    const require = createRequire(__filename);
    const install = async (project: string) => {
        const modules = join(project, "node_modules");
        for (const scope of ["@pulumi", "@types"]) mkdirSync(join(modules, scope), { recursive: true });
        for (const name of ["@pulumi/pulumi", "@types/node", "ts-node", "typescript"]) {
            symlinkSync(dirname(require.resolve(`${name}/package.json`)), join(modules, name));
        }
        symlinkSync(root, join(modules, "pulumi-linuxnet"));
    };
    await using project = await makeProject(programFiles("commonjs"), { install });
    expect(await previewOf(project)).toEqual({ create: 5 });
});

test("package: the provider in state is one constant text a kind", async () => {
    await using lab = await createLab();
    const { connection, address } = lab.hosts[0];
    await using stack = await lab.up(() => {
        const host = new linuxnet.Host("host", { connection });
        const network = new linuxnet.Network("network", { host, subnet: "172.20.0.0/24" });
        const sandbox = new linuxnet.Sandbox("sandbox", { host });
        const target = new linuxnet.Endpoint("endpoint", { sandbox, network });
        new linuxnet.PortMapping("port-mapping", { target, hostPort: 8080 });
        new linuxnet.FirewallPolicy("firewall-policy", { target, ingress: [] });
        const peers = [{ underlayAddress: address.replace(/\d+$/, "250"), ipRange: "172.20.0.128/25" }];
        new linuxnet.OverlayTunnel("overlay-tunnel", { network, vni: 42, peers });
        return {};
    });
    const { resources } = (await stack.exportState()) as { resources: StateResource[] };
    const ours = resources.filter(({ type }) => type.startsWith("pulumi-nodejs:dynamic/"));
    const stubs = Object.fromEntries(
        ours.map(({ type, inputs, outputs }) => {
            expect(outputs["__provider"], type).toEqual(inputs["__provider"]);
            return [type, inputs["__provider"]];
        }),
    );
    // Letter by letter: old state must always run today's code.
    expect(stubs).toEqual({
        "pulumi-nodejs:dynamic/linuxnet:Host": `exports.handler = () => require("pulumi-linuxnet/provider").host;`,
        "pulumi-nodejs:dynamic/linuxnet:Network": `exports.handler = () => require("pulumi-linuxnet/provider").network;`,
        "pulumi-nodejs:dynamic/linuxnet:Sandbox": `exports.handler = () => require("pulumi-linuxnet/provider").sandbox;`,
        "pulumi-nodejs:dynamic/linuxnet:Endpoint": `exports.handler = () => require("pulumi-linuxnet/provider").endpoint;`,
        "pulumi-nodejs:dynamic/linuxnet:PortMapping": `exports.handler = () => require("pulumi-linuxnet/provider").portMapping;`,
        "pulumi-nodejs:dynamic/linuxnet:FirewallPolicy": `exports.handler = () => require("pulumi-linuxnet/provider").firewallPolicy;`,
        "pulumi-nodejs:dynamic/linuxnet:OverlayTunnel": `exports.handler = () => require("pulumi-linuxnet/provider").overlayTunnel;`,
    });
    for (const { type, outputs } of ours) expect(outputs["schemaVersion"], type).toBe(1);
});

type StateResource = {
    readonly type: string;
    readonly inputs: Record<string, unknown>;
    readonly outputs: Record<string, unknown>;
};

test("package: every example is a package of its own, else it would run as an empty program", () => {
    const examples = join(root, "examples");
    for (const name of readdirSync(examples)) {
        for (const file of ["package.json", "Pulumi.yaml", "tsconfig.json", "index.ts"]) {
            expect(existsSync(join(examples, name, file)), `examples/${name}/${file}`).toBe(true);
        }
        expect(JSON.parse(readFileSync(join(examples, name, "package.json"), "utf8"))).toMatchObject({ private: true });
    }
});
