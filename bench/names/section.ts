import { createLab, type LabHost } from "../../lab/index.js";
import { closeSessions } from "../../provider/sessions.js";
import { Endpoint, Host, Network, Sandbox } from "../../sdk/index.js";
import type { Goal } from "../goals.js";
import { range, secondsOf } from "../measure.js";
import { type Made, openCalls, refTo } from "../provider-calls.js";
import { type Options, say, title } from "../report.js";
import { measureLookUps, weighResolvers } from "./look-ups.js";

type Outputs = { readonly namespace: string; readonly server: string };

/** A program: sandboxes evenly over networks, each on one of them. */
function declareNames({ connection }: LabHost, networks: number, endpoints: number, mode: "server" | "none") {
    const host = new Host("host", { connection });
    const all = range(networks).map((i) => {
        return new Network(`net-${i}`, { host, subnet: `10.20.${i}.0/24`, dns: { mode } });
    });
    const sandboxes = range(endpoints).map((i) => {
        const sandbox = new Sandbox(`app-${i}`, { host });
        new Endpoint(`app-${i}-net`, { sandbox, network: all[i % networks] as Network });
        return sandbox;
    });
    return { namespace: (sandboxes[0] as Sandbox).name, server: (all[0] as Network).gateway };
}

/** Names of many endpoints: what they cost the engine's run and the host, and how they are answered. */
export async function benchNames({ quick }: Options): Promise<Goal[]> {
    const [networks, endpoints] = quick ? [4, 40] : [20, 1000];
    title(`Names of ${endpoints} endpoints on ${networks} networks of one host`);
    await using lab = await createLab({ hosts: 2 });
    const [named, plain] = lab.hosts;
    const up = async (host: LabHost, mode: "server" | "none") => {
        const nothing = (): Outputs => ({ namespace: "", server: "" });
        // With checkpoints the engine's own time grows with the square of the resources, and says nothing of ours.
        const environment = { PULUMI_EXPERIMENTAL: "true", PULUMI_SKIP_CHECKPOINTS: "true" };
        const stack = await lab.up<Outputs>(nothing, { projectName: `names-${mode}`, environment });
        const seconds = await secondsOf(() =>
            stack.update(() => declareNames(host, networks, endpoints, mode) as unknown as Outputs),
        );
        say(
            `  up through the engine (no checkpoints), names ${mode === "server" ? "answered" : "off"}: ${seconds.toFixed(1)} s`,
        );
        return { stack, seconds };
    };
    const without = await up(plain as LabHost, "none");
    const { stack, seconds } = await up(named as LabHost, "server");
    const host = named as LabHost;
    const { namespace, server } = stack.outputs;
    // Those that share the asker's network.
    const names = range(endpoints)
        .filter((i) => i % networks === 0)
        .map((i) => `app-${i}`);
    const before = await weighResolvers(host);
    const fastest = await measureLookUps(host, namespace, { server, names }, 0, quick ? 1 : 5);
    const paced = await measureLookUps(host, namespace, { server, names }, 5000, quick ? 1 : 5);
    const after = await weighResolvers(host);
    const newName = await measureNewName(host);
    const micro = after.cpuSeconds - before.cpuSeconds;
    say(`  resolvers: ${before.processes}, ${before.megabytes.toFixed(1)} MB together`);
    say(
        `  as fast as they are answered: ${fastest.perSecond} look-ups a second, p50 ${fastest.p50Us} us, p99 ${fastest.p99Us} us, ${fastest.lost} lost`,
    );
    say(`  at 5,000 a second: p50 ${paced.p50Us} us, p99 ${paced.p99Us} us, ${paced.lost} of ${paced.asked} lost`);
    say(`  processor time: ${((micro * 1e6) / (fastest.asked + paced.asked)).toFixed(0)} us a look-up`);
    say(
        `  a new endpoint: ${newName.createMs.toFixed(0)} ms, the first question for its name takes ${newName.answeredMs.toFixed(1)} ms, ${newName.lost} lost`,
    );
    await stack.destroy();
    await without.stack.destroy();
    return [
        {
            title: `up of ${endpoints} endpoints with names / without`,
            measured: seconds / without.seconds,
            limit: 1.15,
            unit: "x",
        },
        { title: "look-ups lost at 5,000 a second", measured: paced.lost, limit: 0, unit: "answers" },
    ];
}

/** One endpoint more on the host, below the engine, and how soon its neighbour is answered its name. */
async function measureNewName(host: LabHost) {
    const calls = await openCalls(host.connection, "more");
    const at = refTo("host", calls.host);
    const network = await calls.create("network", "more", { host: at, subnet: "10.21.0.0/24" });
    const sandboxes = [
        await calls.create("sandbox", "first", { host: at }),
        await calls.create("sandbox", "next", { host: at }),
    ];
    const endpoints: Made[] = [];
    const attach = async (sandbox: Made, name: string) => {
        const args = { sandbox: refTo("sandbox", sandbox), network: refTo("network", network) };
        endpoints.push(await calls.create("endpoint", name, args));
    };
    const [first, next] = sandboxes as [Made, Made];
    await attach(first, "first-more");
    const createMs = 1000 * (await secondsOf(() => attach(next, "next-more")));
    const question = { server: String(network.outs["gateway"]), names: ["next"] };
    const { lost, p50Us } = await measureLookUps(host, String(first.outs["name"]), question, 1, 1);
    for (const each of endpoints) await calls.delete("endpoint", each);
    for (const each of sandboxes) await calls.delete("sandbox", each);
    await calls.delete("network", network);
    await calls.delete("host", calls.host);
    await closeSessions();
    return { createMs, lost, answeredMs: p50Us / 1000 };
}
