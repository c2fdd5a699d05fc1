import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { LabHost } from "../../lab/index.js";

/** What a link does to the bytes that pass. */
export interface LinkOptions {
    /** Each way. @default 0 */
    readonly delayMs?: number;
    /** The connection is reset when the server has sent so many bytes. */
    readonly cutAfterBytes?: number;
    /** Nothing passes any more, and nobody is told, when the server has sent so many bytes. */
    readonly silentAfterBytes?: number;
}

/** A port of this machine that leads to a port of a host, as a slow or bad link would. */
export interface Relay extends AsyncDisposable {
    readonly port: number;
    /** Connections since the start. */
    readonly connections: number;
    /** Bytes that the server has sent in the last connection. */
    readonly bytesFromServer: number;
    /** From now on, for open connections too, nothing passes. */
    fallSilent(): void;
    /** New connections pass again. */
    recover(): void;
    /** Resets all open connections. */
    cut(): void;
}

export async function openRelay(
    { address }: LabHost,
    { delayMs = 0, cutAfterBytes = Infinity, silentAfterBytes = Infinity }: LinkOptions = {},
    port = 22,
): Promise<Relay> {
    const sockets = new Set<Socket>();
    let connections = 0;
    let bytesFromServer = 0;
    let isSilent = false;

    function join(client: Socket): void {
        connections++;
        bytesFromServer = 0;
        let isDead = false;
        const isQuiet = () => {
            isDead ||= isSilent;
            return isDead;
        };
        const server = connect({ host: address, port, noDelay: true });
        const reset = () => {
            client.resetAndDestroy();
            server.destroy();
        };
        const pass = (from: Socket, to: Socket, mayPass: (chunk: Buffer) => boolean) => {
            sockets.add(from);
            from.setNoDelay(true);
            // In order, as timers of one delay are.
            const later = (work: () => void) => void (delayMs === 0 ? work() : setTimeout(work, delayMs));
            from.on("data", (chunk) => later(() => mayPass(chunk) && to.write(chunk)));
            from.on("end", () => later(() => isQuiet() || to.end()));
            from.on("error", () => undefined);
            from.on("close", () => {
                sockets.delete(from);
                if (!isQuiet()) later(() => to.destroy());
            });
        };
        pass(client, server, () => !isQuiet());
        pass(server, client, (chunk) => {
            bytesFromServer += chunk.length;
            if (bytesFromServer >= cutAfterBytes) reset();
            if (bytesFromServer >= silentAfterBytes) isDead = true;
            return !isQuiet() && bytesFromServer < cutAfterBytes;
        });
    }

    const relay = createServer(join);
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    return {
        port: (relay.address() as AddressInfo).port,
        get connections() {
            return connections;
        },
        get bytesFromServer() {
            return bytesFromServer;
        },
        fallSilent() {
            isSilent = true;
        },
        recover() {
            isSilent = false;
        },
        cut() {
            for (const socket of sockets) socket.resetAndDestroy();
        },
        async [Symbol.asyncDispose]() {
            for (const socket of sockets) socket.destroy();
            await new Promise((resolve) => relay.close(resolve));
        },
    };
}
