import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemPath } from "./requirements.js";

/** How qemu runs a machine's code: by the processor itself, or by translating it (about ten times slower). */
export type Accelerator = "kvm" | "tcg";

let found: Promise<Accelerator> | undefined;

/**
 * Finds out whether KVM works here.
 *
 * A nested hypervisor may offer /dev/kvm and then never run a guest, so one is run: a boot sector that says 0x10 to
 * qemu's exit device, which makes 0x10 * 2 + 1 its exit code.
 * @param folder where the boot sector is written.
 */
export function findAccelerator(qemu: string, folder: string): Promise<Accelerator> {
    found ??= probeKvm(qemu, folder).then((works) => (works ? "kvm" : "tcg"));
    return found;
}

const probeTimeoutMs = 3_000;

async function probeKvm(qemu: string, folder: string): Promise<boolean> {
    const { execa } = await import("execa");
    const file = join(folder, "boot-sector");
    // mov dx, 0x501; mov al, 0x10; out dx, al; hlt
    const sector = Buffer.alloc(512);
    sector.set([0xba, 0x01, 0x05, 0xb0, 0x10, 0xee, 0xf4]);
    sector.set([0x55, 0xaa], 510);
    writeFileSync(file, sector);
    const options = ["-accel", "kvm", "-nodefaults", "-no-user-config", "-display", "none"];
    const devices = ["-device", "isa-debug-exit,iobase=0x501", "-drive", `file=${file},format=raw,if=floppy`];
    const { exitCode } = await execa(qemu, [...options, ...devices], {
        env: { PATH: systemPath },
        killSignal: "SIGKILL",
        reject: false,
        stdio: "ignore",
        timeout: probeTimeoutMs,
    });
    return exitCode === 0x10 * 2 + 1;
}
