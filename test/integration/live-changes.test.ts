import { expect, test } from "vitest";
import { openStack, type Resource, type Stack } from "./driver.js";
import { startLoad } from "./load.js";
import { layTestBed } from "./test-bed.js";
import { type Place, run, serve } from "./traffic.js";

const bed = layTestBed();
const fromClient = () => ({ machine: bed.client });
const range = (count: number) => Array.from({ length: count }, (_, i) => i);
/** LIVE_CHANGES=2000 for a longer run. */
const rounds = Number(process.env["LIVE_CHANGES"] ?? 200) / 10;

type Change = () => Promise<unknown>;

/** Ten changes a round, to what the load does not ask, on the very endpoints that it asks. */
async function layChanges(stack: Stack, webs: readonly Resource<"endpoint">[], api: Resource<"endpoint">) {
    const [one, two, three] = webs;
    const both = { protocol: ["tcp", "udp"], targetPort: 80 };
    const moved = await stack.portMapping("moved", { ...both, target: one, hostPort: 20000 });
    const shifted = await stack.portMapping("shifted", { target: two, targetPort: "90-99", hostPort: "20010-20019" });
    const spread = await stack.portMapping("spread", { ...both, target: [one, two], hostPort: 20030 });
    const listed = await stack.portMapping("listed", { target: three, ports: ["20040:80", "20041:80/udp"] });
    const beside = await stack.firewallPolicy("beside", { target: api, ingress: [] });
    // Of an endpoint under load: what its rules say of that never changes.
    const web = { action: "allow", protocol: ["tcp", "udp"], ports: [80] };
    const guard = await stack.firewallPolicy("guard", { target: one, ingress: [web] });
    const updated = (resource: Resource, changes: object) => async () =>
        expect(await resource.update({ ...changes })).toBe("update");
    return (round: number): readonly [Change[], Change[]] => {
        const inTurn = (first: unknown, second: unknown) => (round % 2 === 0 ? first : second);
        const stranger = `203.0.113.${round % 250}`;
        const dropped = { action: "drop", from: [stranger], ports: [81] };
        let mapping: Resource | undefined;
        let policy: Resource | undefined;
        return [
            [
                updated(moved, { target: inTurn(two, one) }),
                updated(shifted, { hostPort: inTurn("20015-20024", "20010-20019") }),
                updated(spread, { target: inTurn(webs, [one, two]) }),
                updated(listed, { ports: inTurn(["20040:80", "20042:80"], ["20040:80", "20041:80/udp"]) }),
                updated(beside, { ingress: [{ action: "allow", from: [one], ports: [round + 1] }] }),
                updated(guard, { ingress: inTurn([dropped, web], [web, dropped, dropped]) }),
                async () => {
                    const args = { ...both, target: two, hostPort: 21000 + round };
                    mapping = await stack.portMapping(`new-${round}`, args);
                },
                async () => {
                    const egress = [{ action: "drop", to: [stranger] }];
                    policy = await stack.firewallPolicy(`new-${round}`, { target: api, egress });
                },
            ],
            [async () => mapping?.delete(), async () => policy?.delete()],
        ];
    };
}

/** One after the other, or at once: those share transactions. */
async function make(changes: readonly Change[], together: boolean): Promise<number> {
    if (together) await Promise.all(changes.map((change) => change()));
    else for (const change of changes) await change();
    return changes.length;
}

