import { expect, test } from "vitest";
import { createLab, type LabHost, type LabProcess, snapshotHost } from "../../lab/index.js";
import { makeProductionProject } from "./production.js";

type Addresses = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Debian keeps the server's programs off the PATH. */
const postgresPath = "PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)";
const asPostgres = "setpriv --reuid=postgres --regid=postgres --clear-groups";

async function startPostgres(host: LabHost, address: string): Promise<LabProcess> {
    await host.exec(
        `${postgresPath}; mkdir -m 700 /tmp/data && chown postgres: /tmp/data && cd /tmp
        ${asPostgres} initdb -D /tmp/data --auth=trust --no-sync >/dev/null
        echo 'host all all 172.22.0.0/24 trust' >>/tmp/data/pg_hba.conf`,
        { timeoutMs: 120_000 },
    );
    const options = `-c listen_addresses=${address} -c unix_socket_directories=/tmp -c fsync=off`;
    const server = await host.spawn(`${postgresPath}; exec ${asPostgres} postgres -D /tmp/data ${options}`, {
        sandbox: "db",
    });
    await server.waitFor("ready to accept connections", 60_000);
    await host.exec("psql -h /tmp -U postgres", {
        stdin: "create table people (name text); insert into people values ('Ada Lovelace');",
    });
    return server;
}

async function startRedis(host: LabHost, address: string): Promise<LabProcess> {
    const argv = ["redis-server", "--bind", address, "--protected-mode", "no", "--save", "", "--dir", "/tmp"];
    const server = await host.spawn(argv, { sandbox: "cache" });
    await server.waitFor("Ready to accept connections", 30_000);
    return server;
}

/** Answers each request with a row of the database and the number of requests that the cache has counted. */
const apiScript = `
const { execFileSync } = require("node:child_process");
const [name, db, cache] = process.argv.slice(1);
const run = (command, ...args) => execFileSync(command, args, { encoding: "utf8", timeout: 10_000 }).trim();
require("node:http").createServer((request, response) => {
    const person = run("psql", "-h", db, "-U", "postgres", "-Atc", "select name from people");
    const count = Number(run("redis-cli", "-h", cache, "incr", "requests"));
    response.end(JSON.stringify({ name, person, count }));
}).listen(8080, () => console.log("listening"));
`;

async function startApi(host: LabHost, name: string, db: string, cache: string): Promise<LabProcess> {
    const server = await host.spawn([process.execPath, "-e", apiScript, name, db, cache], { sandbox: name });
    await server.waitFor("listening", 30_000);
    return server;
}

async function startNginx(host: LabHost, upstreams: readonly string[]): Promise<LabProcess> {
    const servers = upstreams.map((address) => `server ${address}:8080;`).join(" ");
    const configuration = `daemon off; pid /tmp/nginx.pid; error_log stderr notice; events {}
        http { access_log off; upstream apis { ${servers} } server { listen 80; location / { proxy_pass http://apis; } } }`;
    await host.exec("cat >/tmp/nginx.conf", { stdin: configuration });
    const server = await host.spawn(["nginx", "-c", "/tmp/nginx.conf"], { sandbox: "nginx" });
    await server.waitFor("start worker processes", 30_000);
    return server;
}

test("real software: a page comes out of the database through nginx and an API, and only that way", async () => {
    await using lab = await createLab();
    const [host] = lab.hosts;
    const before = await snapshotHost(host);
    await using project = await makeProductionProject(host.connection);
    await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    const addresses: Addresses = JSON.parse(
        await project.pulumi("stack", "output", "addresses", "--json", "--stack", "test"),
    );
    const at = (name: string, network: string) => addresses[name]?.[network] ?? "";
    const apis = ["api-1", "api-2", "api-3"];
    {
        await using _db = await startPostgres(host, at("db", "database"));
        await using _cache = await startRedis(host, at("cache", "database"));
        await using _api1 = await startApi(host, "api-1", at("db", "database"), at("cache", "database"));
        await using _api2 = await startApi(host, "api-2", at("db", "database"), at("cache", "database"));
        await using _api3 = await startApi(host, "api-3", at("db", "database"), at("cache", "database"));
        await using _nginx = await startNginx(
            host,
            apis.map((name) => at(name, "backend")),
        );

        const answers: { name: string; person: string; count: number }[] = [];
        for (let i = 0; i < 6; i++) {
            const { stdout } = await lab.client().exec(["curl", "-sS", "--max-time", "20", `http://${host.address}/`]);
            answers.push(JSON.parse(stdout));
        }
        expect(answers.map(({ count }) => count)).toEqual([1, 2, 3, 4, 5, 6]);
        expect(new Set(answers.map(({ person }) => person))).toEqual(new Set(["Ada Lovelace"]));
        expect([...new Set(answers.map(({ name }) => name))].sort()).toEqual(apis);

        const ask = (sandbox: string, address: string) =>
            host.exec(`PGCONNECT_TIMEOUT=2 psql -h ${address} -U postgres -Atc 'select name from people'`, {
                sandbox,
                check: false,
            });
        expect(await ask("api-2", at("db", "database"))).toMatchObject({ exitCode: 0, stdout: "Ada Lovelace" });
        const refused = {
            exitCode: 2,
            stdout: "",
            stderr: expect.stringMatching(/timeout expired|unreachable|No route/),
        };
        expect(await ask("nginx", at("db", "database"))).toMatchObject(refused);
        expect(await ask("cache", at("db", "database"))).toMatchObject(refused);
        expect(await ask("prometheus", at("db", "monitoring"))).toMatchObject(refused);
        expect(await lab.probe(lab.client(), host, 5432)).not.toBe("open");
    }
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect(await snapshotHost(host)).toEqual(before);
});
