import colors from "picocolors";

const out = process.stdout;

/**
 * Shows what is going on, in one line: while it lasts in place on a terminal, and with the time it took at the end.
 * @param work `note` says what is happening now
 */
export async function phase<T>(title: string, work: (note: (text: string) => void) => Promise<T>): Promise<T> {
    const startedAt = Date.now();
    const seconds = () => `${((Date.now() - startedAt) / 1000).toFixed(1)} s`;
    let noted = "";
    const draw = () => {
        const line = `${title}  ${seconds()}  ${noted}`;
        out.write(`\r\x1b[2K${line.slice(0, (out.columns || 80) - 1)}`);
    };
    const clear = () => out.write(out.isTTY ? "\r\x1b[2K" : "");
    const timer = out.isTTY ? setInterval(draw, 100) : undefined;
    try {
        const result = await work((text) => {
            noted = text;
        });
        clear();
        out.write(`${colors.green("ok")} ${colors.bold(title)}  ${colors.dim(seconds())}\n`);
        return result;
    } catch (error) {
        clear();
        out.write(`${colors.red("--")} ${colors.bold(title)}  ${colors.dim(seconds())}\n`);
        throw error;
    } finally {
        clearInterval(timer);
    }
}

/** Prints lines that belong to the phase above. */
export function show(text: string): void {
    out.write(
        text
            .replace(/^(?=.)/gm, "   ")
            .trimEnd()
            .concat("\n"),
    );
}