test("live changes: 2,000 new connections a second through 1,000 ports lose none to 200 changes of ports and policies", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const joined = await Promise.all(range(4).map((i) => stack.join(`web-${i}`, front)));
    const api = await stack.join("api", front);
    const serving = (place: Place, i: number) => serve(place, `web-${i}`, "tcp:80", "udp:80");
    const servers = await Promise.all(joined.map(({ place }, i) => serving(place, i)));
    const ports = range(1000).map((i) => 10000 + i);
    const webs = joined.map(({ endpoint }) => endpoint);
    const mappings = await Promise.all(
        ports.map((hostPort, i) => {
            const protocol = i < 8 ? ["tcp", "udp"] : ["tcp"];
            return stack.portMapping(`p${hostPort}`, { target: webs[i % 4], targetPort: 80, hostPort, protocol });
        }),
    );
    const changesOf = await layChanges(stack, webs, api.endpoint);
    const doomed = await stack.portMapping("doomed", { target: webs[0], targetPort: 80, hostPort: 30000 });
    const host = bed.host.address;

    await using load = await startLoad(fromClient(), { host, ports, perSecond: 2000, kept: ports.slice(0, 8) });
    await using other = await startLoad(fromClient(), { host, ports: [30000], perSecond: 20 });
    await expect.poll(() => load.counts().answered).toBeGreaterThan(500);
    const [before, startedAt] = [load.counts(), performance.now()];
    let made = 0;
    for (const round of range(rounds)) {
        for (const changes of changesOf(round)) made += await make(changes, round % 4 > 1);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const during = await load.settled();
    expect(made).toBe(rounds * 10);
    expect(during.failures).toEqual({});
    const answered = during.answered - before.answered;
    const kept = during.kept - before.kept;
    console.log(
        `${made} changes in ${seconds.toFixed(1)} s; ${answered} connections answered (${(answered / seconds).toFixed(0)} a second), ` +
            `${during.late} late, 0 failed; ${kept} answers on 16 connections and flows that stayed`,
    );
    expect(answered).toBeGreaterThan(made * 10);
    expect(kept).toBeGreaterThan(made);
    // The same load sees a port that does go.
    expect((await other.settled()).failures).toEqual({});
    await doomed.delete();
    await expect.poll(() => other.counts().failures["ECONNREFUSED"]).toBeGreaterThan(0);
    expect((await load.settled()).failures).toEqual({});
    await Promise.all(servers.map((server) => server.stop()));
    await Promise.all(mappings.map((mapping) => mapping.delete()));
});

test("live changes: one port among 10,000 is one map element, whatever form its mapping has", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    const target = web.endpoint;
    await Promise.all(
        range(9).map((i) => {
            const hostPort = `${20000 + 1000 * i}-${20999 + 1000 * i}`;
            return stack.portMapping(`many-${i}`, { target, hostPort, targetPort: "1000-1999" });
        }),
    );
    const ports = range(999).map((i) => `${30000 + i}:${1000 + i}`);
    const listed = await stack.portMapping("listed", { target, ports });
    const single = await stack.portMapping("single", { target, hostPort: 31000, targetPort: 80 });
    const count = "nft -j list map inet linuxnet published_any | grep -o tcp | wc -l";
    expect(await run({ machine: bed.host }, count)).toBe("10000");

    await using monitor = await bed.host.spawn("exec stdbuf -oL nft monitor");
    const mark = () => bed.host.exec("nft add table inet marker && nft delete table inet marker");
    // It hears nothing before it has read what is there.
    await expect.poll(async () => mark().then(monitor.output), { timeout: 50_000 }).toContain("marker");
    /** What nft is told of a change. */
    const toldOf = async (change: () => Promise<unknown>) => {
        const seen = monitor.output().length;
        await change();
        await mark();
        await expect.poll(() => monitor.output().slice(seen)).toMatch(/delete table inet marker\n/);
        const lines = monitor.output().slice(seen).split("\n");
        return lines.filter((line) => /^(add|delete|flush|insert|replace) /.test(line) && !line.endsWith(" marker"));
    };
    const element = (verb: string, port: number, to: string) =>
        `${verb} element inet linuxnet published_any { tcp . ${port} : ${to} }`;
    const [atWeb, atApi] = [web.address, api.address];
    expect(await toldOf(() => single.update({ target: api.endpoint }))).toEqual([
        element("delete", 31000, `${atWeb} . 80`),
        element("add", 31000, `${atApi} . 80`),
    ]);
    expect(await toldOf(() => listed.update({ ports: [...ports, "31001:80"] }))).toEqual([
        element("add", 31001, `${atWeb} . 80`),
    ]);
    expect(await toldOf(() => listed.update({ ports: [...ports.slice(1), "31001:80"] }))).toEqual([
        element("delete", 30000, `${atWeb} . 1000`),
    ]);
    expect(await toldOf(() => single.delete())).toEqual([element("delete", 31000, `${atApi} . 80`)]);
    await stack.destroyAll();
});
