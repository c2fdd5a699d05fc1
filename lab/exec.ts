import { constants } from "node:os";
import { systemPath } from "./requirements.js";

/** A command: a string is run by `sh -c`, an array is a program with its arguments. */
export type LabCommand = string | readonly string[];

/**
 * A network namespace inside a host: its full name, the logical name (`db` finds `db-1a2b3c`), its path
 * `/run/netns/<name>`, or an object that has one of them as `namespace` or `name`.
 */
export type LabSandbox = string | { readonly namespace?: string; readonly name?: string };

/** How {@link LabMachine.exec} runs a command. */
export type LabExecOptions = {
    /** The network namespace inside the machine to run it in. @default the machine's own */
    readonly sandbox?: LabSandbox | undefined;
    /** What the command reads. @default nothing */
    readonly stdin?: string | Uint8Array | undefined;
    /** Milliseconds after which the command and all it started are killed. @default 30000 */
    readonly timeoutMs?: number | undefined;
    /** Whether an exit code other than 0 throws. A timeout always does. @default true */
    readonly check?: boolean | undefined;
};

/** What a command has printed (without the last newline) and its exit code; 128 + n when signal n ended it. */
export type LabExecResult = { readonly stdout: string; readonly stderr: string; readonly exitCode: number };

/** The error of a command that failed: reason, command and stderr as its message, the result beside it. */
export type LabExecError = Error & LabExecResult & { readonly name: "LabExecError"; readonly timedOut: boolean };

/** How a machine is entered to run commands in it. */
export type ExecTarget = {
    readonly name: string;
    /** What to start on this machine so that a command runs inside the other. */
    enter(argv: readonly string[]): EnteredCommand | Promise<EnteredCommand>;
};

/** A command as this machine starts it, and how it is killed with all it started, given the id of what was started. */
export type EnteredCommand = {
    readonly argv: readonly [string, ...string[]];
    readonly kill: (pid: number | undefined) => void;
};

/** The whole environment of a command: nothing of the calling program's leaks into a host. */
export const commandEnvironment = {
    PATH: systemPath,
    HOME: "/run/lab/home",
    USER: "root",
    LOGNAME: "root",
    LANG: "C.UTF-8",
} as const;

/** Runs a command inside a machine of the lab. */
export async function execInside(
    target: ExecTarget,
    command: LabCommand,
    options: LabExecOptions = {},
): Promise<LabExecResult> {
    const { execa } = await import("execa");
    const entered = await commandInside(target, command, options.sandbox);
    const [file, ...args] = entered.argv;
    const timeoutMs = options.timeoutMs ?? 30_000;
    const child = execa(file, args, {
        cwd: "/",
        // A process group of its own: nsenter forks, so killing it alone would leave the command running.
        detached: true,
        env: commandEnvironment,
        extendEnv: false,
        reject: false,
        ...(options.stdin === undefined ? { stdin: "ignore" } : { input: options.stdin }),
    });
    let timedOut = false;
    const timer = setTimeout(() => {
        timedOut = true;
        entered.kill(child.pid);
    }, timeoutMs);
    const outcome = await child;
    clearTimeout(timer);
    const result = {
        stdout: outcome.stdout,
        stderr: outcome.stderr,
        exitCode:
            outcome.exitCode ?? 128 + (outcome.signal === undefined ? 0 : (constants.signals[outcome.signal] ?? 0)),
    };
    const failedToStart = outcome.failed && outcome.exitCode === undefined && outcome.signal === undefined;
    if (!timedOut && !failedToStart && (result.exitCode === 0 || options.check === false)) return result;
    const reason = timedOut
        ? `timed out after ${timeoutMs} ms`
        : failedToStart
          ? outcome.originalMessage
          : `failed with exit code ${result.exitCode}`;
    throw execError(target, command, options.sandbox, `${reason}`, result, timedOut);
}

/** The command that runs another one inside a machine, and there inside a network namespace. */
export async function commandInside(
    target: ExecTarget,
    command: LabCommand,
    sandbox?: LabSandbox,
): Promise<EnteredCommand> {
    const argv = typeof command === "string" ? ["sh", "-c", command] : command;
    if (argv.length === 0) throw new TypeError("A command needs at least a program's name.");
    if (sandbox === undefined) return target.enter(argv);
    return target.enter(["sh", "-c", sandboxScript, "sh", sandboxName(sandbox), ...argv]);
}

/** Kills a process and the group it leads; ids that are gone are no error. */
export function killGroup(pid: number | undefined): void {
    if (pid === undefined) return;
    try {
        process.kill(-pid, "SIGKILL");
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
}

const sandboxScript = `name=$1
shift
if [ ! -e "/run/netns/$name" ]; then
    found=
    for path in "/run/netns/$name"-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]; do
        [ -e "$path" ] || continue
        if [ -n "$found" ]; then
            echo "several network namespaces are called $name: \${found##*/} and \${path##*/}" >&2
            exit 125
        fi
        found=$path
    done
    if [ -z "$found" ]; then
        echo "no network namespace $name or $name-<6 hex>; there are:" $(ls /run/netns) >&2
        exit 125
    fi
    name=\${found##*/}
fi
exec ip netns exec "$name" "$@"`;

function sandboxName(sandbox: LabSandbox): string {
    const given = typeof sandbox === "string" ? sandbox : (sandbox.namespace ?? sandbox.name);
    if (typeof given !== "string") {
        throw new TypeError(
            "sandbox: expected a name, or an object whose namespace or name is a string (not an Output).",
        );
    }
    const name = given.replace(/^(?:\/var)?\/run\/netns\//, "");
    if (name === "" || name === "." || name === ".." || name.includes("/")) {
        throw new TypeError(`sandbox: expected the name of a network namespace, got ${JSON.stringify(given)}.`);
    }
    return name;
}

function execError(
    target: ExecTarget,
    command: LabCommand,
    sandbox: LabSandbox | undefined,
    reason: string,
    result: LabExecResult,
    timedOut: boolean,
): LabExecError {
    const place = sandbox === undefined ? target.name : `${target.name}, sandbox ${sandboxName(sandbox)}`;
    const text = typeof command === "string" ? command : command.join(" ");
    const message = `Command ${reason} in ${place}: ${text}\n${result.stderr}`.trimEnd();
    return Object.assign(new Error(message), { name: "LabExecError" as const, ...result, timedOut });
}
