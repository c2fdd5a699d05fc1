import { existsSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { execa } from "execa";

const packages = ["ansible-core==2.19.14", "pyinfra==3.10.0"];

/** Kept between runs, beside what npm keeps. */
const folder = resolve(__dirname, "../../../node_modules/.cache/linuxnet-bench/python");

/** The folder of the peers' programs; installs them once from PyPI. @throws Error saying why they are not to be had. */
export async function installPeers(): Promise<string> {
    const bin = resolve(folder, "bin");
    if (existsSync(resolve(bin, "pyinfra")) && existsSync(resolve(bin, "ansible-playbook"))) return bin;
    rmSync(folder, { recursive: true, force: true });
    try {
        await execa("python3", ["-m", "venv", folder]);
        const quietly = ["--quiet", "--disable-pip-version-check"];
        await execa(resolve(bin, "pip"), ["install", ...quietly, ...packages], { timeout: 300_000 });
    } catch (error) {
        rmSync(folder, { recursive: true, force: true });
        const words = String((error as { stderr?: string }).stderr || (error as Error).message).trim();
        throw new Error(`not installed: ${words.split("\n").at(-1)}`);
    }
    return bin;
}
