import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { spawnLocal } from "../../provider/host/local.js";
import { createPipedShell } from "../../provider/host/piped-shell.js";
import type { Shell } from "../../provider/host/shell.js";
import { connectionTo, openUsing } from "./host-connection.js";

const within = { timeoutMs: 20_000 };

let host: LabHost;
let shells: Readonly<Record<string, Shell>>;

/** What `sh` is on other distributions. */
const otherShells = [
    ["bash", "--posix"],
    ["busybox", "sh"],
] as const;
const transports = ["ssh2", "openssh", "local"] as const;
const shellNames = [...transports, ...otherShells.map(([file]) => file)];

function shell(name: string): Shell {
    const found = shells[name];
    if (found === undefined) throw new Error(`no shell ${name}`);
    return found;
}

beforeAll(async () => {
    host = await createHost();
    shells = {
        ssh2: await openUsing(connectionTo(host)),
        openssh: await openUsing(connectionTo(host, { transport: "openssh" })),
        local: await openUsing(connectionTo(host, { transport: "local" })),
        ...Object.fromEntries(otherShells.map((argv) => [argv[0], createPipedShell(spawnLocal({ argv }), argv[0])])),
    };
});

afterAll(async () => {
    for (const opened of Object.values(shells)) opened.close();
    await host[Symbol.asyncDispose]();
});

const bytes = Array.from({ length: 0x7ff }, (_, index) => String.fromCodePoint(index + 1)).join("");

const scripts: readonly [string, string, { exitCode: number; stdout: string; stderr?: string | RegExp }][] = [
    [
        "both outputs and the exit code",
        "echo out; echo err >&2; exit 3",
        { exitCode: 3, stdout: "out\n", stderr: "err\n" },
    ],
    ["nothing", "", { exitCode: 0, stdout: "", stderr: "" }],
    ["a comment at the end", "echo a # it's", { exitCode: 0, stdout: "a\n" }],
    ["output without newline", "printf x; printf y >&2", { exitCode: 0, stdout: "x", stderr: "y" }],
    ["a syntax error", "echo before; if then", { exitCode: 2, stdout: "", stderr: /then/ }],
    ["an unbalanced quote", "echo 'x", { exitCode: 2, stdout: "", stderr: /./ }],
    ["an unbalanced brace", "echo x; }", { exitCode: 2, stdout: "", stderr: /./ }],
    ["an open parenthesis", "(echo x", { exitCode: 2, stdout: "", stderr: /./ }],
    [
        "here-documents",
        "x=1\ncat <<'A'\nit's $x\nA\ncat <<B\n$x `echo y`\nB",
        { exitCode: 0, stdout: "it's $x\n1 y\n" },
    ],
    ["a here-document without end", "cat <<'A'\nx\n", { exitCode: 0, stdout: "x\n" }],
    ["commands that read stdin", 'cat; read line; echo "<$line>"', { exitCode: 0, stdout: "<>\n" }],
    ["a process killed", "sh -c 'kill -9 $$'; exit $?", { exitCode: 137, stdout: "" }],
    ["set -e and an EXIT trap", "set -e; trap 'echo undone' EXIT; false; echo no", { exitCode: 1, stdout: "undone\n" }],
    ["set -u", "(set -u; echo $unset) || exit 9", { exitCode: 9, stdout: "", stderr: /unset/ }],
    ["exec", "exec echo replaced", { exitCode: 0, stdout: "replaced\n" }],
    ["a redirected stdout", "exec >/dev/null; echo hidden; exec >&-", { exitCode: 0, stdout: "" }],
    ["a process left behind", "sleep 30 & echo done; kill $!", { exitCode: 0, stdout: "done\n" }],
    ["all characters", `cat <<'A'\n${bytes}\nA`, { exitCode: 0, stdout: `${bytes}\n` }],
    ["bytes that are not UTF-8", "printf '\\377a'", { exitCode: 0, stdout: "\ufffda" }],
    ["200 KB of script", `cat <<'A' | wc -c\n${"0123456789\n".repeat(20_000)}A`, { exitCode: 0, stdout: "220000\n" }],
    ["words that look like a marker", "echo linuxnet-0-1:end 0", { exitCode: 0, stdout: "linuxnet-0-1:end 0\n" }],
];

test.each(scripts.flatMap((row) => shellNames.map((name) => [name, ...row] as const)))(
    "shell: %s runs %s, and goes on",
    async (name, _title, script, expected) => {
        const result = await shell(name).run(script, within);
        expect(result.stdout).toBe(expected.stdout);
        expect(result.exitCode).toBe(expected.exitCode);
        if (expected.stderr !== undefined) expect(result.stderr).toMatch(expected.stderr);
        expect(await shell(name).run("echo next", within)).toEqual({ exitCode: 0, stdout: "next\n", stderr: "" });
    },
);

test.each(transports)("shell: over %s, scripts do not see what others have set", async (name) => {
    const ssh = shell(name);
    await ssh.run(
        "x=1; cd /tmp; umask 077; trap 'echo trapped' EXIT; alias echo=false; echo() { :; }; exec 3>/dev/null",
        within,
    );
    const { stdout } = await ssh.run('echo "<$x> $PWD $(umask)"; [ -e /proc/self/fd/3 ] || echo closed', within);
    expect(stdout).toBe("<> / 0022\nclosed\n");
});

test.each(transports)("shell: over %s, it has sbin on its PATH, English messages and root", async (name) => {
    const { stdout } = await shell(name).run("command -v ip nft >/dev/null && echo found; echo $LC_ALL; id -u", within);
    expect(stdout).toBe("found\nC\n0\n");
});

test.each(transports)("shell: over %s, answers 200 pipelined scripts in order", async (name) => {
    const ended: number[] = [];
    const runs = Array.from({ length: 200 }, async (_, index) => {
        const result = await shell(name).run(`echo ${index}; echo ${index} >&2; exit ${index}`, within);
        ended.push(index);
        return result;
    });
    const results = await Promise.all(runs);
    expect(results).toEqual(
        results.map((_, index) => ({ exitCode: index, stdout: `${index}\n`, stderr: `${index}\n` })),
    );
    expect(ended).toEqual(results.map((_, index) => index));
});

test.each(transports)(
    "shell: over %s, carries long output on both pipes at once, characters cut anywhere",
    async (name) => {
        const script = "i=0; while [ $i -lt 40000 ]; do echo äöü€; echo x >&2; i=$((i + 1)); done";
        const { stdout, stderr } = await shell(name).run(script, within);
        expect(stdout).toBe("äöü€\n".repeat(40_000));
        expect(stderr).toBe("x\n".repeat(40_000));
    },
);
