import { stopIfInterrupted } from "./child.mjs";

const LINE_EVERY_MS = 30_000;

/**
 * Shows one line while a step works: updated in place on a terminal, repeated every 30 s in a log.
 * A step with nothing to do is not announced at all.
 *
 * @template T
 * @param {string} title what is being done, e.g. "Installing npm packages"
 * @param {(note: (text: string) => void) => Promise<T>} work `note` sets what stands behind the elapsed time
 * @returns {Promise<T>}
 */
export async function step(title, work) {
    stopIfInterrupted();
    const out = process.stderr;
    const startedAt = Date.now();
    let noted = "";
    const line = () => `${title} ... ${Math.round((Date.now() - startedAt) / 1000)} s${noted && `, ${noted}`}`;
    const draw = () => out.write(out.isTTY ? `\r\x1b[2K${line().slice(0, (out.columns ?? 80) - 1)}` : `${line()}\n`);
    if (out.isTTY) draw();
    const timer = setInterval(draw, out.isTTY ? 1000 : LINE_EVERY_MS);
    try {
        const result = await work((text) => {
            noted = text;
        });
        out.write(`${out.isTTY ? "\r\x1b[2K" : ""}ok  ${line()}\n`);
        return result;
    } catch (error) {
        if (out.isTTY) out.write("\r\x1b[2K");
        throw error;
    } finally {
        clearInterval(timer);
    }
}
