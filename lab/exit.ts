const cleanups = new Set<() => void>();
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs a synchronous cleanup when the program ends without having disposed of what it made.
 * @returns takes the cleanup back.
 */
export function onExit(cleanup: () => void): () => void {
    if (cleanups.size === 0) {
        process.on("exit", cleanAll);
        for (const signal of signals) process.on(signal, onSignal);
    }
    cleanups.add(cleanup);
    return () => {
        cleanups.delete(cleanup);
        if (cleanups.size > 0) return;
        process.off("exit", cleanAll);
        for (const signal of signals) process.off(signal, onSignal);
    };
}

function cleanAll(): void {
    for (const cleanup of [...cleanups]) cleanup();
}

/**
 * Another listener means that the program ends in its own way, perhaps by disposing of its labs, hosts still needed;
 * without one, our being here must not keep the signal from ending the program.
 */
function onSignal(signal: NodeJS.Signals): void {
    if (process.listenerCount(signal) > 1) return;
    cleanAll();
    process.off(signal, onSignal);
    process.kill(process.pid, signal);
}
