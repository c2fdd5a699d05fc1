#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { describeProblem } from "./problem.js";
import { addTarget, type TargetOptions } from "./target.js";

const { version } = JSON.parse(readFileSync(join(__dirname, "../../package.json"), "utf8")) as { version: string };

const program = new Command("linuxnet")
    .description("Looks at Linux hosts that pulumi-linuxnet configures. Nothing is ever changed on a host.")
    .version(version)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .addHelpText(
        "after",
        `
Examples:
  linuxnet doctor deploy@203.0.113.10 --sudo     Is the machine ready?
  linuxnet inspect root@203.0.113.10 --json      What do all stacks have on it?
  linuxnet verify root@203.0.113.10:2222         Does the kernel show what the host should carry?
  linuxnet graph root@203.0.113.10 | dot -Tsvg   The layout as a picture
  linuxnet import root@203.0.113.10 > index.ts   The program that adopts it all

Exit codes: 0 all is well, 1 problems or differences were found, 2 the command could not do its work.`,
    );

addTarget(program.command("doctor"), "linuxnet doctor")
    .summary("is the machine ready?")
    .description("Checks whether a machine is ready for pulumi-linuxnet, and says what to do when it is not.")
    .action(async (target: string | undefined, options: TargetOptions) => {
        process.exitCode = await (await import("./doctor.js")).doctor(target, options);
    });

addTarget(program.command("inspect"), "linuxnet inspect")
    .summary("what does the host carry?")
    .description("Lists the networks, sandboxes, endpoints, ports, policies and tunnels of all stacks on a host.")
    .option("--json", "print JSON")
    .action(async (target: string | undefined, options: TargetOptions & { json?: true }) => {
        await (await import("./inspect.js")).inspect(target, options);
    });

addTarget(program.command("verify"), "linuxnet verify")
    .summary("does the kernel show what the host should carry?")
    .description("Compares the kernel with what the host should carry, and prints the differences.")
    .action(async (target: string | undefined, options: TargetOptions) => {
        process.exitCode = await (await import("./verify.js")).verify(target, options);
    });

addTarget(program.command("graph"), "linuxnet graph")
    .summary("draws the layout")
    .description("Prints the layout of a host as a graph: networks, sandboxes, published ports, allowed traffic.")
    .option("--format <format>", '"dot" (Graphviz) or "mermaid"', "dot")
    .action(async (target: string | undefined, options: TargetOptions & { format: string }) => {
        await (await import("./graph.js")).graph(target, options);
    });

const collect = (value: string, others: readonly string[] = []) => [...others, value];
addTarget(program.command("import"), "linuxnet import")
    .summary("prints the program for what is there")
    .description("Prints the TypeScript program that adopts what a host carries, of all stacks and of others.")
    .option("--stack <stack>", 'only objects of this stack ("production" or "shop/production"), and what they need')
    .option("--name <name>", "only the resource of this name, and what it needs; repeatable", collect)
    .action(async (target: string | undefined, options: TargetOptions & { stack?: string; name?: string[] }) => {
        await (await import("./import.js")).importHost(target, options);
    });

/** Help and the version are no errors; help that nobody asked for (no command given) is one, but explains itself. */
function finish(error: unknown): void {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const isHelp = error instanceof CommanderError && error.code === "commander.help";
    const text = isHelp ? "" : `linuxnet: ${describeProblem(error)}\n`;
    // A connection that is still open would keep the process alive.
    process.stderr.write(text, () => process.exit(2));
}

// `linuxnet inspect ... | head` closes the pipe early.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 2));

program.parseAsync().catch(finish);
