/** Nobody is at the address, or at the bastion's. A network that is down here (ENETUNREACH) or a silent DNS says nothing. */
const codes = new Set(["ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "EHOSTDOWN", "ENOTFOUND"]);
/** RFC 4254, 5.1: the bastion could not connect. */
const connectFailed = 2;

/** Whether an error means that no SSH server answered; one that refused us did answer. */
export function isUnanswered(error: unknown): boolean {
    if (!(error instanceof Error)) return false;
    const { code, level, reason } = error as { code?: string; level?: string; reason?: number };
    // Of the connection itself; what it was caused by is that of the socket, of ssh2, or of a bastion.
    if (error.name === "ConnectionError") return isUnanswered(error.cause);
    if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isUnanswered);
    if (/^\(SSH\) Channel open failure/.test(error.message)) return reason === connectFailed;
    return codes.has(code ?? "") && level !== "handshake";
}
