import { type Connection, describeConnection } from "../model/connection.js";
import type { Heard } from "./log-in.js";
import { explainWrongSudoPassword } from "./login-refusal.js";
import type { RootCommand } from "./root-command.js";
import { ConnectionError } from "./shell.js";
import type { ShellProcess } from "./shell-process.js";

/** Waits until sudo has started the root shell; gives the password when sudo asks for it, and never twice. */
export function answerSudo(
    process: ShellProcess,
    password: NonNullable<RootCommand["password"]>,
    heard: Heard,
    connection: Connection,
): Promise<void> {
    const hostName = describeConnection(connection);
    return new Promise<void>((resolve, reject) => {
        let isSent = false;
        const deadline = setTimeout(() => {
            const waited = `${connection.dialTimeoutMs / 1000} s`;
            const what = isSent ? "did not start a shell" : "neither asked for the password nor started a shell";
            settle(
                new ConnectionError(
                    `${hostName}: sudo ${what} within ${waited}. It must ask for the password only, no second factor.`,
                    { mayHeal: false },
                ),
            );
        }, connection.dialTimeoutMs);

        function settle(error?: ConnectionError): void {
            clearTimeout(deadline);
            heard.onChange(() => {});
            if (error === undefined) resolve();
            else reject(error);
        }

        heard.onChange(() => {
            const prompts = heard.text().split(password.prompt).length - 1;
            if (heard.text().includes(password.ready)) settle();
            else if (prompts > 1) settle(explainWrongSudoPassword(connection));
            else if (prompts === 1 && !isSent) {
                isSent = true;
                process.stdin.write(`${password.text}\n`);
            }
        });
        process.ended.then(({ reason }) =>
            settle(
                new ConnectionError(
                    `${hostName}: ${reason} before sudo had started a shell. Run the same command again.`,
                    {
                        mayHeal: true,
                    },
                ),
            ),
        );
    });
}
