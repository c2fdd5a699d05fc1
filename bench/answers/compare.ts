import { createLab, type LabHost } from "../../lab/index.js";
import { openContainers } from "./in-docker.js";
import { openSandboxes } from "./in-sandboxes.js";
import { boxes, type Side } from "./layout.js";
import { functions, leaks, type Question, questions } from "./questions.js";
import { startUpstream } from "./upstream.js";

/** What both sides answered to one question. */
export interface Answer extends Pick<Question, "title" | "from" | "difference"> {
    readonly docker: string;
    readonly ours: string;
}

const mark = "@@ question ";

/** Asks in all boxes at once, in each one question after another; a line an answer. */
async function askAll(side: Side, asked: readonly Question[]): Promise<Map<Question, string>> {
    const answers = new Map<Question, string>();
    const askFrom = async (name: (typeof boxes)[number]["name"]) => {
        const own = asked.filter(({ from }) => from === name);
        if (own.length === 0) return;
        const script = own.map(({ ask }, i) => `echo; echo '${mark}${i}'\n${ask}\n`).join("");
        const parts = (await side.run(name, functions + script)).split(mark).slice(1);
        own.forEach((question, i) => {
            const [, ...lines] = (parts[i] ?? "").split("\n");
            answers.set(question, lines.join(" ").trim() || "nothing");
        });
    };
    await Promise.all(boxes.map(({ name }) => askFrom(name)));
    return answers;
}

async function answersOf(side: Side): Promise<Map<Question, string>> {
    const before = await askAll(
        side,
        questions.filter(({ isAfterwards }) => !isAfterwards),
    );
    await side.remove("cache");
    const after = await askAll(
        side,
        questions.filter(({ isAfterwards }) => isAfterwards),
    );
    return new Map([...before, ...after]);
}

/** Asks the same questions in the containers of a Docker and in sandboxes of ours, each on a host of its own. */
export async function compareAnswers(): Promise<{ answers: Answer[]; version: string }> {
    await using lab = await createLab({ hosts: 2 });
    const [first, second] = lab.hosts as readonly [LabHost, LabHost];
    const upstream = lab.client();
    await using server = await startUpstream(upstream);
    for (const host of lab.hosts) await host.exec(`echo nameserver ${upstream.address} >/etc/resolv.conf`);
    const missing = upstream.address.replace(/\d+$/, "250");
    const servers = (other: LabHost) => ({ upstream: upstream.address, refusing: other.address, missing });
    await using docker = await openContainers(first, servers(second));
    await using sandboxes = await openSandboxes(second, servers(first));
    const [theirs, ours] = await Promise.all([answersOf(docker), answersOf(sandboxes)]);
    const answers: Answer[] = questions.map((question) => ({
        ...question,
        docker: theirs.get(question) ?? "",
        ours: ours.get(question) ?? "",
    }));
    // Who asks outside is the host, for all behind it.
    const heard = async (name: string) => {
        const from = await server.askersOf(name);
        const isHeard = ({ address }: LabHost) => (from.includes(address) ? "yes" : "no");
        return { docker: isHeard(first), ours: isHeard(second) };
    };
    for (const { name, ...leak } of leaks) answers.push({ ...leak, from: "web", ...(await heard(name)) });
    return { answers, version: docker.version };
}
