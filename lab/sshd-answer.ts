import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Waits until sshd answers at port 22.
 * @param goOn throws when there is no point in waiting any longer.
 * @throws the last reason when the time is up.
 */
export async function waitForSshd(host: string, timeoutMs: number, goOn: () => void = () => undefined): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
        try {
            return await readBanner(host, 22);
        } catch (error) {
            goOn();
            if (Date.now() > deadline) throw error;
            await sleep(10);
        }
    }
}

function readBanner(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
        const socket = connect({ host, port, timeout: 2_000 });
        socket.once("data", () => {
            socket.destroy();
            resolve();
        });
        socket.once("error", reject);
        socket.once("timeout", () => socket.destroy(new Error("timed out")));
        socket.once("close", () => reject(new Error("the connection was closed")));
    });
}
