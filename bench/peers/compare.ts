import { createHost } from "../../lab/index.js";
import { secondsOf } from "../measure.js";
import { openAnsible, type Peer } from "./ansible.js";
import { tunedScript } from "./layout.js";
import { writeLogin } from "./login.js";
import { openPyinfra } from "./pyinfra.js";
import { installPeers } from "./python.js";
import { openScripts } from "./script.js";

/** Seconds a peer takes for a number of endpoints, or why there are none. */
export interface PeerTimes {
    readonly name: string;
    readonly count: number;
    readonly create?: number;
    readonly delete?: number;
    readonly problem?: string;
}

/** @param largest Ansible takes 0.4 s an endpoint; it stops here. */
export async function measurePeers(counts: readonly number[], largest: number): Promise<PeerTimes[]> {
    const bin = await installPeers().catch((error: Error) => error);
    await using lab = await createHost();
    using login = writeLogin(lab);
    await using scripts = await openScripts(login);
    const script: Peer = {
        create: (count) => scripts.run(tunedScript.create(count)),
        delete: (count) => scripts.run(tunedScript.delete(count)),
    };
    const peers: [name: string, peer: Peer | Error, largest: number][] = [
        ["ip -batch, by hand", script, Number.POSITIVE_INFINITY],
        ["pyinfra", bin instanceof Error ? bin : openPyinfra(bin, login), Number.POSITIVE_INFINITY],
        ["Ansible", bin instanceof Error ? bin : openAnsible(bin, login), largest],
    ];
    const rows: PeerTimes[] = [];
    for (const count of counts) {
        for (const [name, peer, limit] of peers) {
            if (peer instanceof Error) rows.push({ name, count, problem: peer.message });
            else if (count > limit) rows.push({ name, count, problem: "run with --peers" });
            else {
                const create = await secondsOf(() => peer.create(count));
                rows.push({ name, count, create, delete: await secondsOf(() => peer.delete(count)) });
            }
        }
    }
    return rows;
}
