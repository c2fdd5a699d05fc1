import { connect } from "node:net";

const intervalMs = 1000;
const refusalsUntilGone = 2;

/**
 * Calls `onGone` once when the Pulumi engine is gone: an engine ended by SIGKILL does not end its providers, which would live
 * on for ever. Its gRPC port is dialled each second; two refusals in a row mean nobody listens any more (a timeout does
 * not: a busy engine is slow to accept). The watch does not keep the process alive.
 * @param address `host:port`, the provider's `process.argv[2]`
 * @returns ends the watch
 */
export function watchEngine(address: string, onGone: () => void): () => void {
    const separator = address.lastIndexOf(":");
    const host = address.slice(0, separator).replace(/^\[|\]$/g, "");
    const port = Number(address.slice(separator + 1));
    // Started by hand, without an engine: there is nothing to watch.
    if (separator < 1 || !Number.isInteger(port) || port < 1 || port > 65535) return () => {};

    let refusals = 0;
    const timer = setInterval(() => {
        const socket = connect({ host, port });
        socket.unref();
        socket.setTimeout(intervalMs, () => socket.destroy());
        socket.once("connect", () => {
            refusals = 0;
            socket.destroy();
        });
        socket.once("error", (error: NodeJS.ErrnoException) => {
            if (!isRefusal(error)) return;
            refusals++;
            if (refusals < refusalsUntilGone) return;
            clearInterval(timer);
            if (refusals === refusalsUntilGone) onGone();
        });
    }, intervalMs);
    timer.unref();
    return () => clearInterval(timer);
}

/** "localhost" may have two addresses; then the error holds one for each. */
function isRefusal(error: NodeJS.ErrnoException): boolean {
    const errors: readonly NodeJS.ErrnoException[] = error instanceof AggregateError ? error.errors : [error];
    return errors.length > 0 && errors.every(({ code }) => code === "ECONNREFUSED");
}
