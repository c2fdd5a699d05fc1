import { execa } from "execa";

/** Runs this program again as root: throwaway hosts are network namespaces. */
export async function runAsRoot(): Promise<number> {
    const asRoot = ["env", `PATH=${process.env["PATH"]}`, process.execPath, ...process.argv.slice(1)];
    const { exitCode, stderr } = await execa("sudo", ["-n", ...asRoot], {
        stdin: "inherit",
        stdout: "inherit",
        stderr: ["inherit", "pipe"],
        reject: false,
    });
    if (/^sudo: /.test(String(stderr)) || exitCode === undefined)
        throw new Error('A throwaway host takes root. Type: sudo env PATH="$PATH" npm run demo');
    return exitCode;
}
