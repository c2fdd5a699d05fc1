import { openShell } from "../provider/host/open-shell.js";
import { ConnectionError } from "../provider/host/shell.js";
import { type Connection, describeConnection } from "../provider/model/connection.js";
import { type Check, checkHost } from "./doctor/checks.js";
import { doctorScript } from "./doctor/script.js";
import { parseHostState } from "./doctor/state.js";
import { describeProblem } from "./problem.js";
import { paint, print, renderTable } from "./table.js";
import { connectionOf, type TargetOptions } from "./target.js";

const colours = { ok: paint.green, warning: paint.yellow, problem: paint.red };

/** Prints whether a machine is ready. @returns the exit code: 1 when there is a problem */
export async function doctor(target: string | undefined, options: TargetOptions): Promise<number> {
    const connection = await connectionOf(target, options);
    const checks = await examine(connection);
    const rows = checks.map(({ name, result, found, remedy = [] }) => [
        name,
        colours[result](result),
        [found, ...remedy.map((line) => paint.bold(`-> ${line}`))].join("\n"),
    ]);
    print(renderTable(["CHECK", "RESULT", "FOUND"], rows));
    const number = (result: Check["result"]) => checks.filter((check) => check.result === result).length;
    const summary = [
        ...(number("problem") > 0 ? [`problems: ${number("problem")}`] : []),
        ...(number("warning") > 0 ? [`warnings: ${number("warning")}`] : []),
    ].join(", ");
    print(`\n${describeConnection(connection)}: ${summary === "" ? "ready" : summary}.`);
    return number("problem") > 0 ? 1 : 0;
}

async function examine(connection: Connection): Promise<Check[]> {
    const host = describeConnection(connection);
    const reached: Check = { name: "reachable", result: "ok", found: host };
    try {
        const shell = await openShell(connection);
        try {
            const { stdout } = await shell.run(doctorScript, { timeoutMs: connection.operationTimeoutMs });
            const root: Check = { name: "root", result: "ok", found: connection.sudo === false ? "yes" : "by sudo" };
            return [reached, root, ...checkHost(parseHostState(stdout))];
        } finally {
            shell.close();
        }
    } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        const found = describeProblem(error).replace(`${host}: `, "");
        // Whoever is told about sudo has got as far as the host.
        const isLogin = /sudo|not (run as )?root/.test(error.message.replace(host, ""));
        const failed = (name: string): Check => ({ name, result: "problem", found });
        return isLogin ? [reached, failed("root")] : [failed("reachable")];
    }
}
