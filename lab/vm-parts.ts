import { existsSync } from "node:fs";
import { type Accelerator, findAccelerator } from "./accelerator.js";
import { findGuestKernel, type GuestKernel } from "./guest-kernel.js";
import { type ArchiveFile, packModules, packProgram } from "./initramfs.js";
import type { LabOptions } from "./lab.js";
import type { ProcessIdentity } from "./process-identity.js";
import type { LabRecord } from "./record.js";
import { describeInstall, findTool } from "./requirements.js";

/** What all virtual machines of a lab have in common. */
export type VmParts = {
    readonly qemu: string;
    readonly accelerator: Accelerator;
    readonly kernel: GuestKernel;
    /** busybox with its libraries, and the kernel's modules. */
    readonly bootFiles: readonly ArchiveFile[];
    /** Makes a folder that goes with the lab. */
    readonly makeFolder: () => string;
    /** Writes down a process that goes with the lab. */
    readonly addProcess: (process: ProcessIdentity) => void;
    readonly onProgress: (text: string) => void;
    /** Beside the lab's own. */
    readonly kernelArguments: readonly string[];
};

const qemu = "qemu-system-x86_64";

/** What virtual machines need beside the tools of all labs: tool -> Debian package. */
export const vmTools = {
    [qemu]: "qemu-system-x86",
    busybox: "busybox",
    "mkfs.ext4": "e2fsprogs",
    ssh: "openssh-client",
} as const;

/** @throws when the machine is of another kind, or has no kernel package. */
export async function gatherVmParts(
    { makeFolder, addProcess }: Pick<LabRecord, "makeFolder" | "addProcess">,
    { onProgress = () => undefined, kernelArguments = [] }: Pick<LabOptions, "onProgress" | "kernelArguments">,
): Promise<VmParts> {
    if (process.arch !== "x64") throw new Error(`driver "vm" needs an x86-64 machine; this is ${process.arch}.`);
    if (!existsSync("/lib/systemd/systemd")) {
        throw new Error('driver "vm" needs systemd, the init of its hosts, on this machine: Debian package systemd.');
    }
    const kernel = findGuestKernel();
    if (kernel === undefined) {
        throw new Error(
            `driver "vm" needs a kernel with 9p in /boot and its modules in /lib/modules; the cloud kernel has no 9p. ${describeInstall(["linux-image-amd64"])}`,
        );
    }
    const bootFiles = [
        ...(await packProgram(findTool("busybox"))).map((file, i) =>
            i === 0 ? { ...file, path: "bin/busybox" } : file,
        ),
        ...packModules(kernel.modules),
    ];
    const accelerator = await findAccelerator(findTool(qemu), makeFolder());
    return {
        ...{
            qemu: findTool(qemu),
            accelerator,
            kernel,
            bootFiles,
            makeFolder,
            addProcess,
            onProgress,
            kernelArguments,
        },
    };
}
