import { expect } from "vitest";
import { type Place, run } from "./traffic.js";

/** Answers of dig(1), in one go: addresses and names in order, or the status; "nobody" where nothing answers. */
export async function dig(place: Place, ...questions: string[]): Promise<Record<string, string>> {
    const script = `for q in "$@"; do
        # Without a cookie, as libraries ask: see docs/names.md.
        out=$(dig +nocookie +tries=1 +time=5 +noall +comments +answer $q 2>&1)
        got=$(printf '%s\\n' "$out" | awk '$4 ~ /^(A|AAAA|PTR)$/ { print $5 }' | sort | tr '\\n' ' ')
        [ -n "$got" ] || got=$(printf '%s\\n' "$out" | grep -o 'status: [A-Z]*' | head -1 | cut -d' ' -f2)
        echo "\${got:-nobody}"
    done`;
    const answers = (await run(place, ["sh", "-c", script, "sh", ...questions])).split("\n").map((line) => line.trim());
    return Object.fromEntries(questions.map((question, i) => [question, answers[i] ?? ""]));
}

export const answered = async (place: Place, expected: Record<string, string>) =>
    expect(await dig(place, ...Object.keys(expected))).toEqual(expected);

/** Soon: another host that is silent for a second, as on a busy machine, does not have the name. */
export const answeredSoon = (place: Place, expected: Record<string, string>) =>
    expect.poll(() => dig(place, ...Object.keys(expected)), { timeout: 10_000, interval: 100 }).toEqual(expected);

/** Asks for these names over and over, a socket for each question, while something is done; what came that was no answer. */
export async function askMeanwhile(place: Place, server: string, name: string, work: () => Promise<void>) {
    const enough = `/tmp/enough-${name}`;
    const script = `
        const { Resolver } = require("node:dns");
        const wrong = {};
        let asked = 0, running = 0;
        const go = () => {
            if (!require("node:fs").existsSync(${JSON.stringify(enough)})) {
                for (; running < 8; running++, asked++) {
                    const resolver = new Resolver({ timeout: 5000, tries: 1 });
                    resolver.setServers([${JSON.stringify(server)}]);
                    resolver.resolve4(${JSON.stringify(name)}, (error) => {
                        running--;
                        if (error) wrong[error.code] = (wrong[error.code] ?? 0) + 1;
                    });
                }
            } else if (running === 0) {
                console.log(JSON.stringify({ asked, wrong }));
                process.exit(0);
            }
            setTimeout(go, 20);
        };
        go();`;
    await place.machine.exec(["rm", "-f", enough]);
    await using asking = await place.machine.spawn([process.execPath, "-e", script], { sandbox: place.sandbox });
    await work();
    await place.machine.exec(["touch", enough]);
    const { asked, wrong } = JSON.parse(await asking.waitFor(/^\{.*\}$/m)) as { asked: number; wrong: object };
    return { asked, wrong };
}
