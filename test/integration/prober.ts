import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabMachine } from "../../lab/index.js";

/** A question of one place to an address. */
export interface Probe {
    readonly id: string;
    /** Name of the place that asks. */
    readonly from: string;
    /** Its own address to ask from. @default what its routes choose */
    readonly source?: string;
    /** The source is none of its own addresses. */
    readonly spoofs?: boolean;
    readonly to: string;
    readonly protocol: string;
    readonly port?: number;
    /** The flow stays open, to be asked again. */
    readonly hold?: boolean;
    /** An answer is expected, so it is waited for. */
    readonly answers: boolean;
}

type Answers = Readonly<Record<string, string>>;

/** Listens and asks in several namespaces of a machine from one process, all questions at once. */
export interface Prober extends AsyncDisposable {
    /** @param places name -> path of the namespace, "" for the machine's own */
    listen(places: Readonly<Record<string, string>>, ports: Readonly<Record<string, readonly number[]>>): Promise<void>;
    ask(probes: readonly Probe[]): Promise<Answers>;
    again(ids: readonly string[]): Promise<Answers>;
}

const script = readFileSync(join(__dirname, "prober.py"), "utf8");
const pipe = "/run/linuxnet-prober";
/** Who should be silent is asked first, so his answer would be there when the others' are. */
const silence = 150;
const patience = 8000;

export async function startProber(machine: LabMachine): Promise<Prober> {
    await machine.exec(["mkfifo", pipe]);
    const prober = await machine.spawn(["python3", "-c", script, pipe]);
    await prober.waitFor("ready\n");
    let count = 0;
    async function command(words: object): Promise<Answers> {
        const number = ++count;
        await machine.exec(`cat >${pipe}`, { stdin: `${JSON.stringify({ ...words, number })}\n` });
        const answer = new RegExp(`^@${number} (.*)\n`, "m");
        const output = await prober.waitFor(answer, 30_000);
        return JSON.parse(answer.exec(output)?.[1] ?? "");
    }
    return {
        listen: async (places, ports) => void (await command({ do: "listen", places, ports })),
        ask: (probes) => command({ do: "ask", probes, silence, patience }),
        again: (ids) => command({ do: "again", ids, patience }),
        async [Symbol.asyncDispose]() {
            await prober.stop();
            await machine.exec(["rm", pipe]);
        },
    };
}
